//! The network values of a group as an agent shows them, and the books of the node.

use std::path::Path;
use std::time::Instant;

use super::support::agent::{Agent, Launch, PATIENCE};
use super::support::scrape::Scrape;

/// Where a peer is: the values of the label `scope`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Loopback,
    Remote,
}

impl Scope {
    const ALL: [Self; 2] = [Self::Loopback, Self::Remote];

    const fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Loopback => ("scope", "loopback"),
            Self::Remote => ("scope", "remote"),
        }
    }
}

/// The counters of a group in one scope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) failed: u64,
    /// Connections that live.
    pub(crate) living: u64,
}

impl Traffic {
    /// A group that is not shown has carried nothing.
    pub(crate) fn of(scrape: &Scrape, group: &str, scope: Scope) -> Self {
        let value = |family: &str, more: Option<(&str, &str)>| {
            let name = format!("namedprocess_namegroup_tcp_{family}");
            let mut labels = vec![("groupname", group), scope.label()];
            labels.extend(more);
            whole(scrape.value(&name, &labels).unwrap_or_default())
        };
        let sum = |family: &str, label: &str, values: &[&str]| {
            let values = values.iter();
            values.map(|word| value(family, Some((label, word)))).sum()
        };
        let reasons = ["refused", "timeout", "unreachable", "reset", "other"];
        let states = ["established", "closing", "other"];
        Self {
            sent: value("sent_bytes_total", None),
            received: value("received_bytes_total", None),
            opened: sum("connections_opened_total", "role", &["client", "server"]),
            closed: value("connections_closed_total", None),
            failed: sum("connection_failures_total", "reason", &reasons),
            living: sum("sockets", "state", &states),
        }
    }

    /// The growth since an earlier scrape.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
            opened: self.opened - earlier.opened,
            closed: self.closed - earlier.closed,
            failed: self.failed - earlier.failed,
            living: self.living,
        }
    }

    /// So many connections, all of which have ended well.
    pub(crate) fn ended(connections: u64, sent: u64, received: u64) -> Self {
        Self {
            sent,
            received,
            opened: connections,
            closed: connections,
            ..Self::default()
        }
    }

    /// The same as the other end has it.
    pub(crate) fn mirrored(self) -> Self {
        Self {
            sent: self.received,
            received: self.sent,
            ..self
        }
    }
}

fn whole(value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract() == 0.0, "{value}");
    format!("{value}").parse().unwrap()
}

/// An agent whose groups are the programs that run from `folder`, each by the name that it has there. nginx gives itself a title.
pub(crate) fn watch(folder: &Path) -> Agent {
    let folder = folder.display();
    let agent = Launch::new()
        .config(&format!(
            "process_names: [{{name: '{{{{.Comm}}}}', cmdline: ['^(nginx: master process )?{folder}/']}}]"
        ))
        .start();
    let labels = [("fact", "network"), ("source", "bpf")];
    let is_counting = agent.scrape().value("headcount_source_info", &labels) == Some(1.0);
    assert!(is_counting, "{:#?}", agent.log());
    agent
}

/// Scrapes until `check` has nothing more to say against it, and requires that the next scrapes say the same.
pub(crate) fn settle(agent: &Agent, check: impl Fn(&Scrape) -> Result<(), String>) -> Scrape {
    let deadline = Instant::now() + PATIENCE;
    let mut right = 0;
    loop {
        let scrape = agent.scrape();
        check_books(&scrape);
        match check(&scrape) {
            Ok(()) => right += 1,
            Err(complaint) => {
                assert_eq!(right, 0, "did not stay so: {complaint}");
                assert!(Instant::now() < deadline, "{complaint}");
            }
        }
        if right == 3 {
            return scrape;
        }
    }
}

/// Waits until the groups have carried just that since `before`, in this scope and nothing in the other.
pub(crate) fn settle_at(
    agent: &Agent,
    before: &Scrape,
    scope: Scope,
    expected: &[(&str, Traffic)],
) -> Scrape {
    settle(agent, |scrape| {
        for (group, expected) in expected {
            for of in Scope::ALL {
                let found = Traffic::of(scrape, group, of).since(Traffic::of(before, group, of));
                let expected = match of == scope {
                    true => *expected,
                    false => Traffic::default(),
                };
                if found != expected {
                    return Err(format!("{group}, {of:?}: {found:?}, expected {expected:?}"));
                }
            }
        }
        Ok(())
    })
}

/// Waits until no connection of the groups lives, and all that were opened are closed; returns the payload of each since
/// `before`.
pub(crate) fn settle_ended<const N: usize>(
    agent: &Agent,
    before: &Scrape,
    groups: [&str; N],
) -> [Traffic; N] {
    let of = |scrape: &Scrape| {
        groups.map(|group| {
            let scope = Scope::Loopback;
            Traffic::of(scrape, group, scope).since(Traffic::of(before, group, scope))
        })
    };
    let scrape = settle(agent, |scrape| {
        let all = of(scrape);
        // A connection that neither a look nor its end has credited yet is in none of an end's counters.
        let opened = all.iter().map(|one| one.opened).max().unwrap_or(0);
        let has_ended = |one: &Traffic| {
            one.living == 0 && one.opened == one.closed && one.opened == opened && opened > 0
        };
        match all.iter().all(has_ended) {
            true => Ok(()),
            false => Err(format!("{all:?}")),
        }
    });
    of(&scrape)
}

/// The payload of groups and of no group must add up to that of the node's sockets, in every scrape.
fn check_books(scrape: &Scrape) {
    for direction in ["sent", "received"] {
        let family = format!("namedprocess_namegroup_tcp_{direction}_bytes_total{{");
        let lines = scrape.body.lines().filter(|line| line.starts_with(&family));
        let groups: f64 = lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum();
        let of = |kind: &str| {
            let name = format!("headcount_network_{kind}bytes_total");
            scrape.value(&name, &[("direction", direction)]).unwrap()
        };
        let sum = groups + of("ungrouped_") + of("unattributed_");
        assert_eq!(sum, of(""), "{direction}");
    }
}

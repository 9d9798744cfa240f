//! The payload of TCP sockets equals the counts of the programs at both ends, to the byte.

pub(super) mod apart;
pub(super) mod ends;
pub(super) mod faults;
pub(super) mod handed;
pub(super) mod hashed;
pub(super) mod plain;
pub(super) mod udp;

use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest;
use crate::program::{self, Program, Running};
use crate::tier::Tier;

/// An agent that puts the programs of the tests into groups, and nothing else: other processes of the machine take no group from
/// them, and count as processes in no group.
fn start(tier: &Tier, flags: &[&str]) -> Agent {
    let folder = program::folder().display();
    let own = format!("process_names: [{{name: '{{{{.Comm}}}}', cmdline: ['^{folder}/']}}]");
    Agent::start_with(tier, flags, Some(&own))
}

/// The oldest kernel whose verifier has accepted the programs. From this one on, an agent that cannot count fails the tests:
/// otherwise they would pass with programs that no kernel accepts.
const NEEDED_FROM: (u32, u32) = (5, 10);

/// Whether the agent counts payload, by socket storage or by the hash. Where an older kernel cannot, the agent must say so, and
/// show nothing.
fn is_counted(agent: &Agent) -> bool {
    let samples = agent.scrape();
    let source = |source| {
        let labels = [("fact", "network"), ("source", source)];
        samples.value("headcount_source_info", &labels) == Some(1.0)
    };
    if source("bpf") || source("bpf_hash") {
        assert_eq!(source_rows(&samples), 1);
        return true;
    }
    assert!(source("absent"), "{}", agent.log());
    assert!(guest::kernel_version() < NEEDED_FROM, "{}", agent.log());
    assert_eq!(families(&samples), Vec::<String>::new());
    let log = agent.log();
    assert_eq!(log.matches("--collector.network: ").count(), 1, "{log}");
    false
}

/// Rows that say where the facts of the network come from.
fn source_rows(samples: &Samples) -> usize {
    let rows = samples.series("headcount_source_info");
    rows.filter(|(labels, _)| labels["fact"] == "network")
        .count()
}

/// Names of the series that the network has.
pub(super) fn families(samples: &Samples) -> Vec<String> {
    let names = samples.names();
    let is_of_network = |name: &&str| {
        let starts = [
            "headcount_network_",
            "namedprocess_namegroup_tcp_",
            "namedprocess_namegroup_udp_",
        ];
        starts.iter().any(|start| name.starts_with(start))
    };
    names.filter(is_of_network).map(str::to_owned).collect()
}

/// How many of the programs are attached, by the names of their hooks.
fn attached(samples: &Samples, programs: &[&str]) -> usize {
    let is_meant = |program: &&&str| {
        let labels = [("program", **program)];
        samples.value("headcount_program_attached", &labels) == Some(1.0)
    };
    programs.iter().filter(is_meant).count()
}

/// The two directions of payload: values of the label, and words in the names of the group's families.
const DIRECTIONS: [&str; 2] = ["sent", "received"];

/// Payload of a group by direction, in all scopes.
fn payload(samples: &Samples, group: &str) -> [f64; 2] {
    DIRECTIONS.map(|direction| {
        let family = format!("namedprocess_namegroup_tcp_{direction}_bytes_total");
        let rows = samples.series(&family);
        let own = rows.filter(|(labels, _)| labels["groupname"] == group);
        own.map(|(_, value)| value).sum()
    })
}

/// The traffic of all groups and of no group must add up to that of the node's sockets, in every scrape.
fn check_books(samples: &Samples) {
    for direction in DIRECTIONS {
        let groups = ["tcp", "udp"].map(|protocol| {
            let family = format!("namedprocess_namegroup_{protocol}_{direction}_bytes_total");
            samples.series(&family).map(|(_, value)| value).sum::<f64>()
        });
        let of = |kind: &str| {
            let name = format!("headcount_network_{kind}bytes_total");
            samples.the(&name, &[("direction", direction)])
        };
        let parts = [groups[0], groups[1], of("ungrouped_"), of("unattributed_")];
        let sum: f64 = parts.iter().sum();
        assert_eq!(
            sum,
            of(""),
            "{direction}: {parts:?}\n{}",
            samples.own_counts()
        );
    }
}

/// Whether all that was counted is in a family: some of it may be on its way in one scrape, but not in all.
fn check_waiting(samples: &Samples) -> Result<(), String> {
    let waiting = DIRECTIONS.map(|direction| {
        samples.the(
            "headcount_network_waiting_bytes",
            &[("direction", direction)],
        )
    });
    match waiting {
        [0.0, 0.0] => Ok(()),
        _ => Err(format!("{waiting:?} bytes wait")),
    }
}

/// The scenario `endpoint` in a group of its own, and its counts.
#[derive(Debug)]
struct Endpoint {
    program: Program,
    running: Running,
    sent: u64,
    received: u64,
}

impl Endpoint {
    fn start(tag: &str) -> Self {
        let program = Program::new(tag);
        let mut running = program.start("endpoint", &[]);
        assert_eq!(running.await_line("ready"), 0);
        Self {
            program,
            running,
            sent: 0,
            received: 0,
        }
    }

    /// Has it obey a command, whose answer is about `key`.
    fn ask(&mut self, command: &str, key: &str) -> u64 {
        self.running.tell(command);
        self.running.await_line(key)
    }

    fn name(&self) -> &str {
        &self.program.name
    }

    /// The shown payload is the scenario's count, on the loopback interface. More is never right.
    fn check(&self, samples: &Samples) -> Result<(), String> {
        check_payload(samples, self.name(), [self.sent, self.received])
    }

    /// Ends it, with all its sockets.
    fn finish(self) {
        self.running.finish();
    }
}

/// Whether the group has this payload, all of it on the loopback interface. More is never right.
fn check_payload(samples: &Samples, name: &str, counted: [u64; 2]) -> Result<(), String> {
    check_books(samples);
    let counted = counted.map(|bytes| bytes as f64);
    let shown = payload(samples, name);
    let loopback = DIRECTIONS.map(|direction| {
        let family = format!("tcp_{direction}_bytes_total");
        samples
            .group(name)
            .labelled(&family, &[("scope", "loopback")])
    });
    assert_eq!(shown, loopback, "{name}: the peer is this machine");
    let is_more = shown
        .iter()
        .zip(counted)
        .any(|(shown, counted)| *shown > counted);
    assert!(!is_more, "{name}: {shown:?} of {counted:?} bytes");
    match shown == counted {
        true => Ok(()),
        false => Err(format!("{name}: {shown:?} of {counted:?} bytes")),
    }
}

/// A new connection; its number with each of them.
fn connect(client: &mut Endpoint, family: &str, port: u64, server: &mut Endpoint) -> (u64, u64) {
    let of_client = client.ask(&format!("connect {family} {port}"), "connection");
    (of_client, server.ask("accept", "connection"))
}

/// So many bytes over a connection, all of which are read and acknowledged.
fn carry(from: (&mut Endpoint, u64), to: (&mut Endpoint, u64), bytes: u64) {
    let ((from, sender), (to, receiver)) = (from, to);
    from.running.tell(&format!("send {sender} {bytes}"));
    to.running.tell(&format!("receive {receiver} {bytes}"));
    from.sent += from.running.await_line("sent");
    to.received += to.running.await_line("received");
    from.ask(&format!("flush {sender}"), "unacknowledged");
}

/// Waits until the shown payload of the ends equals their counts, and scrapes more: at rest, it stays so.
fn await_exact(agent: &Agent, ends: &[&Endpoint]) -> Samples {
    let check = |samples: &Samples| ends.iter().try_for_each(|end| end.check(samples));
    let mut samples = agent.await_that(check);
    for _ in 0..3 {
        samples = agent.scrape();
        check(&samples).unwrap();
    }
    samples
}

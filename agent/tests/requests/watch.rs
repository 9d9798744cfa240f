//! The requests of a group, as an agent shows them.

use std::path::Path;
use std::time::{Duration, Instant};

use super::support::agent::{Agent, Launch, PATIENCE};
use super::support::scrape::Scrape;
use super::tally::{CLASSES, Counts, METHODS, Tally};

/// Exponents of two of the histogram's bounds.
const BOUNDS: std::ops::RangeInclusive<i32> = -11..=6;

/// An agent whose groups are the programs that run from `folder`, each by the name that it has there. Debian's
/// Gunicorn, nginx and Puma give themselves titles, which hold the folder.
pub(crate) fn watch(folder: &Path) -> Agent {
    let agent = Launch::new().config(&configuration(folder)).start();
    let labels = [("fact", "http"), ("source", "bpf")];
    let is_counting = agent.scrape().value("headcount_source_info", &labels) == Some(1.0);
    assert!(is_counting, "{:#?}", agent.log());
    agent
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r"process_names:
- {{name: '{{{{.Comm}}}}', cmdline: ['^(nginx: master process )?{folder}/'], http: true}}
- {{name: '{{{{.Matches.name}}}}', cmdline: ['^gunicorn: \w+ \[{folder}/(?P<name>[^].]+)(\.2)?\]'], http: true}}
- {{name: puma, cmdline: ['^puma.*{folder}'], http: true}}
"
    )
}

fn whole(value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract() == 0.0, "{value}");
    format!("{value}").parse().unwrap()
}

/// Requests of a group by method and class, and `in flight`, `unparsed` if there are such.
pub(crate) fn shown(scrape: &Scrape, group: &str) -> Counts {
    let mut counts = Counts::new();
    let mut add = |key, value: Option<f64>| match whole(value.unwrap_or_default()) {
        0 => (),
        count => {
            counts.insert(key, count);
        }
    };
    for method in METHODS {
        for class in CLASSES {
            let labels = [("groupname", group), ("method", method), ("status", class)];
            let family = "namedprocess_namegroup_http_requests_total";
            add((method, class), scrape.value(family, &labels));
        }
    }
    add(
        ("", "in flight"),
        scrape.of(group, "http_requests_in_flight"),
    );
    for reason in ["tls", "http2", "other"] {
        let family = "http_unparsed_connections_total";
        let value = scrape.labelled(group, family, ("reason", reason));
        add(("unparsed", reason), value);
    }
    counts
}

/// Scrapes until the groups show just these counts. `moment` is for messages.
pub(crate) fn settle(agent: &Agent, moment: &str, expected: &[(&str, &Counts)]) -> Scrape {
    settle_at(agent, moment, |scrape| {
        expected.iter().find_map(|(group, expected)| {
            let found = shown(scrape, group);
            (found != **expected).then(|| differences(group, &found, expected))
        })
    })
}

/// The same for one group whose clients had no response on some connections: such a request is aborted, or was never received.
pub(crate) fn settle_answered(agent: &Agent, moment: &str, group: &str, tally: &Tally) {
    settle_at(agent, moment, |scrape| {
        let mut found = shown(scrape, group);
        let aborted: u64 = METHODS
            .iter()
            .filter_map(|method| found.remove(&(*method, "aborted")))
            .sum();
        let is_right = found == tally.counts && aborted <= tally.unanswered;
        let differences = || differences(group, &found, &tally.counts);
        (!is_right).then(|| format!("{aborted} aborted; {}", differences()))
    });
}

/// Scrapes until `find_fault` finds none, and requires that it finds none in the next scrapes.
pub(crate) fn settle_at(
    agent: &Agent,
    moment: &str,
    find_fault: impl Fn(&Scrape) -> Option<String>,
) -> Scrape {
    let deadline = Instant::now() + PATIENCE;
    let mut right = 0;
    loop {
        let scrape = agent.scrape();
        match find_fault(&scrape) {
            None => right += 1,
            Some(wrong) => {
                assert_eq!(right, 0, "{moment}: did not stay so: {wrong}");
                assert!(Instant::now() < deadline, "{moment}: {wrong}");
            }
        }
        if right == 3 {
            return scrape;
        }
    }
}

fn differences(group: &str, found: &Counts, expected: &Counts) -> String {
    let mut text = format!("{group}:");
    for key in found.keys().chain(expected.keys()) {
        let of = |counts: &Counts| counts.get(key).copied().unwrap_or_default();
        if of(found) != of(expected) && !text.contains(&format!("{key:?}")) {
            text += &format!(" {key:?} is {}, expected {};", of(found), of(expected));
        }
    }
    text
}

/// The durations of a group must lie between the least time of each request and the time that its client measured. Returns how
/// many must be more than one bucket below their client's.
pub(crate) fn check_durations(scrape: &Scrape, group: &str, tally: &Tally) -> u64 {
    check_histogram(
        scrape,
        group,
        "http_request_duration_seconds",
        &tally.durations,
    )
}

/// A histogram of a group must have as many values as there are limits, the least and the most that each value can be, and must lie
/// between them, bound by bound and in its sum. Returns how many values must be more than one bucket below their most.
pub(crate) fn check_histogram(
    scrape: &Scrape,
    group: &str,
    family: &str,
    limits: &[(Duration, Duration)],
) -> u64 {
    let within = |bound: f64| {
        let name = format!("{family}_bucket");
        whole(
            scrape
                .labelled(group, &name, ("le", &bound.to_string()))
                .unwrap(),
        )
    };
    let number = |is_meant: &dyn Fn(Duration, Duration) -> bool| -> u64 {
        let meant = limits
            .iter()
            .filter(|(least, most)| is_meant(*least, *most));
        meant.count().try_into().unwrap()
    };
    let mut apart = 0;
    for bound in BOUNDS.map(|exponent| 2f64.powi(exponent)) {
        let shorter = within(bound);
        let limit = Duration::from_secs_f64(bound);
        let surely = number(&|_, most| most <= limit);
        let perhaps = number(&|least, _| least <= limit);
        let is_between = (surely..=perhaps).contains(&shorter);
        assert!(
            is_between,
            "{group}: {shorter} in {bound} s of {family}, not {surely} to {perhaps}"
        );
        apart = apart.max(shorter.saturating_sub(number(&|_, most| most <= 2 * limit)));
    }
    let of = |what| scrape.of(group, &format!("{family}_{what}")).unwrap();
    assert_eq!(
        whole(of("count")),
        number(&|_, _| true),
        "{group}: {family}"
    );
    let sum = |one: fn(&(Duration, Duration)) -> Duration| {
        let seconds: f64 = limits.iter().map(|both| one(both).as_secs_f64()).sum();
        seconds
    };
    let is_between = (sum(|both| both.0)..=sum(|both| both.1)).contains(&of("sum"));
    assert!(is_between, "{group}: {} s of {family}", of("sum"));
    apart
}

//! Tests of the families over the recorded pools, with the whole text compared, and over single cases.

use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::targets::board::GroupIdentity;
use crate::targets::passenger::examples::{
    application, empty, full_with_waiters, identity, pool, server, standalone_queue,
    three_applications, worker,
};
use crate::targets::passenger::pool::{AppPool, WorkerMemory, WorkerState};
use crate::targets::passenger::server::ServerCounts;

/// An instance that is asked, with its answer or failure.
#[derive(Debug, Clone)]
pub(super) struct AskedOnce {
    pub(super) identity: InstanceIdentity,
    pub(super) pool: Option<AppPool>,
    pub(super) server: Option<ServerCounts>,
    pub(super) groups: HashMap<u32, Arc<GroupIdentity>>,
}

pub(super) fn asked(identity: InstanceIdentity, pool: AppPool) -> AskedOnce {
    AskedOnce {
        identity,
        pool: Some(pool),
        server: None,
        groups: HashMap::new(),
    }
}

const ROOM: usize = 1 << 20;

/// The text of one scrape, and the names of the instances that did not fit.
pub(super) fn scrape_within(
    families: &mut PassengerFamilies,
    instances: &[AskedOnce],
    most_bytes: usize,
) -> (String, Vec<String>) {
    let label = |one: &AskedOnce| match one.identity.uid {
        0 => one.identity.name.clone(),
        uid => format!("{}@{uid}", one.identity.name),
    };
    let labels: Vec<String> = instances.iter().map(label).collect();
    let answered = instances.iter().zip(&labels).filter_map(|(one, label)| {
        Some(Answered {
            label,
            identity: &one.identity,
            user: if one.identity.uid == 0 {
                "root"
            } else {
                "mallory"
            },
            pool: one.pool.as_ref()?,
            server: one.server.as_ref(),
            core: Some(7),
            groups: &one.groups,
        })
    });
    let answered: Vec<Answered<'_>> = answered.collect();
    let silent = instances.iter().filter(|one| one.pool.is_none());
    let silent: Vec<&InstanceIdentity> = silent.map(|one| &one.identity).collect();
    let round = PassengerRound {
        answered: &answered,
        silent: &silent,
        running: instances.len() as u64,
        most_bytes,
    };
    let mut writer = Writer::default();
    let refused = families.write(&round, &mut writer);
    let text = String::from_utf8(writer.finish()).unwrap();
    let refused = refused
        .into_iter()
        .map(|n| answered[n].identity.name.clone());
    (text, refused.collect())
}

pub(super) fn scrape(families: &mut PassengerFamilies, instances: &[AskedOnce]) -> String {
    let (text, refused) = scrape_within(families, instances, ROOM);
    assert_eq!(refused, [""; 0]);
    text
}

pub(super) fn families() -> PassengerFamilies {
    PassengerFamilies::new(128, true)
}

/// The samples of a family, without its name.
pub(super) fn samples<'t>(text: &'t str, family: &str) -> Vec<&'t str> {
    let samples = text.lines().filter_map(|line| line.strip_prefix(family));
    samples
        .filter(|rest| rest.starts_with(['{', ' ']))
        .collect()
}

pub(super) fn group(name: &str, labels: &[(&str, &str)]) -> Arc<GroupIdentity> {
    let labels = labels.iter();
    let labels = labels.map(|(name, value)| (Arc::from(*name), (*value).to_owned()));
    Arc::new(GroupIdentity {
        name: name.to_owned(),
        labels: labels.collect(),
    })
}

#[test]
fn groups_have_their_labels_but_for_those_of_the_family() {
    let workers = [1, 2, 3, 4].map(|pid| worker(pid, 0)).into();
    let mut one = asked(
        identity(0, 1),
        pool(vec![application("/srv/blog", workers)]),
    );
    let hidden = ("name", "x");
    one.groups = [
        group("web", &[("a", "1"), ("z", "2")]),
        group("web", &[("a", "1"), hidden, ("z", "2")]),
        group("web", &[("passenger_instance", "other")]),
        group("web", &[("a", "2")]),
    ]
    .into_iter()
    .zip(1..)
    .map(|(group, pid)| (pid, group))
    .collect();
    let text = scrape(&mut families(), &[one]);
    let own = r#"groupname="web",name="blog",passenger_instance="name0001""#;
    assert_eq!(
        samples(&text, "passenger_app_group_info"),
        [
            format!("{{{own}}} 1"),
            format!(r#"{{a="1",{own},z="2"}} 1"#),
            format!(r#"{{a="2",{own}}} 1"#),
        ]
    );
}

#[test]
fn oldest_processes_have_series_of_their_own() {
    let workers = (1..=501).rev().map(|pid| worker(pid, 1)).collect();
    let blog = pool(vec![application("/srv/blog", workers)]);
    let text = scrape(&mut families(), &[asked(identity(0, 1), blog)]);
    let processed = samples(&text, "passenger_go_process_processed");
    let youngest = r#"{name="blog",pid="501"} 1"#;
    assert_eq!(
        (processed.len(), processed.contains(&youngest)),
        (500, false)
    );
}

#[test]
fn the_whole_text_for_the_recorded_pools() {
    let mut first = asked(identity(0, 1), three_applications());
    first.server = Some(server());
    first.groups = [(31156, "node"), (31069, "blog \"x\""), (1, "init")]
        .map(|(pid, name)| (pid, group(name, &[])))
        .into();
    let mut last = asked(identity(33, 4), standalone_queue());
    last.identity.integration_mode = "standalone".to_owned();
    let instances = [
        first,
        asked(identity(0, 2), full_with_waiters()),
        asked(identity(0, 3), empty()),
        last,
    ];
    let text = scrape(&mut families(), &instances);
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/targets/passenger/families/expected.prom"
    );
    if std::env::var_os("HEADCOUNT_ACCEPT").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    assert_eq!(text, expected, "HEADCOUNT_ACCEPT=1 takes the new text");
}

#[test]
fn node_without_passenger_has_one_sample() {
    let mut families = families();
    let text = scrape(&mut families, &[]);
    let all: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(all, ["headcount_passenger_instances 0"]);
    // An instance that does not answer is one, too, and the counter does not disappear with it.
    let mut silent = asked(identity(0, 1), empty());
    silent.pool = None;
    for (instances, running) in [(vec![silent], 1), (vec![], 0)] {
        let text = scrape(&mut families, &instances);
        assert_eq!(
            samples(&text, "headcount_passenger_instances"),
            [format!(" {running}")]
        );
        assert_eq!(
            samples(&text, "headcount_passenger_processes_left_out_total"),
            [" 0"]
        );
    }
}

#[test]
fn descriptors_are_unique_and_well_formed() {
    let mut seen = HashSet::new();
    for descriptor in PassengerFamilies::descriptors() {
        let name = descriptor.name;
        assert!(seen.insert(name), "{name} twice");
        assert!(
            descriptor.labels.is_sorted(),
            "{name}: labels in alphabetical order"
        );
        assert!(descriptor.help.ends_with('.'), "{name}: help is a sentence");
        let is_counter = descriptor.kind == Kind::Counter;
        let is_original = name == "passenger_go_process_processed";
        assert_eq!(
            name.ends_with("_total"),
            is_counter && !is_original,
            "{name}"
        );
        assert!(!descriptor.labels.contains(&"instance"), "{name}");
    }
}

#[test]
fn every_state_is_shown_and_each_worker_is_in_one() {
    let states = [
        WorkerState::Enabled,
        WorkerState::Disabling,
        WorkerState::Disabled,
        WorkerState::Detached,
        WorkerState::ShuttingDown,
        WorkerState::Detached,
    ];
    let mut workers: Vec<Worker> = (1..).map(|pid| worker(pid, 0)).take(states.len()).collect();
    for (worker, state) in workers.iter_mut().zip(states) {
        worker.state = state;
    }
    let mut blog = application("/a/blog", workers);
    blog.spawning = 4;
    let text = scrape(
        &mut families(),
        &[asked(
            identity(0, 1),
            pool(vec![blog, application("/a/api", vec![])]),
        )],
    );
    let expected = |name: &str, values: [u64; 6]| {
        let words = [
            "enabled",
            "disabling",
            "disabled",
            "detached",
            "shutting_down",
            "spawning",
        ];
        let line = |(word, value)| {
            format!("{{name=\"{name}\",passenger_instance=\"name0001\",state=\"{word}\"}} {value}")
        };
        words.into_iter().zip(values).map(line).collect::<Vec<_>>()
    };
    let all = [
        expected("api", [0; 6]),
        expected("blog", [1, 1, 1, 2, 1, 4]),
    ]
    .concat();
    assert_eq!(samples(&text, "passenger_app_processes"), all);
}

#[test]
fn unknown_memory_is_absent_and_known_zero_is_not() {
    let mut measured = worker(1, 0);
    measured.memory = WorkerMemory {
        resident: Some(4096),
        swap: Some(0),
        ..WorkerMemory::default()
    };
    let blog = application("/a/blog", vec![measured, worker(2, 0)]);
    let text = scrape(&mut families(), &[asked(identity(0, 1), pool(vec![blog]))]);
    let labels =
        |memory| format!("{{memtype=\"{memory}\",name=\"blog\",passenger_instance=\"name0001\"}}");
    let expected = [
        format!("{} 4096", labels("resident")),
        format!("{} 0", labels("swap")),
    ];
    assert_eq!(samples(&text, "passenger_app_memory_bytes"), expected);
    assert_eq!(
        samples(&text, "passenger_go_process_real_memory_bytes"),
        [""; 0]
    );
}

#[test]
fn hostile_names_break_no_line() {
    let long = "\u{e9}".repeat(128);
    let names = [
        "a\"} 1\nup 0",
        "\\",
        "{name=\"b\"}",
        "",
        " ",
        &long,
        "\u{0}\u{1F980}",
    ];
    let applications = names
        .iter()
        .map(|name| application(name, vec![worker(1, 1)]));
    let mut one = asked(identity(0, 1), pool(applications.collect()));
    one.groups.insert(1, group("g\"\n", &[("unit", "u\"\n")]));
    let text = scrape(&mut families(), &[one]);
    let known: HashSet<&str> = PassengerFamilies::descriptors()
        .map(|one| one.name)
        .collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(known.contains(name), "{line}");
        assert!(
            line.rsplit_once(' ').unwrap().1.parse::<u64>().is_ok() || line.contains("last_used"),
            "{line}"
        );
    }
    assert_eq!(
        samples(&text, "passenger_go_process_count").len(),
        names.len()
    );
}

#[test]
fn repeated_pid_or_name_is_shown_once() {
    let twice = || application("/a/blog", vec![worker(1, 5), worker(1, 7)]);
    let text = scrape(
        &mut families(),
        &[asked(identity(0, 1), pool(vec![twice(), twice()]))],
    );
    assert_eq!(
        samples(&text, "passenger_go_process_processed"),
        ["{name=\"blog\",pid=\"1\"} 5"]
    );
    assert_eq!(
        samples(&text, "passenger_go_process_count"),
        ["{name=\"blog\"} 2"]
    );
}

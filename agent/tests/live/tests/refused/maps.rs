//! A map is not made, or smaller than it was asked for. Which maps there are, the agent shows: it makes all of them in each
//! tier.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::{NEEDED, counts, ends, error, exit_hook, goes_on, judging, judging_in, text};
use crate::agent::Agent;
use crate::bpf_calls::{Call, Verdict};
use crate::guest::scaled;
use crate::program::Program;
use crate::runner::table;
use crate::surroundings::{STORAGES, Surroundings};
use crate::tests::network::families as network_families;
use crate::tests::pressure::{all_is_known, nothing_twice};
use crate::tier::{EXACT, ITERATOR, PROCFS, Tier};

/// The least that a ring may have.
const PAGE: u32 = 4096;

table![
    each_is_not_made for NEEDED,
    each_is_too_small for NEEDED,
    each_of_run_queue_latency_is_too_small for NEEDED,
];

/// The maps of the network programs, which process accounting does not need.
const OF_NETWORK: [&str; 4] = ["OWNERS", "NETWORK", "LOOK", "GIVERS"];

/// Processes are accounted for as always, and the payload of sockets is absent.
fn no_network(agent: &Agent, parts: &[&str]) {
    goes_on(agent, (&ITERATOR, exit_hook()), parts);
    network_is_absent(agent);
}

pub(super) fn network_is_absent(agent: &Agent) {
    let samples = agent.scrape();
    let labels = [("fact", "network"), ("source", "absent")];
    assert_eq!(samples.value("headcount_source_info", &labels), Some(1.0));
    assert_eq!(network_families(&samples), Vec::<String>::new());
}

/// The traffic of sockets is kept in a hash instead, without a warning.
fn hashed_network(agent: &Agent, parts: &[&str]) {
    let samples = agent.scrape();
    let labels = [("fact", "network"), ("source", "bpf_hash")];
    let log = agent.log();
    assert_eq!(
        samples.value("headcount_source_info", &labels),
        Some(1.0),
        "{log}"
    );
    assert!(parts.iter().all(|part| log.contains(part)), "{log}");
    let warnings = agent.warnings();
    let says_absent = |line: &String| line.contains("--collector.network");
    assert!(!warnings.iter().any(says_absent), "{warnings:#?}");
}

/// The maps of this tier, and how many entries they are made with. Maps by which aya probes the kernel are not among them.
fn maps(tier: &Tier) -> BTreeMap<String, u32> {
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let notes = Arc::clone(&seen);
    let surroundings = Surroundings {
        judge: Some(Box::new(move |call| {
            if let Call::Map { name, entries } = call
                && !name.is_empty()
                && !name.starts_with("aya_")
            {
                notes.lock().unwrap().insert(name.clone(), *entries);
            }
            Verdict::Allow
        })),
        ..Surroundings::only_for(tier)
    };
    Agent::start_in(surroundings, &[&flag(tier)]);
    let seen = seen.lock().unwrap();
    assert!(
        seen.contains_key("RING") && seen.contains_key("NODE"),
        "{seen:?}"
    );
    seen.clone()
}

fn flag(tier: &Tier) -> String {
    format!("--accounting={}", tier.name)
}

pub(in crate::tests) fn making(map: &str) -> impl Fn(&Call) -> bool + Send + 'static {
    let map = map.to_owned();
    move |call| matches!(call, Call::Map { name, .. } if *name == map)
}

fn each_is_not_made(_: &'static Tier) {
    let maps = maps(&ITERATOR);
    let needed = OF_NETWORK.iter().chain([&STORAGES]);
    assert!(needed.copied().all(|map| maps.contains_key(map)));
    for (nth, map) in maps.into_keys().enumerate() {
        let refusing = || judging(making(&map), Verdict::Refuse(error(nth)));
        let parts = [&*map, &*text(error(nth))];
        if map == STORAGES {
            hashed_network(&Agent::start_in(refusing(), &[]), &parts);
            continue;
        }
        if OF_NETWORK.contains(&&*map) {
            no_network(&Agent::start_in(refusing(), &[]), &parts);
            continue;
        }
        goes_on(&Agent::start_in(refusing(), &[]), (&PROCFS, "none"), &parts);
        if nth == 0 {
            ends(refusing(), &ITERATOR, &parts);
        }
    }
}

/// A map of a single place, or page, while more happens than the agent can take in. Those of both tiers are tried in one.
fn each_is_too_small(_: &'static Tier) {
    let mut tried = BTreeSet::new();
    let mut others = Vec::new();
    for tier in EXACT.iter().filter(|tier| tier.can_work()) {
        for (map, entries) in maps(tier) {
            if entries == 1 || !tried.insert(map.clone()) {
                continue;
            }
            match &*map {
                "RING" => a_ring_of_another_size_is_refused(&map),
                "AYA_LOGS" => messages_are_not_needed(&map, tier),
                "TRACED" => process_without_a_map_entry_is_not_pending(&map, tier),
                _ => others.push((map, *tier)),
            }
        }
    }
    small_maps_lose_nothing_uncounted(&others);
}

/// Longest name that the kernel keeps (`BPF_OBJ_NAME_LEN`, less the end).
const NAME: usize = 15;

/// Waits are lost and counted as lost; nothing else is. Without the array `RUN_QUEUE` no scrape shows waits by group, and
/// `/health` gives the reason.
fn each_of_run_queue_latency_is_too_small(_: &'static Tier) {
    let count = scaled(100);
    for (map, loss) in [
        ("RUN_QUEUE_COMM_SLOTS", None),
        ("RUN_QUEUE_SLOTS", Some("headcount_runqueue_full_total")),
        ("RUN_QUEUE_THREADS", Some("headcount_runqueue_missed_total")),
    ] {
        let shrinking = judging(making(&map[..NAME]), Verdict::Entries(1));
        let agent = Agent::start_in(shrinking, &["--collector.runqueue"]);
        counts(&agent, &ITERATOR);
        Program::new("waits").run("churn", &[&count.to_string(), "0"]);
        let samples = agent.scrape();
        if let Some(family) = loss {
            let lost = samples.the(family, &[]);
            assert!(lost >= count as f64 / 2.0, "{map}: {lost} of {count}");
        }
        assert_eq!(agent.health(), ("ok".to_owned(), vec![]), "{map}");
    }
    let shrinking = judging(making("RUN_QUEUE"), Verdict::Entries(1));
    let agent = Agent::start_in(shrinking, &["--collector.runqueue"]);
    let _one_more_group = Program::new("waits").work();
    agent.scrape();
    let (status, reasons) = agent.health();
    assert_eq!(status, "degraded");
    let reason = "the last pass failed: a map of the kernel programs";
    assert!(reasons[0].starts_with(reason), "{reasons:?}");
}

/// The agent maps as much of it as it has asked for.
fn a_ring_of_another_size_is_refused(map: &str) {
    let shrinking = judging(making(map), Verdict::Entries(PAGE));
    let agent = Agent::start_in(shrinking, &[]);
    goes_on(
        &agent,
        (&PROCFS, "none"),
        &["a map of the kernel programs", "; trying /proc only"],
    );
}

/// The programs' messages are lost, and a warning says so.
fn messages_are_not_needed(map: &str, tier: &Tier) {
    let shrinking = judging_in(tier, making(map), Verdict::Entries(PAGE));
    let agent = Agent::start_in(shrinking, &[&flag(tier)]);
    let warnings = agent.warnings();
    assert!(
        warnings.iter().any(|line| line.contains("messages")),
        "{warnings:#?}"
    );
    counts(&agent, tier);
}

/// The map that an agent was started for, and the number of loads before it.
struct Small<'a> {
    agent: Agent,
    map: &'a str,
    tier: &'static Tier,
    before: usize,
}

/// One agent for each map, and one load after the other: a process whose end no record reports is closed a minute later, so the
/// test waits once for all agents.
fn small_maps_lose_nothing_uncounted(maps: &[(String, &'static Tier)]) {
    let count = scaled(300);
    let (mut agents, mut loads) = (Vec::new(), Vec::new());
    for (map, tier) in maps {
        let flags = [
            &*flag(tier),
            "--accounting.ring-bytes=4096",
            "--accounting.overflow-entries=16",
        ];
        let shrinking = judging_in(tier, making(map), Verdict::Entries(1));
        let agent = Agent::start_in(shrinking, &flags);
        let program = Program::new("small");
        let report = agent.stopped(|| program.run("churn", &[&count.to_string(), "1000000"]));
        agents.push(Small {
            agent,
            map,
            tier,
            before: loads.len(),
        });
        loads.push((program, report.reaped.cpu_ns));
    }
    for small in &agents {
        let Small { agent, tier, .. } = small;
        let seen = &loads[small.before..];
        let names: Vec<&str> = seen.iter().map(|(program, _)| &*program.name).collect();
        let all_ns = seen.iter().map(|(_, used_ns)| used_ns).sum();
        let samples = agent.await_settled(|samples| {
            for (program, used_ns) in seen {
                nothing_twice(agent, tier, samples, (&program.name, count + 1, *used_ns))?;
            }
            all_is_known(agent, tier, samples, &names, all_ns)
        });
        assert!(samples.the("headcount_events_coarse_total", &[]) > 0.0);
        if small.map == "RUN_TIMES" {
            assert!(samples.the("headcount_switch_map_full_total", &[]) > 0.0);
        }
    }
}

/// A process without an entry gets no record of its end, so there is none of its birth either: else an agent without scrapes
/// would keep all such processes.
fn process_without_a_map_entry_is_not_pending(map: &str, tier: &Tier) {
    let shrinking = judging_in(tier, making(map), Verdict::Entries(1));
    let agent = Agent::start_in(shrinking, &[&flag(tier)]);
    let program = Program::new("small");
    let count = scaled(300);
    let report = program.run("churn", &[&count.to_string(), "0"]);
    let samples = agent.scrape();
    let waiting = samples.the("headcount_processes", &[("state", "pending")]);
    assert!(waiting < count as f64 / 10.0, "{waiting} are waited for");
    let full = samples.the("headcount_switch_map_full_total", &[]);
    assert!(full >= count as f64, "{full} of {count} births are counted");
    let used_ns = report.reaped.cpu_ns;
    nothing_twice(&agent, tier, &samples, (&program.name, count + 1, used_ns)).unwrap();
}

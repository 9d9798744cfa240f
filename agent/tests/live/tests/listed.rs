//! Each process that `/proc` lists is in its group, also one that the kernel hides from kernel programs.

use std::collections::BTreeSet;
use std::fs;

use crate::agent::Agent;
use crate::runner::table;
use crate::tier::{ALL, ITERATOR, Tier};

table![
    processes_older_than_the_agent_are_all_in_their_groups for ALL,
    process_1_in_the_iterator_tier_counts_from_the_start_of_the_agent for &[&ITERATOR],
];

/// A group for each process, kernel threads included.
const BY_PID: &str = "process_names: [{name: 'pid{{.PID}}', cmdline: ['.*']}]\n";

fn listed() -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

/// Processes of `pids` that have the start they had in `starts`, and are there now.
fn survivors(pids: &BTreeSet<u32>, starts: &[(u32, String)]) -> Vec<u32> {
    let is_same = |pid: u32| {
        let start = start(pid);
        start.is_some() && starts.contains(&(pid, start.unwrap_or_default()))
    };
    pids.iter().copied().filter(|pid| is_same(*pid)).collect()
}

/// Field 22 of `stat`.
fn start(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

fn processes_older_than_the_agent_are_all_in_their_groups(tier: &'static Tier) {
    let before = listed();
    let starts: Vec<_> = before
        .iter()
        .filter_map(|pid| Some((*pid, start(*pid)?)))
        .collect();
    let agent = Agent::start_with(tier, &[], Some(BY_PID));
    let samples = agent.scrape();
    let survivors = survivors(&before, &starts);
    assert!(survivors.contains(&1), "process 1 is always there");
    for pid in survivors {
        let group = format!("pid{pid}");
        assert_eq!(samples.group(&group).processes(), 1.0, "{}", agent.log());
    }
    if tier.name == ITERATOR.name {
        let omitted = [("outcome", "omitted")];
        assert_eq!(samples.the("headcount_processes_hidden", &omitted), 0.0);
    }
}

/// The time of a process that the iterator does not show comes from `/proc`, and does not fall.
fn process_1_in_the_iterator_tier_counts_from_the_start_of_the_agent(tier: &'static Tier) {
    let agent = Agent::start_with(tier, &[], Some(BY_PID));
    let cpu_ns = || {
        let samples = agent.scrape();
        let group = samples.group("pid1");
        assert_eq!(group.processes(), 1.0);
        group.cpu_ns()
    };
    let first_ns = cpu_ns();
    // Its history is longer than the test.
    assert!(first_ns < 5e9, "{first_ns}");
    assert!(cpu_ns() >= first_ns);
    let hidden = agent.scrape();
    let read = hidden.the("headcount_processes_hidden", &[("outcome", "read")]);
    let warnings = agent.warnings();
    let told = warnings.iter().filter(|line| line.contains("hides"));
    assert_eq!(told.count(), usize::from(read > 0.0), "{warnings:?}");
}

//! Headcount beside the real process-exporter, and with the real clients of it: Prometheus and curl.
//!
//! Beside process-exporter: the same trees, the same configurations, the same changes between scrapes;
//! every value of every family must be equal, or differ in a way that section 8 of docs/dev/compatibility.md names.
//!
//! In: the peer's binary, in `HEADCOUNT_PEER` (`cargo xtask parity` fetches it); for [`prometheus`], [`dashboards`], [`exporters`],
//! [`fan_in`], [`fan_in_page`], [`merged`], [`rules`] and [`scale`], that one's folder; for [`exporters`] also the binary of
//! node_exporter in `HEADCOUNT_NODE_EXPORTER`, and the folder of the Python package prometheus_client in
//! `HEADCOUNT_PYTHON_CLIENT`. Out: the differences, by history, step and series. The histories are made from their number, so a
//! failing one is the same again; the rows of that document come first.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod allowed;
mod compare;
mod configuration;
mod curl;
mod dashboards;
mod exporters;
mod fan_in;
mod fan_in_page;
mod history;
mod live;
mod merged;
mod names;
mod nats;
mod peer;
mod prometheus;
mod rows;
mod rules;
mod scale;
mod scripted;
mod secured;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;

use compare::Comparison;
use history::History;
use peer::Peer;
use support::agent::Launch;
use support::fake_proc::FakeProc;

/// How many histories there are.
const HISTORIES: u64 = 200;
/// How many are played at a time: they wait for two programs to start more than they compute.
const AT_A_TIME: usize = 4;

/// The results of all histories.
#[derive(Default)]
struct Findings {
    /// Differences that nothing allows.
    complaints: Vec<String>,
    /// How often each row P explained one.
    allowed: BTreeMap<u32, u64>,
    /// Values that were equal.
    equal: u64,
}

#[test]
fn both_programs_show_the_same_values() {
    let findings = Mutex::new(Findings::default());
    let histories = Mutex::new(
        rows::histories()
            .chain(scripted::histories())
            .chain((0..HISTORIES).map(History::new)),
    );
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(history) = histories.lock().unwrap().next() else {
                        return;
                    };
                    play(&history, &findings);
                }
            });
        }
    });
    let findings = findings.into_inner().unwrap();
    println!(
        "{} values were equal; differences that rows P of docs/dev/compatibility.md allow, by number: {:?}",
        findings.equal, findings.allowed
    );
    assert!(
        findings.complaints.is_empty(),
        "{} differences that nothing allows:\n{}",
        findings.complaints.len(),
        findings.complaints[..findings.complaints.len().min(40)].join("\n")
    );
    assert!(findings.equal > 50_000, "the histories say too little");
}

/// Plays one history to both.
fn play(history: &History, findings: &Mutex<Findings>) {
    let tree = FakeProc::new(world::BTIME);
    let mut world = history.first.clone();
    world.write(&tree, None);
    let flags: Vec<&str> = history.flags.iter().map(String::as_str).collect();
    // Proportional memory is read beside the scrapes (9.16): no step has a value that must be there.
    let ours = Launch::on(&tree).arg("-gather-smaps=false").args(&flags);
    let ours = match history.yaml.as_str() {
        "" => ours,
        yaml => ours.config(yaml),
    };
    let ours = ours.start();
    let theirs = Peer::start(&tree, &flags, &history.yaml);
    for step in 0..=history.steps.len() {
        if let Some(change) = step.checked_sub(1).and_then(|step| history.steps.get(step)) {
            let before = std::mem::replace(&mut world, change.clone());
            world.write(&tree, Some(&before));
        }
        let comparison = Comparison::of(&theirs.scrape(), &ours.scrape().body, &world);
        let mut findings = findings.lock().unwrap();
        findings.equal += comparison.equal;
        for number in comparison.allowed {
            *findings.allowed.entry(number).or_default() += 1;
        }
        for complaint in comparison.complaints {
            let place = format!("history {} step {step}: {complaint}", history.name);
            findings.complaints.push(place);
        }
    }
}

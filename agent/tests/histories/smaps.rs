//! Proportional memory: read beside the scrapes (P16 and P21).

use std::time::{Duration, Instant};

use support::agent::until;
use support::fake_proc::smaps;

use super::*;

/// Shares in RAM and swapped out, if the group shows any.
fn share(scrape: &Scrape, group: &str) -> Option<(f64, f64)> {
    let of = |kind| scrape.labelled(group, "memory_bytes", ("memtype", kind));
    let share = of("proportionalResident").zip(of("proportionalSwapped"));
    assert_eq!(share.is_some(), of("proportionalResident").is_some());
    share
}

fn own(scrape: &Scrape, name: &str) -> Option<f64> {
    scrape.value(&format!("headcount_smaps_{name}"), &[])
}

/// Scrapes until it is so.
fn await_that(agent: &Agent, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    let mut last = agent.scrape();
    until(what, || {
        last = agent.scrape();
        is_so(&last)
    });
    last
}

fn await_share(agent: &Agent, group: &str, expected: (f64, f64)) -> Scrape {
    let what = format!("{expected:?} of {group}");
    await_that(agent, &what, |scrape| {
        share(scrape, group) == Some(expected)
    })
}

/// A reading of this one never ends.
fn hold_up(tree: &FakeProc, pid: u32) {
    use std::os::unix::ffi::OsStrExt as _;
    let path = tree.path(pid).join("smaps_rollup");
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `path` is a C string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn the_shares_of_the_members_are_added_up() {
    let tree = tree();
    named(&tree, 5, "g").share_kib(100, 7).write();
    named(&tree, 6, "g").share_kib(30, 1).write();
    named(&tree, 7, "h").write();
    let agent = tracking(&tree, &["g", "h"]);
    let kib = |n: u64| (n << 10) as f64;
    let scrape = await_share(&agent, "g", (kib(130), kib(8)));
    // It has no file: absent, not 0.
    assert_eq!(share(&scrape, "h"), None);
    named(&tree, 6, "g").share_kib(50, 0).write();
    let scrape = await_share(&agent, "g", (kib(150), kib(7)));
    assert!(own(&scrape, "readings_total") >= Some(3.0));
    assert!(own(&scrape, "failures_total") >= Some(1.0));
    assert!(own(&scrape, "oldest_reading_age_seconds").unwrap() < 60.0);
    assert_eq!(own(&scrape, "readers_held_up"), Some(0.0));
    assert_eq!(scrape.errors(), [0.0; 3], "nothing that a pass reads");
    // A reading stays while the file cannot be read again.
    tree.make_unreadable(6, "smaps_rollup");
    let failures = own(&scrape, "failures_total");
    await_that(&agent, "a failure more", |scrape| {
        own(scrape, "failures_total") > failures.map(|failures| failures + 2.0)
    });
    assert_eq!(share(&agent.scrape(), "g"), Some((kib(150), kib(7))));
    // An empty group holds nothing.
    tree.remove(5);
    tree.remove(6);
    assert_eq!(share(&agent.scrape(), "g"), Some((0.0, 0.0)));
}

#[test]
fn without_a_rollup_the_mappings_are_added_up() {
    let tree = tree();
    named(&tree, 5, "g").write();
    tree.write(5, "smaps", smaps(3, 1) + &smaps(4, 2));
    let agent = tracking(&tree, &["g"]);
    await_share(&agent, "g", (7.0 * 1024.0, 3.0 * 1024.0));
}

#[test]
fn process_without_mappings_has_zero_share_and_is_not_read() {
    let tree = tree();
    named(&tree, 5, "g").virtual_bytes(0).write();
    let agent = tracking(&tree, &["g"]);
    let scrape = agent.scrape();
    assert_eq!(share(&scrape, "g"), Some((0.0, 0.0)));
    assert_eq!(own(&agent.scrape(), "failures_total"), Some(0.0));
    // It shows nothing of others that were not read yet.
    named(&tree, 6, "g").write();
    assert_eq!(share(&agent.scrape(), "g"), None);
}

#[test]
fn processes_whose_reading_blocks_hold_up_neither_scrapes_nor_others() {
    let tree = tree();
    named(&tree, 5, "stuck").write();
    hold_up(&tree, 5);
    named(&tree, 6, "g").share_kib(1, 2).write();
    let agent = tracking(&tree, &["stuck", "g"]);
    let begun = Instant::now();
    for _ in 0..10 {
        agent.scrape();
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    let scrape = await_share(&agent, "g", (1024.0, 2048.0));
    assert_eq!(share(&scrape, "stuck"), None);
    await_that(&agent, "one reader held up", |scrape| {
        own(scrape, "readers_held_up") == Some(1.0)
    });
    let (status, _) = agent.stop(libc::SIGTERM);
    assert!(status.success(), "{status:?}");
}

#[test]
fn user_whose_processes_do_not_answer_leaves_readers_for_others() {
    let tree = tree();
    for pid in 10..16 {
        named(&tree, pid, "stuck").uids((1000, 1000)).write();
        hold_up(&tree, pid);
    }
    let agent = tracking(&tree, &["stuck", "g", "own"]);
    await_that(&agent, "the share of the user is used up", |scrape| {
        own(scrape, "readers_held_up") == Some(2.0) && own(scrape, "refused_total") > Some(3.0)
    });
    named(&tree, 20, "g")
        .uids((1001, 1001))
        .share_kib(3, 0)
        .write();
    named(&tree, 21, "own").share_kib(4, 0).write();
    await_share(&agent, "g", (3.0 * 1024.0, 0.0));
    await_share(&agent, "own", (4.0 * 1024.0, 0.0));
    assert_eq!(own(&agent.scrape(), "readers_held_up"), Some(2.0));
}

#[test]
fn reading_beyond_the_budget_reduces_later_budgets() {
    let tree = tree();
    for pid in 10..30 {
        named(&tree, pid, "g").share_kib(1, 1).write();
    }
    let yaml = "process_names: [{comm: [g], name: g}]";
    let launch = Launch::on(&tree).config(yaml).arg("-smaps.budget=1us");
    let agent = launch.start();
    await_that(&agent, "a reading", |scrape| {
        own(scrape, "readings_total") > Some(0.0)
    });
    for _ in 0..5 {
        agent.scrape();
    }
    let readings = own(&agent.scrape(), "readings_total");
    assert!(readings < Some(10.0), "{readings:?} in a dozen scrapes");
}

#[test]
fn proportional_memory_can_be_left_out() {
    let tree = tree();
    named(&tree, 5, "g").share_kib(100, 7).write();
    let yaml = "process_names: [{comm: [g], name: g}]";
    let launch = Launch::on(&tree).config(yaml).arg("-gather-smaps=false");
    let agent = launch.start();
    agent.scrape();
    let scrape = agent.scrape();
    assert_eq!(share(&scrape, "g"), None);
    assert!(!scrape.body.contains("headcount_smaps_"));
    let absent = [("fact", "proportional_memory"), ("source", "absent")];
    assert_eq!(scrape.value("headcount_source_info", &absent), Some(1.0));
}

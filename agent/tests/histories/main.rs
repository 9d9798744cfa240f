//! The acceptance cases of docs/dev/compatibility.md through the real binary in the procfs tier: histories (section 6.4, `h…` here),
//! upstream's unit cases (6.1, `upstream`) and some of the matching table (6.2, `matching`).
//!
//! A tree of files is changed between scrapes. Expected values are those of process-exporter, except where section 8
//! mends them; then process-exporter's value is in a comment. Threads by name are in `threads`, proportional
//! memory in `smaps`.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod beyond;
mod extremes;
mod flags;
mod in_no_group;
mod matching;
mod names;
mod pods;
mod reload;
mod smaps;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod upstream;

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use support::agent::{Agent, Launch};
use support::fake_proc::{FakeProc, FakeProcess, FakeThread};
use support::scrape::{Scrape, groups};

/// When the machine of the trees booted.
const BTIME: u64 = 1_508_450_329;

fn tree() -> FakeProc {
    FakeProc::new(BTIME)
}

/// Start of a process that is younger than any agent of this test run, ticks: in an hour, so that no clock matters.
/// Always the same, since it is half of a process's identity.
fn later() -> u64 {
    static LATER: LazyLock<u64> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        (now.as_secs() + 3600 - BTIME) * 100
    });
    *LATER
}

/// A process whose task name and only argument are `name`.
fn named(tree: &FakeProc, pid: u32, name: &str) -> FakeProcess {
    tree.process(pid).comm(name).argv(&[name])
}

/// An agent that groups the processes of these names, each in a group of its own.
fn tracking(tree: &FakeProc, comms: &[&str]) -> Agent {
    launch(tree, comms).start()
}

fn launch(tree: &FakeProc, comms: &[&str]) -> Launch {
    let list = comms.join(", ");
    let yaml = format!("process_names:\n  - name: '{{{{.Comm}}}}'\n    comm: [{list}]\n");
    Launch::on(tree).config(&yaml)
}

#[test]
fn h01_the_nearest_tracked_ancestor_decides() {
    let tree = tree();
    for (pid, parent, name) in [
        (1, 0, "init"),
        (2, 1, "g2"),
        (3, 2, "x"),
        (4, 3, "g4"),
        (5, 4, "y"),
        (6, 1, "z"),
    ] {
        named(&tree, pid, name).parent(parent).write();
    }
    let agent = tracking(&tree, &["g2", "g4"]);
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 2), ("g4", 2)]));
}

#[test]
fn h03_child_of_an_unknown_parent_is_in_no_group() {
    let tree = tree();
    named(&tree, 5, "x").parent(77).write();
    let agent = tracking(&tree, &["g2"]);
    assert_eq!(agent.scrape().groups(), groups(&[]));
}

#[test]
fn h05_unmatched_process_stays_untracked() {
    let tree = tree();
    named(&tree, 5, "bash").write();
    let agent = tracking(&tree, &["g2"]);
    assert_eq!(agent.scrape().groups(), groups(&[]));
    named(&tree, 5, "g2").write();
    assert_eq!(agent.scrape().groups(), groups(&[]));
    named(&tree, 6, "x").parent(5).start_ticks(later()).write();
    assert_eq!(agent.scrape().groups(), groups(&[]));
    // The name alone is no obstacle: another process of it is tracked.
    named(&tree, 7, "g2").start_ticks(later()).write();
    assert_eq!(agent.scrape().groups(), groups(&[("g2", 1)]));
}

#[test]
fn h10_history_before_the_agent_is_not_counted() {
    let tree = tree();
    let process = named(&tree, 5, "g").user_ticks(100_000).system_ticks(7);
    process.clone().io(1 << 30, 1 << 20).switches(9, 9).write();
    let agent = tracking(&tree, &["g"]);
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g", 1)]));
    assert_eq!(
        (scrape.cpu("g"), scrape.switches("g")),
        ((0.0, 0.0), (0.0, 0.0))
    );
    assert_eq!(scrape.of("g", "read_bytes_total"), Some(0.0));
    process.user_ticks(100_150).write();
    assert_eq!(agent.scrape().cpu("g"), (1.5, 0.0));
}

#[test]
fn h12_all_of_a_process_born_under_the_agent_is_counted() {
    let tree = tree();
    let agent = tracking(&tree, &["g"]);
    let worker = FakeThread {
        user_ticks: 400,
        start_ticks: later(),
        ..FakeThread::new(6, "worker")
    };
    let born = named(&tree, 5, "g").start_ticks(later());
    born.user_ticks(900).thread(worker).write();
    assert_eq!(agent.scrape().cpu("g"), (9.0, 0.0));
}

#[test]
fn h13_an_old_process_that_appears_late_brings_no_history() {
    let tree = tree();
    let agent = tracking(&tree, &["g"]);
    named(&tree, 5, "g").user_ticks(555).write();
    let scrape = agent.scrape();
    assert_eq!(
        (scrape.groups(), scrape.cpu("g")),
        (groups(&[("g", 1)]), (0.0, 0.0))
    );
}

#[test]
fn h14_h15_nothing_is_counted_twice_and_a_group_goes_on_from_where_it_stopped() {
    let tree = tree();
    let agent = tracking(&tree, &["g"]);
    let seen = |agent: &Agent| {
        let scrape = agent.scrape();
        (scrape.of("g", "num_procs").unwrap(), scrape.cpu("g").0)
    };
    let born = named(&tree, 5, "g").start_ticks(later()).user_ticks(800);
    born.write();
    assert_eq!(seen(&agent), (1.0, 8.0));
    tree.make_unreadable(5, "limits");
    assert_eq!(seen(&agent), (0.0, 8.0));
    born.write();
    // process-exporter: 16.
    assert_eq!(seen(&agent), (1.0, 8.0));
    born.clone().user_ticks(900).write();
    assert_eq!(seen(&agent), (1.0, 9.0));
    // Its use after its last scrape is lost in this tier; counted use stays.
    tree.remove(5);
    assert_eq!(seen(&agent), (0.0, 9.0));
    named(&tree, 6, "g")
        .start_ticks(later())
        .user_ticks(10)
        .write();
    assert_eq!(seen(&agent), (1.0, 9.1));
}

#[test]
fn h16_io_that_becomes_unreadable_neither_falls_nor_wraps() {
    let tree = tree();
    let process = named(&tree, 5, "g");
    process.clone().io(1000, 10).write();
    let agent = tracking(&tree, &["g"]);
    let seen = |agent: &Agent| {
        let scrape = agent.scrape();
        (scrape.of("g", "read_bytes_total").unwrap(), scrape.errors())
    };
    assert_eq!(seen(&agent), (0.0, [0.0, 0.0, 0.0]));
    process.clone().io(1500, 10).write();
    assert_eq!(seen(&agent), (500.0, [0.0, 0.0, 0.0]));
    tree.make_unreadable(5, "io");
    // process-exporter: 1.8e19.
    assert_eq!(seen(&agent), (500.0, [0.0, 0.0, 1.0]));
    process.io(1600, 10).write();
    assert_eq!(seen(&agent), (600.0, [0.0, 0.0, 1.0]));
}

#[test]
fn io_unreadable_at_first_counts_from_its_first_successful_reading() {
    const LIFETIME: u64 = 5_000_000_000_000;
    // One older than the agent, and one that starts while it runs.
    for start_ticks in [100, later()] {
        let tree = tree();
        let bystander = named(&tree, 4, "other").io(0, 0);
        bystander.write();
        let agent = tracking(&tree, &["g"]);
        let read = |agent: &Agent| agent.scrape().of("g", "read_bytes_total");
        let process = named(&tree, 5, "g").start_ticks(start_ticks);
        process.clone().io(LIFETIME, 10).write();
        tree.make_unreadable(5, "io");
        // process-exporter: 0.
        assert_eq!(read(&agent), None);
        assert_eq!(read(&agent), None);
        process.clone().io(LIFETIME, 10).write();
        assert_eq!(read(&agent), Some(0.0), "started at {start_ticks}");
        process.clone().io(LIFETIME + 7, 10).write();
        assert_eq!(read(&agent), Some(7.0), "started at {start_ticks}");
        tree.remove(5);
        assert_eq!(read(&agent), Some(7.0), "its group is empty");
    }
}

/// A process of two threads with these voluntary switches; the second has the number `tid`.
fn switching(tree: &FakeProc, main: u64, tid: u32, second: u64) -> FakeProcess {
    named(tree, 5, "g").switches(main, 0).thread(FakeThread {
        voluntary: second,
        ..FakeThread::new(tid, "worker")
    })
}

#[test]
fn h17_switches_of_a_thread_that_ended_stay_counted() {
    let tree = tree();
    switching(&tree, 10, 6, 10).write();
    let agent = tracking(&tree, &["g"]);
    assert_eq!(agent.scrape().switches("g"), (0.0, 0.0));
    switching(&tree, 20, 6, 30).write();
    assert_eq!(agent.scrape().switches("g"), (30.0, 0.0));
    switching(&tree, 25, 7, 5).write();
    // 5 more of the main thread, 5 of the new one; process-exporter: 10, so it fell.
    assert_eq!(agent.scrape().switches("g"), (40.0, 0.0));
}

#[test]
fn h17b_switches_do_not_wrap_when_only_the_main_thread_is_left() {
    let tree = tree();
    switching(&tree, 10, 6, 20).write();
    let agent = tracking(&tree, &["g"]);
    assert_eq!(agent.scrape().switches("g"), (0.0, 0.0));
    named(&tree, 5, "g").switches(11, 0).write();
    // process-exporter: 1.8446744073709552e+19.
    assert_eq!(agent.scrape().switches("g"), (1.0, 0.0));
}

#[test]
fn h21_each_thread_is_counted_once() {
    let tree = tree();
    let worker = FakeThread {
        state: 'R',
        ..FakeThread::new(6, "worker")
    };
    named(&tree, 5, "g").wchan("poll").thread(worker).write();
    let scrape = tracking(&tree, &["g"]).scrape();
    // process-exporter: Sleeping 2 and poll 2.
    assert_eq!(scrape.states("g"), [1.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(
        scrape.labelled("g", "threads_wchan", ("wchan", "poll")),
        Some(1.0)
    );
    assert_eq!(scrape.body.matches("threads_wchan{").count(), 1);
    assert_eq!(scrape.of("g", "num_threads"), Some(2.0));
}

#[test]
fn h22_an_empty_group_has_zeros_and_no_start() {
    let tree = tree();
    let process = named(&tree, 5, "g").wchan("poll").open_files(3).swap_kib(1);
    process.start_ticks(1000).write();
    let agent = tracking(&tree, &["g"]);
    let start = "oldest_start_time_seconds";
    let scrape = agent.scrape();
    assert_eq!(scrape.of("g", start), Some((BTIME + 10) as f64));
    assert_eq!(
        scrape.labelled("g", "threads_wchan", ("wchan", "poll")),
        Some(1.0)
    );
    tree.remove(5);
    let scrape = agent.scrape();
    assert_nothing_is_held(&scrape, "g");
    // process-exporter: -62135596800.
    assert_eq!(scrape.of("g", start), None);
    assert!(!scrape.body.contains("threads_wchan{"), "{}", scrape.body);
}

fn assert_nothing_is_held(scrape: &Scrape, group: &str) {
    for family in [
        "num_procs",
        "open_filedesc",
        "worst_fd_ratio",
        "num_threads",
    ] {
        assert_eq!(scrape.of(group, family), Some(0.0), "{family}");
    }
    for memory in ["resident", "virtual", "swapped"] {
        let bytes = scrape.labelled(group, "memory_bytes", ("memtype", memory));
        assert_eq!(bytes, Some(0.0), "{memory}");
    }
    assert_eq!(scrape.states(group), [0.0; 5]);
}

#[test]
fn h24_state_letters() {
    let tree = tree();
    for (pid, letter) in (10..).zip("RSDZTtXxKWPI".chars()) {
        named(&tree, pid, "g").state(letter).write();
    }
    let scrape = tracking(&tree, &["g"]).scrape();
    assert_eq!(scrape.states("g"), [1.0, 1.0, 1.0, 1.0, 8.0]);
}

/// The effect of a missing or unreadable file of a tracked process: processes, errors at the first scrape, errors more at
/// each later one.
fn failing(file: &str, break_it: fn(&FakeProc, u32, &str)) -> (Option<f64>, [f64; 3], [f64; 3]) {
    let tree = tree();
    named(&tree, 5, "g").open_files(2).wchan("poll").write();
    break_it(&tree, 5, file);
    let agent = tracking(&tree, &["g"]);
    let first = agent.scrape();
    let before = first.errors();
    let mut more = agent.scrape().errors();
    more.iter_mut()
        .zip(before)
        .for_each(|(more, before)| *more -= before);
    named(&tree, 5, "g").write();
    let mended = agent.scrape();
    assert_eq!(mended.groups(), groups(&[("g", 1)]), "{file} is back");
    (first.of("g", "num_procs"), before, more)
}

#[test]
fn h25_files_that_are_missing_or_unreadable() {
    // Start-up and scrape; process-exporter counts status and limits at start-up only, and stat and cmdline never.
    let unread = (None, [0.0, 2.0, 0.0], [0.0, 1.0, 0.0]);
    let whole = (Some(1.0), [0.0; 3], [0.0; 3]);
    let partial = (Some(1.0), [0.0, 0.0, 2.0], [0.0, 0.0, 1.0]);
    for (file, expected) in [
        ("stat", unread),
        ("status", unread),
        ("limits", unread),
        ("cmdline", unread),
        ("cgroup", whole),
        ("io", partial),
        ("wchan", partial),
        ("fd", partial),
        ("task", partial),
    ] {
        assert_eq!(failing(file, FakeProc::delete), expected, "missing {file}");
        let unreadable = failing(file, FakeProc::make_unreadable);
        assert_eq!(unreadable, expected, "unreadable {file}");
    }
}

#[test]
fn h26_a_root_that_disappears_costs_one_scrape() {
    let tree = tree();
    let process = named(&tree, 5, "g");
    process.write();
    let agent = tracking(&tree, &["g"]);
    process.clone().user_ticks(100).write();
    assert_eq!(agent.scrape().cpu("g"), (1.0, 0.0));
    tree.hide();
    let scrape = agent.scrape();
    assert_eq!(
        (scrape.groups(), scrape.errors()),
        (groups(&[]), [1.0, 0.0, 0.0])
    );
    assert!(!scrape.body.contains("groupname="), "{}", scrape.body);
    let (status, reasons) = agent.health();
    assert_eq!(status, "degraded");
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("the last pass failed")),
        "{reasons:?}"
    );
    tree.unhide();
    process.user_ticks(150).write();
    let scrape = agent.scrape();
    assert_eq!(
        (scrape.groups(), scrape.errors()),
        (groups(&[("g", 1)]), [1.0, 0.0, 0.0])
    );
    assert_eq!(scrape.cpu("g"), (1.5, 0.0));
}

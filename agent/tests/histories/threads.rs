//! Threads by name (section 3.2; rules of 3.6), with the changes of section 8.

use std::collections::BTreeMap;

use super::*;

/// A thread that has used `n` times 1, 2, 3, … of everything that counts.
fn worker(tid: u32, comm: &str, n: u64) -> FakeThread {
    FakeThread {
        user_ticks: 100 * n,
        system_ticks: 200 * n,
        read_bytes: 3 * n,
        write_bytes: 4 * n,
        major_faults: 5 * n,
        minor_faults: 6 * n,
        voluntary: 7 * n,
        nonvoluntary: 8 * n,
        ..FakeThread::new(tid, comm)
    }
}

/// A process in the group `g` with these threads; its main thread never does anything.
fn process(tree: &FakeProc, threads: &[FakeThread]) -> FakeProcess {
    let process = named(tree, 5, "g");
    threads.iter().cloned().fold(process, FakeProcess::thread)
}

fn value(scrape: &Scrape, family: &str, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
    let mut labels = vec![("groupname", "g"), ("threadname", name)];
    labels.extend(label);
    scrape.value(&format!("namedprocess_namegroup_thread_{family}"), &labels)
}

/// Count and all counters of a thread name, if it has rows.
fn row(scrape: &Scrape, name: &str) -> Option<(f64, [f64; 8])> {
    let of = |family, label| value(scrape, family, name, label).unwrap();
    let count = value(scrape, "count", name, None)?;
    let used = [
        of("cpu_seconds_total", Some(("mode", "user"))),
        of("cpu_seconds_total", Some(("mode", "system"))),
        of("io_bytes_total", Some(("iomode", "read"))),
        of("io_bytes_total", Some(("iomode", "write"))),
        of("major_page_faults_total", None),
        of("minor_page_faults_total", None),
        of(
            "context_switches_total",
            Some(("ctxswitchtype", "voluntary")),
        ),
        of(
            "context_switches_total",
            Some(("ctxswitchtype", "nonvoluntary")),
        ),
    ];
    Some((count, used))
}

/// The use of [`worker`].
fn times(n: f64) -> [f64; 8] {
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].map(|one| one * n)
}

#[test]
fn u9_growth_counts_for_known_threads_of_processes_that_have_several() {
    let tree = tree();
    process(&tree, &[]).write();
    let agent = tracking(&tree, &["g"]);
    assert!(!agent.scrape().body.contains("threadname="));
    process(&tree, &[worker(6, "t1", 1), worker(7, "t2", 1)]).write();
    let scrape = agent.scrape();
    for name in ["g", "t1", "t2"] {
        assert_eq!(row(&scrape, name), Some((1.0, times(0.0))), "{name}");
    }
    // One more, older than the agent.
    let three = [worker(6, "t1", 2), worker(7, "t2", 3), worker(8, "t2", 9)];
    process(&tree, &three).write();
    let scrape = agent.scrape();
    assert_eq!(row(&scrape, "t1"), Some((1.0, times(1.0))));
    assert_eq!(row(&scrape, "t2"), Some((2.0, times(2.0))));
    process(&tree, &[worker(6, "t1", 2), worker(8, "t2", 10)]).write();
    let scrape = agent.scrape();
    assert_eq!(row(&scrape, "t1"), Some((1.0, times(1.0))));
    assert_eq!(row(&scrape, "t2"), Some((1.0, times(3.0))));
}

#[test]
fn u14_a_name_disappears_with_its_last_thread_and_goes_on_when_it_returns() {
    let tree = tree();
    process(&tree, &[worker(6, "t1", 1), worker(7, "t2", 1)]).write();
    let agent = tracking(&tree, &["g"]);
    agent.scrape();
    let three = [worker(6, "t1", 2), worker(7, "t2", 2), worker(8, "t2", 1)];
    process(&tree, &three).write();
    let scrape = agent.scrape();
    assert_eq!(row(&scrape, "t1"), Some((1.0, times(1.0))));
    assert_eq!(row(&scrape, "t2"), Some((2.0, times(1.0))));
    process(&tree, &[worker(7, "t2", 4), worker(8, "t2", 7)]).write();
    let scrape = agent.scrape();
    assert_eq!(row(&scrape, "t1"), None);
    assert_eq!(row(&scrape, "t2"), Some((2.0, times(9.0))));
    // process-exporter: from 0 again. The thread is older than the agent, so its unseen use is not counted.
    process(&tree, &[worker(6, "t1", 3), worker(7, "t2", 4)]).write();
    assert_eq!(row(&agent.scrape(), "t1"), Some((1.0, times(1.0))));
}

#[test]
fn a_process_of_one_thread_again_shows_no_names_and_keeps_their_counters() {
    let tree = tree();
    process(&tree, &[worker(6, "t", 1)]).write();
    let agent = tracking(&tree, &["g"]);
    process(&tree, &[worker(6, "t", 2)]).write();
    assert_eq!(row(&agent.scrape(), "t"), Some((1.0, times(1.0))));
    process(&tree, &[]).write();
    assert!(!agent.scrape().body.contains("threadname="));
    process(&tree, &[worker(6, "t", 9)]).write();
    assert_eq!(row(&agent.scrape(), "t"), Some((1.0, times(1.0))));
}

#[test]
fn an_empty_group_shows_no_names_and_keeps_their_history() {
    let tree = tree();
    process(&tree, &[worker(6, "t", 1)]).write();
    let agent = tracking(&tree, &["g"]);
    process(&tree, &[worker(6, "t", 3)]).write();
    assert_eq!(row(&agent.scrape(), "t"), Some((1.0, times(2.0))));
    tree.remove(5);
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("g", 0)]));
    assert!(!scrape.body.contains("threadname="), "{}", scrape.body);
    let born = FakeThread {
        start_ticks: later(),
        ..worker(9, "t", 1)
    };
    let process = process(&tree, &[born]).start_ticks(later());
    process.write();
    assert_eq!(row(&agent.scrape(), "t"), Some((1.0, times(3.0))));
}

#[test]
fn h12_a_thread_born_under_the_agent_counts_from_its_birth() {
    let tree = tree();
    process(&tree, &[worker(6, "old", 5)]).write();
    let agent = tracking(&tree, &["g"]);
    let young = FakeThread {
        start_ticks: later(),
        ..worker(7, "young", 4)
    };
    process(&tree, &[worker(6, "old", 6), young.clone()]).write();
    let scrape = agent.scrape();
    // process-exporter: 0 for the young one.
    assert_eq!(row(&scrape, "old"), Some((1.0, times(1.0))));
    assert_eq!(row(&scrape, "young"), Some((1.0, times(4.0))));
    // And so does a whole process, its main thread too: in a tree of files that has the numbers of the process.
    let tree = super::tree();
    let agent = tracking(&tree, &["g"]);
    let born = process(&tree, &[young]).start_ticks(later());
    born.user_ticks(900).write();
    let scrape = agent.scrape();
    assert_eq!(scrape.cpu("g"), (9.0, 0.0));
    assert_eq!(row(&scrape, "young"), Some((1.0, times(4.0))));
    let main = value(&scrape, "cpu_seconds_total", "g", Some(("mode", "user")));
    assert_eq!(main, Some(9.0));
}

#[test]
fn h17_h17b_counters_of_a_name_neither_fall_nor_wrap() {
    let tree = tree();
    process(&tree, &[worker(6, "t", 10)]).write();
    let agent = tracking(&tree, &["g"]);
    assert_eq!(row(&agent.scrape(), "t"), Some((1.0, times(0.0))));
    process(&tree, &[worker(6, "t", 30)]).write();
    assert_eq!(row(&agent.scrape(), "t"), Some((1.0, times(20.0))));
    // Replaced by another of that name: the counters stay.
    process(&tree, &[worker(7, "t", 5)]).write();
    assert_eq!(row(&agent.scrape(), "t"), Some((1.0, times(20.0))));
    // Values that fall.
    process(&tree, &[worker(7, "t", 4)]).write();
    assert_eq!(row(&agent.scrape(), "t"), Some((1.0, times(20.0))));
    process(&tree, &[]).write();
    assert_eq!(row(&agent.scrape(), "t"), None);
}

#[test]
fn h21_the_main_thread_is_one_of_the_named() {
    let tree = tree();
    process(&tree, &[worker(6, "t", 1)]).write();
    let scrape = tracking(&tree, &["g"]).scrape();
    let count = |name| value(&scrape, "count", name, None);
    assert_eq!((count("g"), count("t")), (Some(1.0), Some(1.0)));
    assert_eq!(scrape.states("g").iter().sum::<f64>(), 2.0);
}

#[test]
fn a_thread_that_renames_itself_counts_under_its_new_name_from_then_on() {
    let tree = tree();
    let second = worker(9, "keeps", 0);
    process(&tree, &[worker(6, "a", 1), second.clone()]).write();
    let agent = tracking(&tree, &["g"]);
    process(&tree, &[worker(6, "b", 3), second]).write();
    let scrape = agent.scrape();
    assert_eq!(row(&scrape, "a"), None);
    assert_eq!(row(&scrape, "b"), Some((1.0, times(2.0))));
}

#[test]
fn hostile_thread_names_are_escaped_and_break_no_scrape() {
    let tree = tree();
    let threads: [&[u8]; 5] = [b"caf\xc3", b"caf\xff", b"} 1\nup{x=\"", b"", b") R 1 (\\"];
    let threads = (6..).zip(threads).map(|(tid, comm)| FakeThread {
        comm: comm.to_vec(),
        ..worker(tid, "", 1)
    });
    process(&tree, &threads.collect::<Vec<_>>()).write();
    let scrape = tracking(&tree, &["g"]).scrape();
    let count = |name| value(&scrape, "count", name, None);
    assert_eq!(count("caf\u{fffd}"), Some(2.0), "{}", scrape.body);
    for name in ["} 1\nup{x=\"", "", ") R 1 (\\"] {
        assert_eq!(count(name), Some(1.0), "{name:?}");
    }
}

#[test]
fn names_are_bounded_and_the_rest_is_counted() {
    let tree = tree();
    let threads: Vec<_> = (100..400)
        .map(|tid| worker(tid, &format!("t{tid}"), 1))
        .collect();
    process(&tree, &threads).write();
    let scrape = tracking(&tree, &["g"]).scrape();
    let names = scrape.body.matches("_thread_count{").count();
    assert_eq!(names, 129, "128 and the rest");
    let rest = 301.0 - 128.0;
    assert_eq!(value(&scrape, "count", "other", None), Some(rest));
    let overflowed = scrape.value("headcount_threads_overflowed", &[]);
    assert_eq!(overflowed, Some(rest));
}

#[test]
fn counters_of_thread_names_that_come_and_go_never_fall_over_25_scrapes() {
    let tree = tree();
    // Thread 100 + n lives at scrapes whose number is no multiple of n + 3, and has a name of its own.
    let alive = |scrape: u64| {
        let threads = (0u32..20).filter(move |n| !scrape.is_multiple_of(u64::from(*n) + 3));
        threads.map(move |n| worker(100 + n, &format!("t{n}"), scrape))
    };
    process(&tree, &alive(1).collect::<Vec<_>>()).write();
    let agent = tracking(&tree, &["g"]);
    let mut last = BTreeMap::new();
    let mut absent = 0;
    for number in 1..=25 {
        process(&tree, &alive(number).collect::<Vec<_>>()).write();
        let scrape = agent.scrape();
        for n in 0..20 {
            let Some((_, now)) = row(&scrape, &format!("t{n}")) else {
                absent += 1;
                continue;
            };
            let before: [f64; 8] = last.insert(n, now).unwrap_or_default();
            let has_fallen = now.iter().zip(before).any(|(now, before)| *now < before);
            assert!(
                !has_fallen,
                "t{n} fell from {before:?} to {now:?} at {number}"
            );
        }
    }
    assert!(absent > 20, "no name was ever absent");
    assert!(last.values().all(|used| used[0] > 0.0), "{last:?}");
    let folded = scrape_folded(&agent.scrape());
    assert_eq!(folded, Some(0.0));
}

fn scrape_folded(scrape: &Scrape) -> Option<f64> {
    scrape.value("headcount_names_folded_total", &[("kind", "thread")])
}

#[test]
fn a_129th_thread_name_takes_the_place_of_an_unused_one_and_other_keeps_its_counts() {
    let tree = tree();
    // With the main thread's, 128 names.
    let all: Vec<_> = (100..227)
        .map(|tid| worker(tid, &format!("t{tid}"), 1))
        .collect();
    let later = |n| {
        move |thread: &FakeThread| worker(thread.tid, &String::from_utf8_lossy(&thread.comm), n)
    };
    process(&tree, &all).write();
    let agent = tracking(&tree, &["g"]);
    let twice: Vec<_> = all.iter().map(later(3)).collect();
    process(&tree, &twice).write();
    assert_eq!(row(&agent.scrape(), "t100"), Some((1.0, times(2.0))));
    // t100 is absent from a whole scrape before its place is needed.
    process(&tree, &twice[1..]).write();
    assert_eq!(scrape_folded(&agent.scrape()), Some(0.0));
    let mut with_new = twice[1..].to_vec();
    with_new.push(FakeThread {
        start_ticks: super::later(),
        ..worker(300, "new", 5)
    });
    process(&tree, &with_new).write();
    let scrape = agent.scrape();
    assert_eq!(scrape_folded(&scrape), Some(1.0));
    assert_eq!(row(&scrape, "new"), Some((1.0, times(5.0))));
    assert_eq!(row(&scrape, "t100"), None);
    let rest = value(
        &scrape,
        "cpu_seconds_total",
        "other",
        Some(("mode", "user")),
    );
    assert_eq!(rest, Some(2.0));
    assert_eq!(
        value(&scrape, "count", "other", None),
        None,
        "no live thread is other"
    );
}

#[test]
fn thread_names_of_all_groups_together_are_bounded_and_a_small_group_keeps_its_own() {
    let tree = tree();
    for pid in 0u32..60 {
        let group = named(&tree, 10 + pid, &format!("many{pid}"));
        let threads = (0..128).map(|n| FakeThread::new(10_000 + 200 * pid + n, format!("t{n}")));
        threads.fold(group, FakeProcess::thread).write();
    }
    process(&tree, &[worker(6, "a", 1), worker(7, "b", 1)]).write();
    let agent = Launch::on(&tree).start();
    agent.scrape();
    let scrape = agent.scrape();
    let names = scrape.body.matches("_thread_count{").count();
    assert!((4000..=4096 + 60).contains(&names), "{names} names");
    for name in ["g", "a", "b"] {
        assert_eq!(value(&scrape, "count", name, None), Some(1.0), "{name}");
    }
    let lines = scrape.body.lines();
    let counts = lines.filter(|line| line.starts_with("namedprocess_namegroup_thread_count{"));
    let shown: f64 = counts
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(shown, 60.0 * 129.0 + 3.0);
    let overflowed = scrape.value("headcount_threads_overflowed", &[]).unwrap();
    assert!(overflowed >= 60.0 * 129.0 - 4096.0, "{overflowed}");
}

#[test]
fn without_threads_there_are_no_names_but_states_and_wait_channels() {
    let tree = tree();
    let waiting = FakeThread {
        wchan: "futex".to_owned(),
        state: 'D',
        ..worker(6, "t", 1)
    };
    process(&tree, &[waiting]).write();
    let yaml = "process_names: [{comm: [g], name: g}]";
    let launch = Launch::on(&tree).config(yaml).arg("-threads=false");
    let scrape = launch.start().scrape();
    assert!(!scrape.body.contains("threadname="), "{}", scrape.body);
    assert!(!scrape.body.contains("namegroup_thread_"));
    assert_eq!(scrape.states("g"), [0.0, 1.0, 1.0, 0.0, 0.0]);
    let wchan = scrape.labelled("g", "threads_wchan", ("wchan", "futex"));
    assert_eq!(wchan, Some(1.0));
}

#[test]
fn a_thread_whose_io_is_unreadable_has_the_rest() {
    let tree = tree();
    process(&tree, &[worker(6, "t", 1)]).write();
    tree.make_unreadable(5, "task/6/io");
    let agent = tracking(&tree, &["g"]);
    process(&tree, &[worker(6, "t", 2)]).write();
    tree.make_unreadable(5, "task/6/io");
    let scrape = agent.scrape();
    let used = |family, label| value(&scrape, family, "t", Some(label));
    assert_eq!(used("cpu_seconds_total", ("mode", "system")), Some(2.0));
    for mode in ["read", "write"] {
        // process-exporter: 0.
        assert_eq!(used("io_bytes_total", ("iomode", mode)), None);
    }
    // At the start and at the scrape.
    assert_eq!(scrape.errors(), [0.0, 0.0, 2.0]);
    // The first successful reading is the baseline.
    for (n, bytes) in [(1_000_000, 0.0), (1_000_001, 3.0)] {
        process(&tree, &[worker(6, "t", n)]).write();
        let (_, used) = row(&agent.scrape(), "t").unwrap();
        assert_eq!(used[2], bytes);
    }
}

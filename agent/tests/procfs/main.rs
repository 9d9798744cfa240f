//! The procfs tier on trees of files, for exact values and for failures, and on the `/proc` of this machine.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod faults;

mod real;
#[path = "../support/mod.rs"]
mod support;
mod system_files;

use headcount::host::{Host, HostError};
use headcount::process::{Cpu, Faults, Io, ProcessId, Sample, State, Switches};
use headcount::source::procfs::{ErrorCounts, Procfs, ProcfsError};
use support::fake_proc::{FakeProc, FakeThread};

const BTIME: u64 = 1_508_450_329;
const TICK_NS: u64 = 10_000_000;

fn reader(tree: &FakeProc) -> Procfs {
    Procfs::new(Host::detect(tree.procfs(), tree.rootfs()).unwrap())
}

/// The process of process-exporter's own fixture.
fn write_fixture(tree: &FakeProc) {
    let mut process = tree
        .process(26231)
        .comm("vim")
        .argv(&["vim", "test.go", "+10"])
        .parent(5392)
        .user_ticks(10)
        .system_ticks(4)
        .major_faults(767)
        .minor_faults(1603)
        .rss_pages(1969)
        .virtual_bytes(17_174_528)
        .swap_kib(10)
        .io(1_814_455, 0)
        .switches(72, 6)
        .open_files(5)
        .start_ticks(324_219)
        .uids((1000, 1000))
        .cgroup("8:cpu:/user.slice/x:y\n")
        .wchan("poll");
    for tid in 26232..=26237 {
        process = process.thread(FakeThread {
            wchan: "futex".into(),
            ..FakeThread::new(tid, "w")
        });
    }
    process.write();
}

fn only(procfs: &mut Procfs) -> Sample {
    let pass = procfs.pass().unwrap();
    assert_eq!(pass.processes.len(), 1, "{pass:?}");
    pass.processes[0]
}

#[test]
fn every_value_of_the_fixture_process_is_read() {
    let tree = FakeProc::new(BTIME);
    write_fixture(&tree);
    let mut procfs = reader(&tree);
    let pass = procfs.pass().unwrap();
    assert!(!pass.finals_follow && pass.unread.is_empty());
    assert_eq!(pass.processes.len(), 1);
    let sample = pass.processes[0];
    let id = ProcessId {
        tgid: 26231,
        start_ns: 324_219 * TICK_NS,
    };
    assert_eq!(
        (sample.id, sample.parent, sample.state),
        (id, 5392, State::Sleeping)
    );
    let counters = sample.counters;
    assert_eq!(
        counters.cpu,
        Cpu {
            user_ns: 100_000_000,
            system_ns: 40_000_000
        }
    );
    assert_eq!(
        counters.faults,
        Faults {
            major: 767,
            minor: 1603
        }
    );
    assert_eq!(
        counters.io,
        Some(Io {
            read_bytes: 1_814_455,
            write_bytes: 0
        })
    );
    assert_eq!(
        counters.switches,
        Some(Switches {
            voluntary: 72,
            nonvoluntary: 6
        })
    );
    assert_eq!(counters.run_queue_wait_ns, None);
    assert_eq!(sample.memory.resident_bytes, 1969 * procfs.host().page_size);
    assert_eq!(
        (sample.memory.virtual_bytes, sample.memory.swapped_bytes),
        (17_174_528, 10_240)
    );
    assert_eq!((sample.threads, sample.fd_limit), (7, Some(1024)));

    let tids: Vec<u32> = pass.threads.iter().map(|thread| thread.tid).collect();
    assert_eq!(
        tids,
        [26232, 26233, 26234, 26235, 26236, 26237],
        "the main thread is not among them"
    );
    assert!(pass.threads.iter().all(|thread| thread.tgid == 26231));
    assert_eq!(procfs.open_files(26231).unwrap(), 5);
    assert_eq!(procfs.wchan(26231, 26231).unwrap().as_deref(), Some("poll"));
    assert_eq!(
        procfs.wchan(26231, 26232).unwrap().as_deref(),
        Some("futex")
    );
    assert_eq!(procfs.errors(), ErrorCounts::default());

    let facts = procfs.facts(26231, None).unwrap();
    assert_eq!((facts.tgid, facts.start_ns), (26231, id.start_ns));
    assert_eq!(facts.comm, b"vim");
    assert_eq!(
        facts.argv.iter().collect::<Vec<_>>(),
        [&b"vim"[..], b"test.go", b"+10"]
    );
    assert_eq!((facts.username.as_str(), facts.incomplete), ("1000", false));
    assert_eq!(facts.cgroups, ["/user.slice/x:y"]);
    // 2017-10-19T22:52:51.19Z
    let start_ms = procfs.host().boot_time * 1000 + facts.start_ns / 1_000_000;
    assert_eq!(start_ms, 1_508_453_571_190);
}

#[test]
fn marker_differs_from_pass_to_pass() {
    let tree = FakeProc::new(BTIME);
    write_fixture(&tree);
    let mut procfs = reader(&tree);
    assert_ne!(only(&mut procfs).ran_marker, only(&mut procfs).ran_marker);
}

#[test]
fn state_letters() {
    let tree = FakeProc::new(BTIME);
    let mut procfs = reader(&tree);
    for (letter, state) in [
        ('R', State::Running),
        ('S', State::Sleeping),
        ('D', State::Waiting),
        ('Z', State::Zombie),
    ]
    .into_iter()
    .chain("TtXxKWPI".chars().map(|letter| (letter, State::Other)))
    {
        let worker = FakeThread {
            state: letter,
            ..FakeThread::new(8, "worker")
        };
        tree.process(7).state(letter).thread(worker).write();
        let pass = procfs.pass().unwrap();
        assert_eq!(
            (pass.processes[0].state, pass.threads[0].state),
            (state, state),
            "{letter}"
        );
    }
}

#[test]
fn threads_carry_their_own_switches() {
    let tree = FakeProc::new(BTIME);
    let worker = |tid, voluntary| FakeThread {
        voluntary,
        ..FakeThread::new(tid, "worker")
    };
    tree.process(7)
        .switches(10, 1)
        .thread(worker(9, 20))
        .thread(worker(8, 30))
        .write();
    let pass = reader(&tree).pass().unwrap();
    assert_eq!(pass.processes[0].counters.switches.unwrap().voluntary, 10);
    let seen: Vec<_> = pass
        .threads
        .iter()
        .map(|t| (t.tid, t.counters.switches.unwrap().voluntary))
        .collect();
    assert_eq!(seen, [(8, 30), (9, 20)]);
}

#[test]
fn use_of_single_threads_is_read_only_if_requested() {
    let tree = FakeProc::new(BTIME);
    let worker = |tid, comm: &str| FakeThread {
        user_ticks: 3,
        minor_faults: 4,
        read_bytes: 5,
        ..FakeThread::new(tid, comm)
    };
    tree.process(7).comm("main").thread(worker(8, "w")).write();
    tree.process(9).write();
    let unwanted = reader(&tree).pass().unwrap();
    let seen: Vec<_> = unwanted.threads.iter().map(|t| t.counters.io).collect();
    assert_eq!(seen, [None], "its io is not read, nor is the main thread");
    let pass = reader(&tree).with_threads(true).pass().unwrap();
    let [main, thread] = pass.threads[..] else {
        panic!("{pass:?}");
    };
    assert!(main.is_main() && main.name.starts_with(b"main\0"));
    assert_eq!((thread.tid, &thread.name[..2]), (8, &b"w\0"[..]));
    assert_eq!(thread.counters.cpu.user_ns, 3 * TICK_NS);
    assert_eq!(thread.counters.faults.minor, 4);
    assert_eq!(thread.counters.io.unwrap().read_bytes, 5);
}

#[test]
fn a_missing_or_unreadable_hard_file_leaves_the_process_unread() {
    let tree = FakeProc::new(BTIME);
    for file in ["stat", "status", "limits"] {
        for unreadable in [false, true] {
            write_fixture(&tree);
            let mut procfs = reader(&tree);
            if unreadable {
                tree.make_unreadable(26231, file);
            } else {
                tree.delete(26231, file);
            }
            for round in 1..=2 {
                let pass = procfs.pass().unwrap();
                assert!(
                    pass.processes.is_empty() && pass.threads.is_empty(),
                    "{file}"
                );
                assert_eq!(pass.unread, [26231], "{file}");
                let errors = ErrorCounts {
                    procread: round,
                    ..ErrorCounts::default()
                };
                assert_eq!(procfs.errors(), errors, "{file}");
            }
            write_fixture(&tree);
            only(&mut procfs);
        }
    }
}

#[test]
fn a_soft_file_costs_one_partial_error_a_pass() {
    let tree = FakeProc::new(BTIME);
    for files in [
        &["io"][..],
        &["task"],
        &["fd"],
        &["wchan"],
        &["io", "task", "fd", "wchan"],
    ] {
        write_fixture(&tree);
        let mut procfs = reader(&tree);
        files
            .iter()
            .for_each(|file| tree.make_unreadable(26231, file));
        for round in 1..=2 {
            let sample = only(&mut procfs);
            let descriptors = procfs.open_files(26231);
            let wchan = procfs.wchan(26231, 26231);
            assert_eq!(sample.counters.io.is_none(), files.contains(&"io"));
            assert_eq!(descriptors.is_err(), files.contains(&"fd"));
            assert_eq!(wchan.is_err(), files.contains(&"wchan"));
            let errors = ErrorCounts {
                partial: round,
                ..ErrorCounts::default()
            };
            assert_eq!(procfs.errors(), errors, "{files:?}");
        }
    }
}

#[test]
fn a_process_of_one_thread_without_task_is_a_partial_error_too() {
    let tree = FakeProc::new(BTIME);
    tree.process(7).write();
    tree.delete(7, "task");
    let mut procfs = reader(&tree);
    only(&mut procfs);
    only(&mut procfs);
    assert_eq!(
        procfs.errors(),
        ErrorCounts {
            partial: 2,
            ..ErrorCounts::default()
        }
    );
}

#[test]
fn naming_needs_cmdline_and_status_but_not_cgroup() {
    let tree = FakeProc::new(BTIME);
    for file in ["stat", "status", "cmdline"] {
        write_fixture(&tree);
        let mut procfs = reader(&tree);
        tree.make_unreadable(26231, file);
        let error = procfs.facts(26231, None).unwrap_err();
        assert!(
            matches!(error, ProcfsError::Io { tgid: 26231, .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(file), "{error}");
        assert_eq!(procfs.errors().procread, 1);
    }
    write_fixture(&tree);
    tree.make_unreadable(26231, "cgroup");
    let mut procfs = reader(&tree);
    assert!(procfs.facts(26231, None).unwrap().cgroups.is_empty());
    tree.write(26231, "cgroup", "garbage\n");
    assert!(procfs.facts(26231, None).unwrap().cgroups.is_empty());
    assert_eq!(procfs.errors(), ErrorCounts::default());
}

#[test]
fn hostile_content_is_malformed_and_nothing_else() {
    let tree = FakeProc::new(BTIME);
    for (file, bytes) in [
        ("stat", &b""[..]),
        ("stat", b"26231 (vim"),
        ("stat", &[0xff; 20_000]),
        ("status", b"Uid:\tx\n"),
        ("limits", b"Max open files   lots"),
    ] {
        write_fixture(&tree);
        tree.write(26231, file, bytes);
        let mut procfs = reader(&tree);
        assert_eq!(procfs.pass().unwrap().unread, [26231], "{file}");
        assert_eq!(procfs.errors().procread, 1);
    }
    write_fixture(&tree);
    tree.write(
        26231,
        "io",
        "read_bytes: 99999999999999999999\nwrite_bytes: 1\n",
    );
    tree.write(26231, "task/26232/stat", "garbage");
    tree.delete(26231, "task/26233");
    let mut procfs = reader(&tree);
    let pass = procfs.pass().unwrap();
    assert_eq!(pass.processes[0].counters.io, None);
    assert_eq!(
        pass.threads.len(),
        4,
        "a thread that cannot be read is left out"
    );
    assert_eq!(
        procfs.errors(),
        ErrorCounts {
            partial: 1,
            ..ErrorCounts::default()
        }
    );
}

#[test]
fn names_are_bytes() {
    let tree = FakeProc::new(BTIME);
    let mut procfs = reader(&tree);
    for name in [&b"a) b (c"[..], b"two\nlines", b" a b ", b"cut \xc3", b""] {
        tree.process(7)
            .comm(name)
            .argv(&[name, b"", b"x"])
            .uids((0, 65534))
            .write();
        let facts = procfs.facts(7, None).unwrap();
        assert_eq!(facts.comm, name);
        assert_eq!(facts.argv.iter().collect::<Vec<_>>(), [name, b"", b"x"]);
        assert_eq!(facts.username, "nobody", "the effective uid counts");
        assert_eq!(procfs.pass().unwrap().processes.len(), 1);
    }
}

#[test]
fn a_command_line_beyond_64_kib_or_4096_arguments_is_cut_and_marked() {
    let tree = FakeProc::new(BTIME);
    tree.process(7)
        .argv(&[vec![b'x'; (64 << 10) - 3], b"abcdef".to_vec()])
        .write();
    tree.process(8).argv(&vec![b"x"; 1 << 20]).write();
    tree.process(9).argv(&vec![b""; 1 << 20]).write();
    let mut procfs = reader(&tree);
    let mut argv = |pid| procfs.facts(pid, None).unwrap().argv;
    assert_eq!(argv(7).iter().nth(1), Some(&b"ab"[..]));
    assert_eq!((argv(8).len(), argv(9).len()), (4096, 1));
    assert!([7, 8, 9].map(argv).iter().all(|argv| argv.is_cut()));
}

#[test]
fn facts_of_another_process_with_the_number_are_refused() {
    let tree = FakeProc::new(BTIME);
    tree.process(7).start_ticks(500).write();
    let mut procfs = reader(&tree);
    let inside_the_tick = 500 * TICK_NS + 1_234_567;
    assert_eq!(
        procfs.facts(7, Some(inside_the_tick)).unwrap().start_ns,
        inside_the_tick
    );
    for other in [499 * TICK_NS, 501 * TICK_NS] {
        assert!(procfs.facts(7, Some(other)).unwrap_err().is_gone());
    }
    assert!(procfs.facts(8, None).unwrap_err().is_gone());
    assert!(procfs.open_files(8).unwrap_err().is_gone());
    assert!(procfs.wchan(7, 99).unwrap_err().is_gone());
    assert_eq!(
        procfs.errors(),
        ErrorCounts::default(),
        "to be gone is no error"
    );
}

#[test]
fn a_process_that_leaves_is_absent_not_unread() {
    let tree = FakeProc::new(BTIME);
    tree.process(7).write();
    tree.process(8).write();
    let mut procfs = reader(&tree);
    assert_eq!(procfs.pass().unwrap().processes.len(), 2);
    tree.remove(7);
    let pass = procfs.pass().unwrap();
    assert_eq!(pass.processes.len(), 1);
    assert!(pass.unread.is_empty());
    assert_eq!(procfs.errors(), ErrorCounts::default());
}

#[test]
fn missing_proc_root_fails_only_the_pass_in_which_it_is_missing() {
    let tree = FakeProc::new(BTIME);
    write_fixture(&tree);
    let mut procfs = reader(&tree);
    only(&mut procfs);
    tree.hide();
    assert!(matches!(procfs.pass(), Err(ProcfsError::Root { .. })));
    assert_eq!(
        procfs.errors(),
        ErrorCounts {
            scrape: 1,
            ..ErrorCounts::default()
        }
    );
    assert!(matches!(
        Host::detect(tree.procfs(), "/"),
        Err(HostError::Missing(_))
    ));
    tree.unhide();
    only(&mut procfs);
    assert_eq!(procfs.statistics().scrape_errors, 1);
}

#[test]
fn a_tree_has_the_time_its_btime_claims() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let tree = FakeProc::new(now.as_secs() - 1000);
    let passed = reader(&tree).pass().unwrap().started_ns / 1_000_000_000;
    assert!((999..1100).contains(&passed), "{passed}");
}

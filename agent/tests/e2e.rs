//! The real binary over a tree of files, with its whole exposition checked in.
//!
//! The tree is made here and not checked in: its names hold line breaks and bytes that are no text, and one of its files is
//! a directory. It is scraped after its counters have risen.
//!
//! `fixtures/metrics.prom` is the body of that scrape, with a star for each value that differs from run to run:
//! * the use of the agent itself, `process_…`;
//! * clock readings: the buckets and sums of durations, and times of successes;
//! * the rights that this kernel can take from the agent, `headcount_sandbox_state`;
//! * requests and connections, because waiting for the agent makes some;
//! * every label of `headcount_build_info`.
//!
//! Proportional memory is not read here: the value in a scrape depends on the moment at which its reader gets the CPU.
//!
//! `HEADCOUNT_ACCEPT=1` writes the file anew.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod support;

use std::fs;
use std::path::Path;

use support::agent::{Agent, Launch, obstacle};
use support::fake_proc::{FakeProc, FakeProcess, FakeThread};
use support::scrape::groups;

const BTIME: u64 = 1_508_450_329;
/// Of a process that is younger than any agent: 2049.
const BORN_LATER: u64 = 100_000_000_000;

const CONFIG: &str = r#"
process_names:
  - name: "kernel threads"
    comm: [kthreadd]
  - name: "service:{{.Matches.Name}}"
    cmdline: ['-Dservice=(?P<Name>\S+)$']
  - name: "{{.Username}} {{.Comm}}"
    comm: [empty-argv, dead]
  - name: "{{.ExeBase}}"
    cmdline: ['.+']
"#;

/// The node when the agent starts (`round` 0) and when it is scraped (1).
fn write_node(tree: &FakeProc, round: u64) {
    let grown = |process: FakeProcess| {
        process
            .user_ticks(5000 + 150 * round)
            .system_ticks(700 + 25 * round)
            .minor_faults(1603 + 40 * round)
            .major_faults(767 + 2 * round)
            .switches(72 + 30 * round, 6 + 4 * round)
    };
    let named = |pid, name: &str| tree.process(pid).comm(name).argv(&[name]);
    let rss_pages = |bytes: u64| bytes / procfs::page_size();
    grown(named(1, "init").parent(0).start_ticks(1)).write();
    write_kernel_threads(tree);
    write_threads(tree, round);
    grown(
        named(200, "swapped")
            .virtual_bytes(1 << 30)
            .swap_kib(20_480),
    )
    .rss_pages(rss_pages(32 << 20))
    .io(1_814_455 + 4096 * round, 512 * round)
    .write();
    grown(named(201, "unlimited").fd_limit("unlimited").open_files(12)).write();
    grown(named(202, "unreadable-io").open_files(4)).write();
    tree.make_unreadable(202, "io");
    write_odd_names(tree);
    match round {
        0 => grown(named(500, "ends")).write(),
        _ => {
            tree.remove(500);
            grown(named(501, "born-later").start_ticks(BORN_LATER)).write();
        }
    }
}

/// `kthreadd` and a worker that belongs to it by descent alone.
fn write_kernel_threads(tree: &FakeProc) {
    for (pid, parent, comm) in [(2, 0, "kthreadd"), (3, 2, "kworker/0:1-events")] {
        let thread = tree
            .process(pid)
            .parent(parent)
            .comm(comm)
            .argv::<&str>(&[]);
        let thread = thread.state('I').virtual_bytes(0).rss_pages(0);
        thread.wchan("worker_thread").start_ticks(2).write();
    }
}

/// One process whose threads are in different states; with 4 KB of arguments, the last of which names it.
fn write_threads(tree: &FakeProc, round: u64) {
    let thread = |tid, state, wchan: &str| FakeThread {
        state,
        wchan: wchan.to_owned(),
        voluntary: 1000 + 10 * round,
        nonvoluntary: 7,
        ..FakeThread::new(tid, "worker")
    };
    let padding = "x".repeat(4096);
    tree.process(100)
        .comm("java")
        .argv(&["/usr/bin/java", "-cp", &padding, "-Dservice=orders"])
        .start_ticks(250)
        .wchan("futex_wait_queue")
        .user_ticks(100 + 1000 * round)
        .thread(thread(101, 'R', "0"))
        .thread(thread(102, 'D', "io_schedule"))
        .thread(thread(103, 'S', "futex_wait_queue"))
        .thread(thread(104, 't', "0"))
        .open_files(512)
        .write();
}

/// Names that a label or a log line must not be broken by, no name at all, and a zombie.
fn write_odd_names(tree: &FakeProc) {
    let odd = |pid, comm: &[u8]| tree.process(pid).comm(comm).argv(&[comm]);
    odd(300, b"line\nbreak").write();
    odd(301, b"quote\"back\\slash").write();
    odd(302, b"cut caf\xc3").write();
    odd(303, b"} 1\nup{x=\"").write();
    let zombie = odd(304, b"dead").argv::<&str>(&[]).state('Z');
    zombie
        .uids((0, 65534))
        .virtual_bytes(0)
        .rss_pages(0)
        .write();
    odd(305, b"empty-argv")
        .argv::<&str>(&[])
        .uids((1000, 1000))
        .write();
    odd(306, b"never grouped").argv::<&str>(&[]).write();
}

fn launch(tree: &FakeProc) -> Launch {
    Launch::on(tree).config(CONFIG)
}

#[test]
fn the_whole_exposition() {
    let tree = FakeProc::new(BTIME);
    write_node(&tree, 0);
    let agent = launch(&tree).arg("-gather-smaps=false").start();
    write_node(&tree, 1);
    let found = without_what_varies(&agent.scrape().body);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics.prom");
    if std::env::var_os("HEADCOUNT_ACCEPT").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    let differs = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        found == expected,
        "first difference (found, expected): {differs:#?}\nHEADCOUNT_ACCEPT=1 accepts this:\n{found}"
    );
    assert_only_warning(&agent, &tree);
}

/// See the module.
fn without_what_varies(body: &str) -> String {
    let line = |line: &str| {
        let (key, value) = line.rsplit_once(' ').unwrap();
        let family = key.split('{').next().unwrap();
        let varies = family.starts_with("process_")
            || family.starts_with("headcount_process_")
            || family.ends_with("_duration_seconds_bucket")
            || family.ends_with("_duration_seconds_sum")
            || family.ends_with("_timestamp_seconds")
            || family == "headcount_sandbox_state"
            || family == "headcount_http_requests_total"
            || family == "headcount_http_connections";
        match family {
            _ if line.starts_with('#') => format!("{line}\n"),
            "headcount_build_info" => format!("{family}{{*}} {value}\n"),
            _ if varies => format!("{key} *\n"),
            _ => format!("{line}\n"),
        }
    };
    body.lines().map(line).collect()
}

/// One line says why there is no better tier, and so does the health page.
fn assert_only_warning(agent: &Agent, tree: &FakeProc) {
    let why = obstacle(&format!(
        "{} is not a mounted procfs, and kernel programs see this machine's processes, not those of a copy; \
         name a mounted procfs with --procfs, or ask for --accounting=procfs",
        tree.procfs().display()
    ));
    assert_eq!(agent.messages("warn"), [why.as_str()]);
    assert_eq!(agent.messages("error"), Vec::<String>::new());
    assert_eq!(agent.health(), ("degraded".to_owned(), vec![why]));
}

#[test]
fn forced_tier_gives_no_warning() {
    let tree = FakeProc::new(BTIME);
    write_node(&tree, 0);
    let agent = launch(&tree).arg("-accounting=procfs").start();
    assert_eq!(agent.health(), ("ok".to_owned(), vec![]));
    assert_eq!(agent.messages("warn"), Vec::<String>::new());
}

#[test]
fn without_a_configuration_every_process_with_a_command_line_is_grouped_by_comm() {
    let tree = FakeProc::new(BTIME);
    write_node(&tree, 0);
    let expected = [
        ("cut caf\u{fffd}", 1),
        ("ends", 1),
        // Those without arguments follow their parent, unless they are kernel threads.
        ("init", 4),
        ("java", 1),
        ("line\nbreak", 1),
        ("quote\"back\\slash", 1),
        ("swapped", 1),
        ("unlimited", 1),
        ("unreadable-io", 1),
        ("} 1\nup{x=\"", 1),
    ];
    let agent = Launch::on(&tree).start();
    assert_eq!(agent.scrape().groups(), groups(&expected));
}

#[test]
fn groups_beyond_the_limit_share_one() {
    let tree = FakeProc::new(BTIME);
    for pid in 10..20 {
        let name = format!("name-{pid}");
        tree.process(pid).comm(&name).argv(&[&name]).write();
    }
    let scrape = Launch::on(&tree).arg("-max-groups=3").start().scrape();
    let expected = [("name-10", 1), ("name-11", 1), ("name-12", 1), ("other", 7)];
    assert_eq!(scrape.groups(), groups(&expected));
    assert_eq!(
        scrape.value("headcount_groups_overflowed_total", &[]),
        Some(7.0)
    );
}

#[test]
fn name_of_4_kib_is_cut() {
    let tree = FakeProc::new(BTIME);
    tree.process(5).argv(&["é".repeat(2048)]).write();
    let yaml = "process_names: [{cmdline: ['.'], name: '{{.ExeFull}}'}]";
    let agent = Launch::on(&tree).config(yaml).start();
    let groups = agent.scrape().groups();
    let names: Vec<_> = groups.keys().collect();
    assert_eq!(names.len(), 1);
    assert!(
        names[0].len() <= 1024 && names[0].starts_with("éé"),
        "{names:?}"
    );
}

#[test]
fn a_template_that_fails_is_warned_of_once() {
    let tree = FakeProc::new(BTIME);
    for pid in 10..20 {
        tree.process(pid).write();
    }
    let yaml = "process_names: [{comm: [fake], name: 'pre{{.Nope}}post'}]";
    let agent = Launch::on(&tree)
        .arg("-accounting=procfs")
        .config(yaml)
        .start();
    assert_eq!(agent.scrape().groups(), groups(&[("pre", 10)]));
    assert_eq!(agent.scrape().groups(), groups(&[("pre", 10)]));
    let warnings = agent.messages("warn");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("a template of item 1 of process_names fails "),
        "{warnings:?}"
    );
}

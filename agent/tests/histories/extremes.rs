//! Promises of section 8 of docs/dev/compatibility.md without a row there: no file stops the agent, and a fault of the agent
//! itself counts nothing twice.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use support::agent::until;

use super::*;

/// Sets how many files the agent may have open; the limit before.
fn limit_files(agent: &Agent, limit: Option<libc::rlimit>) -> libc::rlimit {
    let pid = libc::pid_t::try_from(agent.pid()).unwrap();
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or points to a limit that outlives the call, and `before` has room for one.
    let code = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, new, &raw mut before) };
    assert_eq!(code, 0);
    before
}

/// One scrape over a connection that stays open.
fn scrape_over(stream: &mut BufReader<TcpStream>) -> Scrape {
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Scrape::parse(String::from_utf8(body).unwrap())
}

#[test]
fn an_agent_out_of_files_counts_nothing_twice() {
    let tree = tree();
    let agent = tracking(&tree, &["g"]);
    let born = named(&tree, 5, "g").start_ticks(later()).user_ticks(800);
    born.open_files(3).write();
    let mut stream = BufReader::new(TcpStream::connect(agent.address).unwrap());
    assert_eq!(scrape_over(&mut stream).cpu("g"), (8.0, 0.0));
    let before = limit_files(&agent, None);
    let mut failed = 0.0;
    // From a limit at which no file can be opened to one at which all can.
    for files in 3..40 {
        let limit = libc::rlimit {
            rlim_cur: files,
            ..before
        };
        limit_files(&agent, Some(limit));
        // A process first seen in need is not lost either.
        let name = format!("g{files}");
        named(&tree, 100 + u32::try_from(files).unwrap(), &name)
            .parent(5)
            .start_ticks(later())
            .user_ticks(100)
            .write();
        let scrape = scrape_over(&mut stream);
        if let Some(user) = scrape.labelled("g", "cpu_seconds_total", ("mode", "user")) {
            assert!(
                (8.0..=8.0 + (files - 2) as f64).contains(&user),
                "{files}: {user}"
            );
        }
        let [passes, processes, parts] = scrape.errors();
        failed = passes + processes + parts;
    }
    assert!(failed > 0.0, "the limit did not bite");
    limit_files(&agent, Some(before));
    let scrape = scrape_over(&mut stream);
    assert_eq!(scrape.groups(), groups(&[("g", 38)]));
    assert_eq!(scrape.cpu("g"), (45.0, 0.0));
    assert_eq!(scrape.of("g", "open_filedesc"), Some(3.0));
}

/// Without a free descriptor the kernel refuses to accept even when no client waits: no connection has to give way then.
#[test]
fn connection_on_the_last_free_descriptor_stays_open() {
    let tree = tree();
    let agent = tracking(&tree, &["g"]);
    let open = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    let open: Vec<String> = open
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let first_free = (0..).find(|number: &u64| !open.contains(&number.to_string()));
    let before = limit_files(&agent, None);
    let limit = libc::rlimit {
        rlim_cur: first_free.unwrap() + 1,
        ..before
    };
    limit_files(&agent, Some(limit));
    let mut stream = BufReader::new(TcpStream::connect(agent.address).unwrap());
    // Several times as long as the agent pauses before it tries to accept again.
    let patience = Some(Duration::from_secs(1));
    stream.get_ref().set_read_timeout(patience).unwrap();
    let nothing = stream.fill_buf().map(<[u8]>::to_vec);
    assert!(nothing.is_err(), "it was closed: {nothing:?}");
    limit_files(&agent, Some(before));
    stream.get_ref().set_read_timeout(None).unwrap();
    scrape_over(&mut stream);
}

#[test]
fn falling_total_lowers_no_counter_and_is_not_counted_again() {
    let tree = tree();
    let used = |ticks, faults, read, switches| {
        let process = named(&tree, 5, "g").user_ticks(ticks).minor_faults(faults);
        process.io(read, 0).switches(switches, 0).write();
    };
    let agent = tracking(&tree, &["g"]);
    let seen = || {
        let scrape = agent.scrape();
        let of = |family| scrape.of("g", family).unwrap();
        let (user, (voluntary, _)) = (scrape.cpu("g").0, scrape.switches("g"));
        let [faults, read] = ["minor_page_faults_total", "read_bytes_total"].map(of);
        [user, faults, read, voluntary]
    };
    used(100, 100, 100, 100);
    assert_eq!(seen(), [0.0; 4]);
    used(200, 200, 200, 200);
    assert_eq!(seen(), [1.0, 100.0, 100.0, 100.0]);
    used(50, 50, 50, 50);
    assert_eq!(seen(), [1.0, 100.0, 100.0, 100.0]);
    used(300, 300, 300, 300);
    assert_eq!(seen(), [2.0, 200.0, 200.0, 200.0]);
}

#[test]
fn largest_numbers_of_files_break_no_scrape() {
    let tree = tree();
    let max = u64::MAX;
    let agent = {
        named(&tree, 4, "g").write();
        let yaml = "process_names: [{cmdline: ['.'], name: '{{.Comm}} {{.StartTime}}'}]";
        Launch::on(&tree).config(yaml).start()
    };
    for pid in [5, 6] {
        named(&tree, pid, "h")
            // The latest start that fits into nanoseconds.
            .start_ticks(max / 10_000_000)
            .user_ticks(max)
            .system_ticks(max)
            .minor_faults(max)
            .major_faults(max)
            .virtual_bytes(max)
            .rss_pages(max)
            .swap_kib(max / 1024)
            .io(max, max)
            .switches(max, max)
            .fd_limit("0")
            .open_files(1)
            .write();
    }
    let scrape = agent.scrape();
    assert_eq!(
        scrape.groups().values().sum::<u64>(),
        3,
        "{:?}",
        scrape.groups()
    );
    let groups = scrape.groups();
    let largest = groups.keys().find(|name| name.starts_with("h ")).unwrap();
    for memory in ["resident", "virtual", "swapped"] {
        let bytes = scrape.labelled(largest, "memory_bytes", ("memtype", memory));
        // Of two processes: it stops at the end of the scale.
        assert!(
            bytes.is_some_and(|bytes| bytes > 1.8e19),
            "{memory}: {bytes:?}"
        );
    }
    assert_eq!(scrape.of(largest, "worst_fd_ratio"), Some(f64::INFINITY));
    let again = agent.scrape();
    assert_eq!(again.groups(), groups);
    assert_eq!(
        (again.cpu(largest), again.switches(largest)),
        (scrape.cpu(largest), scrape.switches(largest))
    );
    assert_eq!(agent.messages("error"), Vec::<String>::new());
}

/// process-exporter #309: there nothing is served as long as one process's command line cannot be read.
#[test]
fn command_line_that_never_answers_delays_no_other_process() {
    let tree = tree();
    named(&tree, 5, "stuck").write();
    tree.delete(5, "cmdline");
    let fifo = tree.path(5).join("cmdline");
    let is_made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(is_made.success());
    named(&tree, 6, "g").write();
    let agent = tracking(&tree, &["stuck", "g"]);
    let scrape = agent.scrape();
    // The task name decides as long as the arguments are not known.
    let expected = groups(&[("g", 1), ("stuck", 1)]);
    assert_eq!(scrape.groups(), expected);
    let failed = scrape.errors()[1];
    assert!(failed >= 2.0, "the first pass and this one: {failed}");
    // The kernel answers at last.
    fs::write(&fifo, "stuck\0").unwrap();
    tree.write(5, "cmdline", "stuck\0");
    until("the reader is free", || {
        let held_up = agent
            .scrape()
            .value("headcount_procfs_readers_held_up", &[]);
        held_up == Some(0.0)
    });
    assert_eq!(agent.scrape().groups(), expected);
}

/// Arguments that come late decide anew, and earlier counts stay where they were.
#[test]
fn process_whose_command_line_answers_late_moves_to_the_group_of_its_arguments() {
    let tree = tree();
    let process = named(&tree, 5, "a")
        .argv(&["a", "--late"])
        .start_ticks(later());
    process.clone().user_ticks(100).write();
    let fifo = tree.path(5).join("cmdline");
    fs::remove_file(&fifo).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let yaml = "process_names: [{name: late, cmdline: ['--late']}, {name: early, comm: [a]}]";
    let agent = Launch::on(&tree).config(yaml).start();
    let scrape = agent.scrape();
    assert_eq!(scrape.groups(), groups(&[("early", 1), ("late", 0)]));
    assert_eq!(scrape.cpu("early").0, 1.0);
    fs::write(&fifo, "").unwrap();
    process.user_ticks(300).write();
    until("the arguments decide", || {
        agent.scrape().groups() == groups(&[("early", 0), ("late", 1)])
    });
    let scrape = agent.scrape();
    let total = scrape.cpu("early").0 + scrape.cpu("late").0;
    assert_eq!((scrape.cpu("early").0 >= 1.0, total), (true, 3.0));
}

/// A user may keep readers waiting, but not those for other users' processes.
#[test]
fn user_with_many_command_lines_that_never_answer_hides_no_process_of_others() {
    let tree = tree();
    named(&tree, 4, "first").write();
    let agent = tracking(&tree, &["first", "held", "g", "own"]);
    for pid in 100..164 {
        named(&tree, pid, "held")
            .uids((1000, 1000))
            .start_ticks(later())
            .write();
        let fifo = tree.path(pid).join("cmdline");
        fs::remove_file(&fifo).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
    }
    agent.scrape();
    named(&tree, 5, "g").uids((1001, 1001)).write();
    named(&tree, 6, "own").write();
    let scrape = agent.scrape();
    let expected = [("first", 1), ("held", 64), ("g", 1), ("own", 1)];
    assert_eq!(scrape.groups(), groups(&expected));
    let own = |name: &str| {
        scrape
            .value(&format!("headcount_procfs_{name}"), &[])
            .unwrap()
    };
    assert_eq!(own("readers_held_up"), 8.0);
    assert!(own("reads_refused_total") >= 56.0);
}

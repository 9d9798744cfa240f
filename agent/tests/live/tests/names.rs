//! Many names, and hostile ones. Every scrape is parsed strictly, so a broken exposition fails by itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::agent::Agent;
use crate::exposition::Samples;
use crate::group::Lives;
use crate::guest::{is_locked_down, scaled};
use crate::process;
use crate::program::{self, Program, Report, Running};
use crate::runner::table;
use crate::tier::{ALL, EXACT, ITERATOR, TYPED, Tier};

table![
    hostile_comm_names_its_group for ALL,
    hostile_arguments_of_living_processes_name_their_groups for ALL,
    hostile_arguments_of_ended_processes_name_their_groups for TYPED,
    process_without_arguments_makes_no_group for TYPED,
    many_more_names_than_groups_lose_nothing for &[&ITERATOR],
    names_of_one_user_leave_room_for_others for EXACT,
];

/// A program whose file name, and so its comm, is these bytes and something of this run.
fn linked(bytes: &[u8]) -> (PathBuf, Vec<u8>) {
    let unique = format!("{:x}", process::own_pid());
    let name = [bytes, unique.as_bytes()].concat();
    assert!(name.len() <= 15);
    let path = program::folder().join(OsStr::from_bytes(&name));
    if !path.exists() {
        symlink(program::folder().join("live"), &path).unwrap();
    }
    (path, name)
}

/// Line breaks, quotes, backslashes, braces, invalid UTF-8, and text that would end a comment.
const HOSTILE: [&[u8]; 6] = [b"a\nb", b"q\"", b"s\\n", b"{} 1\n", b"\xff\xfe", b"# HELP "];

fn hostile_comm_names_its_group(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let living: Vec<(Running, String)> = HOSTILE
        .iter()
        .map(|bytes| {
            let (path, name) = linked(bytes);
            let mut running = Running::of(&path, &["scenario", "worker"]);
            running.ask("spin 1000000");
            (running, String::from_utf8_lossy(&name).into_owned())
        })
        .collect();
    let samples = agent.scrape();
    for (_, name) in &living {
        assert_eq!(samples.group(name).processes(), 1.0, "{name:?}");
    }
}

/// The group's name comes from the arguments.
const BY_ARGUMENT: &str =
    "process_names:\n  - name: 'by-{{.Matches.what}}'\n    cmdline: ['(?s)mark=(?P<what>.*)']\n";

fn marks() -> Vec<Vec<u8>> {
    let mut marks: Vec<Vec<u8>> = HOSTILE.iter().map(|bytes| bytes.to_vec()).collect();
    marks.push(vec![b'x'; 4096]);
    marks.push(vec![b'\n'; 4096]);
    marks.push(vec![0xff; 4096]);
    marks
}

fn marked(scenario: &[&str], mark: &[u8]) -> Running {
    let program = Program::new("mark");
    let last = [b"mark=", mark].concat();
    let words: Vec<&OsStr> = scenario
        .iter()
        .map(OsStr::new)
        .chain([OsStr::from_bytes(&last)])
        .collect();
    Running::of(&program.path, &words)
}

fn hostile_arguments_of_living_processes_name_their_groups(tier: &'static Tier) {
    let agent = Agent::start_with(tier, &[], Some(BY_ARGUMENT));
    let living: Vec<Running> = marks()
        .iter()
        .map(|mark| {
            let mut running = marked(&["scenario", "worker"], mark);
            running.ask("spin 1000000");
            running
        })
        .collect();
    let samples = agent.scrape();
    let names = samples.groups_with_prefix("by-");
    let processes: f64 = names
        .iter()
        .map(|name| samples.group(name).processes())
        .sum();
    assert_eq!(processes, living.len() as f64, "{names:?}");
    // A name is cut, but it is there.
    let long = samples.groups_with_prefix("by-xxxxxxxx");
    assert_eq!(long.len(), 1);
    assert_eq!(samples.group(&long[0]).processes(), 1.0);
}

/// The agent could not read them from `/proc`: their exec record carries the first bytes. Under lockdown it carries none, and the
/// agent counts that.
fn hostile_arguments_of_ended_processes_name_their_groups(tier: &'static Tier) {
    let agent = Agent::start_with(tier, &[], Some(BY_ARGUMENT));
    let marks = marks();
    let ended: Vec<Report> = marks
        .iter()
        .map(|mark| marked(&["scenario", "end", "0", "success"], mark).finish())
        .collect();
    let count = ended.len() as f64;
    let (known, unknown) = match is_locked_down() {
        true => (0.0, count),
        false => (count, 0.0),
    };
    agent.await_settled(|samples| {
        let names = samples.groups_with_prefix("by-");
        let exits: f64 = names
            .iter()
            .map(|name| samples.group(name).all_exits())
            .sum();
        let incomplete = samples.the("headcount_names_incomplete_total", &[]);
        if exits == known && incomplete >= unknown {
            return Ok(());
        }
        Err(format!(
            "{exits} of {count} ends in {names:?}, {incomplete} incomplete"
        ))
    });
}

/// `execve` with an empty list: newer kernels make it one empty argument. Either way it has no command line, so it
/// makes no group of its own.
fn process_without_arguments_makes_no_group(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (first, next) = (Program::new("has"), Program::new("none"));
    let mut running = first.start("no-arguments", &[next.path_text()]);
    running.ask("spin 1000000");
    let samples = agent.scrape();
    assert_eq!(samples.groups_with_prefix("none"), [""; 0]);
    assert_eq!(samples.groups_with_prefix(&next.name), [""; 0]);
    running.finish();
    let started = Lives {
        execs: 1,
        ..Lives::default()
    };
    agent.await_settled(|samples| started.check(&samples.group(&first.name)));
}

/// A program that runs under ever new names fills neither the agent nor the Prometheus behind it; nothing gets lost.
fn many_more_names_than_groups_lose_nothing(tier: &'static Tier) {
    let count = scaled(10_000);
    let agent = Agent::start(tier);
    let program = Program::new("many");
    let prefix = format!("n{:x}-", process::own_pid());
    program.run("names", &[&count.to_string(), &prefix]);
    let samples = agent.await_that(|samples| {
        let own = samples.groups_with_prefix(&prefix);
        let of = |name: &str| {
            samples
                .group(name)
                .execs()
                .min(samples.group(name).all_exits())
        };
        let found = own.iter().map(|name| of(name)).sum::<f64>() + of("other");
        if found >= count as f64 {
            return Ok(());
        }
        Err(format!("{found} of {count} programs are counted"))
    });
    assert!(samples.the("headcount_groups", &[]) <= 1001.0);
    assert!(samples.group("other").execs() > 0.0);
    // An empty group gives way to the next name, and one with members does not.
    let overflowed = samples.the("headcount_groups_overflowed_total", &[]);
    let folded = samples.the("headcount_names_folded_total", &[("kind", "group")]);
    assert!(
        overflowed + folded >= (count - 1000) as f64,
        "{overflowed} overflowed, {folded} folded"
    );
    let resident = samples.the("process_resident_memory_bytes", &[]);
    assert!(resident < 48.0 * 1024.0 * 1024.0, "{resident} bytes");
}

/// One unprivileged user starts more programs with names of their own than there may be groups. Later programs of every user,
/// also of this one, still get their own groups; all programs are counted, and `/health` gives the reason.
fn names_of_one_user_leave_room_for_others(tier: &'static Tier) {
    const NOBODY: &str = "65534";
    let agent = Agent::start(tier);
    let program = Program::new("users");
    let prefix = |tag: &str| format!("{tag}{:x}-", process::own_pid());
    let names = |tag: &str, count: u32, uid: &str| {
        program.run("names", &[&count.to_string(), &prefix(tag), uid]);
    };
    names("m", 1100, NOBODY);
    let execs = |samples: &Samples, tags: &[&str]| -> f64 {
        let own = tags
            .iter()
            .flat_map(|tag| samples.groups_with_prefix(&prefix(tag)));
        own.map(|name| samples.group(&name).execs()).sum()
    };
    let counted = |samples: &Samples, tags: &[&str], expected: f64| {
        let found = execs(samples, tags) + samples.group("other").execs();
        match found >= expected {
            true => Ok(()),
            false => Err(format!("{found} of {expected} programs are counted")),
        }
    };
    agent.await_that(|samples| counted(samples, &["m"], 1100.0));
    let later = [("r", "0"), ("d", "1"), ("n", NOBODY)];
    for (tag, uid) in later {
        names(tag, 5, uid);
    }
    let samples = agent.await_that(|samples| {
        counted(samples, &["m", "r", "d", "n"], 1115.0)?;
        let missing = later.iter().find(|(tag, _)| execs(samples, &[tag]) != 5.0);
        missing.map_or(Ok(()), |(_, uid)| {
            Err(format!("programs of {uid} have no groups of their own"))
        })
    });
    let folded = samples.the("headcount_names_folded_total", &[("kind", "group")]);
    assert!(folded > 100.0, "{folded} groups folded");
    assert_eq!(samples.the("headcount_groups_overflowed_total", &[]), 0.0);
    assert!(samples.the("headcount_groups", &[]) <= 1001.0);
    let (status, reasons) = agent.health();
    let is_told = reasons.iter().any(|reason| reason.contains("group names"));
    assert!(status == "degraded" && is_told, "{status}: {reasons:?}");
}

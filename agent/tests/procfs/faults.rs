//! Every file that is read of a process, made unreadable in every way, under the real agent: each omission is counted, no
//! counter falls, no other process is touched, `/health` reports it, and the next pass after the fault is whole again.
//!
//! Trees of files can do this: a mode refuses (the agent is an ordinary user), a directory or a link to itself fails, a pipe
//! never answers. `ESRCH` in the middle of a reading comes only from a kernel, under the live tests' churn.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::BTIME;
use crate::support::agent::{Agent, Launch, until};
use crate::support::fake_proc::{FakeProc, FakeProcess, FakeThread};
use crate::support::scrape::Scrape;

/// The omission that is counted when a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// The process, as one that could not be read.
    Process,
    /// A part of it.
    Part,
    /// Some of its names.
    Names,
    Nothing,
}
use Lost::{Names, Nothing, Part, Process};

/// Of process 7 and its thread 8, at every pass.
const AT_PASSES: &[(&str, Lost)] = &[
    ("", Process),
    ("stat", Process),
    ("status", Process),
    ("limits", Process),
    ("io", Part),
    ("task", Part),
    ("task/8/stat", Part),
    ("task/8/status", Part),
    ("task/8/io", Part),
    ("task/8/wchan", Part),
    ("fd", Part),
    ("wchan", Part),
];

/// The same when it is named.
const AT_NAMING: &[(&str, Lost)] = &[("cmdline", Process), ("cgroup", Names), ("cwd", Part)];

/// Read beside the passes, which `histories/smaps.rs` tries.
const BESIDE: &[&str] = &["loadavg", "smaps", "smaps_rollup"];

const COMMON: &[Fault] = &[
    Fault::Missing,
    Fault::Denied,
    Fault::OtherKind,
    Fault::Loop,
    Fault::Silent,
    Fault::Empty,
    Fault::Garbage,
    Fault::Huge,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Missing,
    Denied,
    /// A directory in the place of a file, or the other way round.
    OtherKind,
    Loop,
    /// A thread that opens it waits for ever.
    Silent,
    Empty,
    Garbage,
    /// Of a gigabyte, all zero.
    Huge,
}

impl Fault {
    /// Its cost beside that of any fault of the file; `None`: there is no such case.
    fn costs(self, file: &str, lost: Lost) -> Option<Lost> {
        let is_directory = matches!(file, "" | "task" | "fd");
        let has_content = !is_directory && file != "cwd";
        let is_text = matches!(file, "wchan" | "task/8/wchan" | "cmdline");
        match self {
            // Then it is gone.
            Self::Missing if file.is_empty() => None,
            // A kernel without control groups, a zombie.
            Self::Missing if matches!(file, "cgroup" | "cwd") => Some(Nothing),
            // A link is read without being followed, and has no mode.
            Self::Denied | Self::Loop if file == "cwd" => None,
            // No kernel makes a reader wait here; elsewhere a reader that waits is left behind.
            Self::Silent if file == "cgroup" => None,
            // The way to all that a thread has.
            Self::Silent if file == "task/8/stat" || file == "task/8/status" => Some(Process),
            Self::Silent if is_directory => None,
            Self::Empty | Self::Garbage | Self::Huge if !has_content => None,
            Self::Empty if file == "cgroup" => Some(Nothing),
            // So it is with kernel threads, and decided.
            Self::Empty if file == "cmdline" => None,
            // Where the line is missing the fact is absent. Without a line for the user no name is shown.
            Self::Empty | Self::Garbage | Self::Huge if matches!(file, "limits" | "status") => {
                Some(Part)
            }
            Self::Empty | Self::Garbage | Self::Huge if file == "task/8/status" => Some(Nothing),
            // Any text will do.
            Self::Empty | Self::Garbage | Self::Huge if is_text => Some(Nothing),
            _ => Some(lost),
        }
    }

    fn befall(self, path: &Path) {
        let was_directory = path.is_dir();
        if self == Self::Denied {
            assert!(!path.is_symlink(), "a mode is where a link leads");
            return fs::set_permissions(path, Permissions::from_mode(0o0)).unwrap();
        }
        remove(path);
        match self {
            Self::Missing | Self::Denied => {}
            Self::OtherKind if was_directory => fs::write(path, "").unwrap(),
            Self::OtherKind => fs::create_dir(path).unwrap(),
            Self::Loop => symlink(path, path).unwrap(),
            Self::Silent => {
                let is_made = Command::new("mkfifo").arg(path).status().unwrap();
                assert!(is_made.success());
            }
            Self::Empty => fs::write(path, "").unwrap(),
            Self::Garbage => {
                fs::write(path, b"\xff\xfe (\n\0) \xc3(: -1 99999999999999999999999\n").unwrap()
            }
            Self::Huge => fs::File::create(path).unwrap().set_len(1 << 30).unwrap(),
        }
    }
}

fn remove(path: &Path) {
    match path.is_dir() && !path.is_symlink() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

/// Frees the threads that wait in a pipe.
fn let_go(path: &Path) {
    let mut options = OpenOptions::new();
    // Perhaps no thread waits there.
    let _ = options
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
}

/// An agent without rights, on a tree of one process that all is well with and perhaps another.
struct Node {
    tree: FakeProc,
    agent: Agent,
    /// Scrapes so far.
    rounds: u64,
    before: Scrape,
}

const CONFIG: &str =
    "process_names: [{name: '{{.Comm}}{{if eq .Cwd `other`}}!{{end}}', cmdline: ['.*']}]";

impl Node {
    fn new() -> Self {
        let tree = FakeProc::new(BTIME);
        fs::set_permissions(tree.rootfs(), Permissions::from_mode(0o755)).unwrap();
        let process = |pid| tree.process(pid).comm("well").argv(&["well"]);
        process(5).write();
        let launch = Launch::on(&tree).args(&["-accounting=procfs", "-gather-smaps=false"]);
        let agent = launch.config(CONFIG).with_uid(65534).start();
        let before = agent.scrape();
        Self {
            tree,
            agent,
            rounds: 0,
            before,
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        match file {
            "" => self.tree.path(7),
            file => self.tree.path(7).join(file),
        }
    }

    /// Process 7 of the case `number`, that has used `seconds`.
    fn victim(&self, number: u64, seconds: u64) -> FakeProcess {
        let name = name(number);
        let victim = self
            .tree
            .process(7)
            .comm(&name)
            .argv(&[&name])
            .cwd("nowhere");
        let thread = FakeThread::new(8, "thread");
        let victim = victim.thread(thread).open_files(2).wchan("poll");
        let victim = victim.start_ticks(later() + number).io(seconds, 0);
        victim.user_ticks(100 * seconds)
    }

    /// One scrape, while 5 goes on; all of that must be seen. Also returns the omissions that it counted.
    fn scrape(&mut self) -> (Scrape, Vec<(Lost, f64)>) {
        self.rounds += 1;
        let process = self.tree.process(5).comm("well").argv(&["well"]);
        process.user_ticks(100 * self.rounds).write();
        let scrape = self.agent.scrape();
        assert_eq!(scrape.cpu("well"), (self.rounds as f64, 0.0));
        assert_eq!(scrape.groups()["well"], 1);
        let counts = |scrape: &Scrape| {
            let names = scrape.value("headcount_names_incomplete_total", &[]);
            let [scrapes, processes, parts] = scrape.errors();
            assert_eq!(scrapes, 0.0);
            [(Process, processes), (Part, parts), (Names, names.unwrap())]
        };
        let (now, before) = (counts(&scrape), counts(&self.before));
        let more =
            std::iter::zip(now, before).map(|((lost, now), (_, before))| (lost, now - before));
        let lost = more.filter(|(_, count)| *count > 0.0).collect();
        self.before = scrape.clone();
        (scrape, lost)
    }

    /// One that must be whole.
    fn scrape_whole(&mut self, case: &str) -> Scrape {
        let (scrape, lost) = self.scrape();
        assert_eq!(lost, [], "{case}");
        assert_eq!(self.agent.health(), ("ok".to_owned(), vec![]), "{case}");
        scrape
    }

    /// The counts of a scrape, and the reasons of `/health`, in a fault that costs `expected`.
    fn scrape_lacking(&mut self, expected: Lost, case: &str) -> Scrape {
        let expected: &[Lost] = if expected == Nothing {
            &[]
        } else {
            &[expected]
        };
        self.scrape_lacking_all(expected, case)
    }

    /// The same of a fault that costs several.
    fn scrape_lacking_all(&mut self, expected: &[Lost], case: &str) -> Scrape {
        let (scrape, lost) = self.scrape();
        let counted: Vec<_> = expected.iter().map(|lost| (*lost, 1.0)).collect();
        assert_eq!(lost, counted, "{case}");
        let (status, reasons) = self.agent.health();
        if expected.contains(&Process) {
            assert_eq!(status, "degraded", "{case}");
            let told = "1 processes could not be read at the last pass";
            assert!(reasons[0].starts_with(told), "{case}: {reasons:?}");
        } else {
            assert_eq!((status.as_str(), reasons), ("ok", vec![]), "{case}");
        }
        scrape
    }

    /// Waits until no reader is held up.
    fn settle(&mut self) {
        until("the readers that were held up", || {
            let (scrape, _) = self.scrape();
            scrape.value("headcount_procfs_readers_held_up", &[]) == Some(0.0)
        });
    }
}

/// Its task and its group.
fn name(number: u64) -> String {
    format!("victim{number}")
}

/// A start, in ticks, after that of any agent.
fn later() -> u64 {
    100_000_000_000
}

fn cases(files: &'static [(&str, Lost)]) -> impl Iterator<Item = (&'static str, Fault, Lost)> {
    let of = |file, lost| {
        let costs = move |fault: &Fault| Some((file, *fault, fault.costs(file, lost)?));
        COMMON.iter().filter_map(costs)
    };
    files.iter().flat_map(move |(file, lost)| of(file, *lost))
}

#[test]
fn file_that_fails_at_a_pass_costs_that_pass_only() {
    let mut node = Node::new();
    for (number, (file, fault, lost)) in (0..).zip(cases(AT_PASSES)) {
        let (case, name) = (format!("{fault:?} {file}"), name(number));
        node.victim(number, 1).write();
        let scrape = node.scrape_whole(&case);
        assert_eq!(scrape.cpu(&name).0, 1.0, "{case}");

        node.victim(number, 2).write();
        fault.befall(&node.path(file));
        // A reader that is held up is not asked again.
        for _ in 0..if fault == Fault::Silent { 2 } else { 1 } {
            let scrape = node.scrape_lacking(lost, &case);
            // The readable facts of it are shown.
            let seconds = if lost == Process { 1.0 } else { 2.0 };
            assert_eq!(scrape.cpu(&name).0, seconds, "{case}");
            let held_up = scrape.value("headcount_procfs_readers_held_up", &[]);
            assert_eq!(held_up > Some(0.0), fault == Fault::Silent, "{case}");
        }

        if fault == Fault::Silent {
            let_go(&node.path(file));
            node.victim(number, 2).write();
            node.settle();
        }
        node.victim(number, 3).write();
        let scrape = node.scrape_whole(&case);
        assert_eq!(scrape.cpu(&name).0, 3.0, "{case}");
        assert_eq!(scrape.of(&name, "read_bytes_total"), Some(3.0), "{case}");
        assert_eq!(scrape.groups()[&name], 1, "{case}");
        node.tree.remove(7);
    }
}

#[test]
fn file_that_fails_when_a_process_is_named_is_read_once_it_can_be() {
    let mut node = Node::new();
    for (number, (file, fault, lost)) in (0..).zip(cases(AT_NAMING)) {
        let (case, name) = (format!("{fault:?} {file}"), name(number));
        node.victim(number, 1).write();
        fault.befall(&node.path(file));
        // A command line that does not answer: the task name decides until it does.
        let is_unanswered = fault == Fault::Silent && lost == Process;
        let scrape = match is_unanswered {
            true => node.scrape_lacking_all(&[Process, Names], &case),
            false => node.scrape_lacking(lost, &case),
        };
        let is_named = scrape.groups().contains_key(&name);
        assert_eq!(is_named, is_unanswered || lost != Process, "{case}");

        if fault == Fault::Silent {
            let_go(&node.path(file));
        }
        node.victim(number, 2).write();
        if fault == Fault::Silent {
            node.settle();
        }
        let scrape = node.scrape_whole(&case);
        assert_eq!(scrape.cpu(&name).0, 2.0, "{case}");
        node.tree.remove(7);
    }
}

/// Each that never answers is left to a reader of its own, and asked no more.
#[test]
fn many_processes_whose_io_never_answers_lack_only_io() {
    let mut node = Node::new();
    let pids = 100..130;
    for pid in pids.clone() {
        let process = node.tree.process(pid).comm("held").argv(&["held"]);
        process.start_ticks(later()).user_ticks(100).write();
        Fault::Silent.befall(&node.tree.path(pid).join("io"));
    }
    for _ in 0..2 {
        let (scrape, lost) = node.scrape();
        assert_eq!(scrape.cpu("held"), (30.0, 0.0));
        assert_eq!(lost, [(Part, 30.0)]);
        let held_up = scrape.value("headcount_procfs_readers_held_up", &[]);
        assert_eq!(held_up, Some(30.0));
    }
    for pid in pids.clone() {
        let_go(&node.tree.path(pid).join("io"));
        let process = node.tree.process(pid).comm("held").argv(&["held"]);
        let process = process.start_ticks(later()).user_ticks(200).io(3, 0);
        process.write();
    }
    node.settle();
    let scrape = node.scrape_whole("all answer");
    assert_eq!(scrape.cpu("held"), (60.0, 0.0));
    // The first successful reading is the baseline.
    assert_eq!(scrape.of("held", "read_bytes_total"), Some(0.0));
    for pid in pids {
        let process = node.tree.process(pid).comm("held").argv(&["held"]);
        let process = process.start_ticks(later()).user_ticks(200).io(6, 0);
        process.write();
    }
    let scrape = node.scrape_whole("all answer");
    assert_eq!(scrape.of("held", "read_bytes_total"), Some(90.0));
}

/// The names of files in the source of the agent, which the tables must have.
#[test]
fn the_tables_have_every_file() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/source/procfs");
    let mut read = 0;
    for entry in fs::read_dir(source).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        for literal in code.split("c\"").skip(1) {
            let (name, _) = literal.split_once('"').unwrap();
            let tables = AT_PASSES.iter().chain(AT_NAMING).map(|(file, _)| *file);
            let is_known = name == "directory"
                || tables
                    .chain(BESIDE.iter().copied())
                    .any(|file| file == name);
            assert!(is_known, "no case for {name}");
            read += 1;
        }
    }
    assert!(read > 10, "the source looks different");
}

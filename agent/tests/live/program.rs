//! Scenario programs under names of their own, and their reports.
//!
//! A program's comm is the name of the file it was started by, so each gets a hard link of this binary. A scenario
//! reports on its standard output, one `key value` a line.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::{self, Reaped};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();
static NAMES: AtomicU32 = AtomicU32::new(0);

/// Makes the folder of the programs.
pub(crate) fn prepare() {
    let folder = std::env::temp_dir().join(format!("headcount-live-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy("/proc/self/exe", folder.join("live")).unwrap();
    FOLDER.set(folder).unwrap();
}

/// Removes it.
pub(crate) fn clean_up() {
    if let Some(folder) = FOLDER.get() {
        // Files left in a folder for temporary files do no harm.
        let _ = std::fs::remove_dir_all(folder);
    }
}

pub(crate) fn folder() -> &'static Path {
    FOLDER.get().expect("prepare() was called")
}

/// A program with a name that no other program on this machine has.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl Program {
    /// `tag` is at most five letters; the runner's number and a counter follow it.
    pub(crate) fn new(tag: &str) -> Self {
        // Longer ones fit a comm as long as these numbers are small.
        assert!(tag.len() <= 5, "{tag} is longer than five letters");
        let nth = NAMES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{tag}{:x}x{nth:x}", std::process::id());
        assert!(name.len() <= 15, "{name} is longer than a comm");
        Self::named(&name)
    }

    fn named(name: &str) -> Self {
        let path = folder().join(name);
        std::fs::hard_link(folder().join("live"), &path).unwrap();
        Self {
            name: name.to_owned(),
            path,
        }
    }

    pub(crate) fn path_text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn command(&self, scenario: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(["scenario", scenario]).args(arguments);
        command
    }

    /// Runs a scenario to its end.
    pub(crate) fn run(&self, scenario: &str, arguments: &[&str]) -> Report {
        self.start(scenario, arguments).finish()
    }

    /// Starts a scenario.
    pub(crate) fn start(&self, scenario: &str, arguments: &[&str]) -> Running {
        Running::spawn(self.command(scenario, arguments))
    }

    /// Starts the scenario `worker` (see there).
    pub(crate) fn work(&self) -> Running {
        self.start("worker", &[])
    }
}

/// A scenario under way. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    is_reaped: bool,
}

impl Running {
    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            input: child.stdin.take(),
            child,
            output,
            is_reaped: false,
        }
    }

    /// The same for a command of the caller's making.
    pub(crate) fn of(path: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(path);
        command.args(arguments);
        Self::spawn(command)
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The next line of its report, which must be about `key`.
    pub(crate) fn await_line(&mut self, key: &str) -> u64 {
        let line = self.output.next().expect("the scenario ended").unwrap();
        let (found, value) = parse(&line);
        assert_eq!(found, key);
        value
    }

    /// Sends a line, and does not wait.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Has a worker do something; its CPU time afterwards.
    pub(crate) fn ask(&mut self, line: &str) -> u64 {
        self.tell(line);
        self.await_line("cpu_ns")
    }

    /// Has a worker end; it is not waited for.
    pub(crate) fn close_input(&mut self) {
        drop(self.input.take());
    }

    /// Whether it has ended, and waits to be reaped.
    pub(crate) fn has_ended(&self) -> bool {
        process::has_ended(self.pid())
    }

    /// Waits for its end; a worker ends when there is nothing more to do.
    pub(crate) fn finish(mut self) -> Report {
        drop(self.input.take());
        let values = self
            .output
            .by_ref()
            .map(|line| parse(&line.unwrap()))
            .collect();
        self.is_reaped = true;
        Report {
            values,
            reaped: process::reap(self.pid()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_reaped {
            process::kill(self.pid(), libc::SIGKILL);
            process::reap(self.pid());
        }
    }
}

fn parse(line: &str) -> (String, u64) {
    let (key, value) = line
        .split_once(' ')
        .unwrap_or_else(|| panic!("no report: {line:?}"));
    (key.to_owned(), value.parse().unwrap())
}

/// The report of a scenario, and its use by `wait4`.
#[derive(Debug)]
pub(crate) struct Report {
    values: Vec<(String, u64)>,
    pub(crate) reaped: Reaped,
}

impl Report {
    /// All values under one key: several processes may report.
    pub(crate) fn all(&self, key: &str) -> Vec<u64> {
        self.values
            .iter()
            .filter(|(found, _)| found == key)
            .map(|(_, value)| *value)
            .collect()
    }

    /// The only value under this key.
    pub(crate) fn of(&self, key: &str) -> u64 {
        let all = self.all(key);
        assert_eq!(all.len(), 1, "reports of {key}");
        all[0]
    }
}

//! The directory of a test: applications, a registry, logs. All processes that were started in it end with it.
//!
//! Passenger starts daemons, which start others; none is a child of this process. Each carries its folder in a variable of its
//! environment, by which [`Mark::end_all`] finds it. A Ruby process with a long title has overwritten its environment; it is found
//! by its session, which is that of its watchdog.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::support::agent::until;

/// The variable that names the folder to which a process belongs.
pub(crate) const VARIABLE: &str = "HEADCOUNT_PASSENGER_HOME";

#[derive(Debug)]
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        // Applications and instances of other users are in it.
        set_mode(home.folder.path(), 0o755);
        fs::create_dir(home.registry()).unwrap();
        set_mode(&home.registry(), 0o1777);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The instance registry directory, writable by all users as `/tmp` is.
    pub(crate) fn registry(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    /// The flag of the agent that names the registry.
    pub(crate) fn flag(&self) -> String {
        format!(
            "--collector.passenger.registry-dir={}",
            self.registry().display()
        )
    }

    /// A name for an application that no other test has: the agent may see the instances of others.
    pub(crate) fn unique(&self, name: &str) -> String {
        let folder = self.folder.path().file_name().unwrap().to_string_lossy();
        format!("{name}-{}", folder.trim_start_matches('.'))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Processes that no instance has ended, because its start failed.
        let folder = self.path().to_owned();
        let session = None;
        Mark { folder, session }.end_all();
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The marks that the processes of one instance have in common.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) folder: PathBuf,
    /// The session of the watchdog, once it is known.
    pub(crate) session: Option<u32>,
}

impl Mark {
    /// Kills all processes that bear it, and waits for their end.
    pub(crate) fn end_all(&self) {
        until("the end of all processes", || {
            let left = self.bearers();
            left.iter().for_each(|pid| signal(*pid, libc::SIGKILL));
            left.is_empty()
        });
    }

    /// The process that has this pid in the pid namespace of the instance.
    pub(crate) fn bearer(&self, own: u32) -> Option<u32> {
        let mut bearers = self.bearers().into_iter();
        bearers.find(|pid| own_pid(*pid) == Some(own))
    }

    pub(crate) fn bearers(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").unwrap().map_while(Result::ok);
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| self.is_on(*pid)).collect()
    }

    /// Of a dead process neither environment nor command line can be read.
    fn is_on(&self, pid: u32) -> bool {
        let words = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let environment = words("environ");
        environment
            .split(|byte| *byte == 0)
            .filter_map(|word| str::from_utf8(word).ok()?.strip_prefix(VARIABLE))
            .filter_map(|word| word.strip_prefix('='))
            .any(|folder| Path::new(folder).starts_with(&self.folder))
            || (self.session.is_some()
                && session(pid) == self.session
                && words("cmdline").starts_with(b"Passenger "))
    }
}

/// The pid that a process has in its own pid namespace.
fn own_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// The session of a process.
pub(crate) fn session(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(3)?.parse().ok()
}

/// Sends a signal; the process may have ended.
pub(crate) fn signal(pid: u32, signal: libc::c_int) {
    let pid = libc::pid_t::try_from(pid).unwrap();
    assert!(pid > 1);
    // SAFETY: takes two numbers.
    unsafe { libc::kill(pid, signal) };
}

/// Whether a thread of the process runs or sleeps. The main thread of a killed process can be a zombie while others still hold
/// its files and locks; `num_threads` counts those until they have closed them.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    match fields.as_slice() {
        ["Z", rest @ ..] => rest.get(16).is_some_and(|threads| *threads != "1"),
        fields => !fields.is_empty(),
    }
}

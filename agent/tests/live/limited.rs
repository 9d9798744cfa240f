//! Control groups with a limit, in whichever hierarchy has the controller: a version 1 one of its own, or the unified one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROOT: &str = "/sys/fs/cgroup";
/// How long killed processes may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A limit, by the names of its files in both versions. The first is always there.
#[derive(Debug)]
pub(crate) struct Limit {
    controller: &'static str,
    v1: &'static [&'static str],
    v2: &'static [&'static str],
}

/// Processes, threads included.
pub(crate) const PIDS: Limit = Limit {
    controller: "pids",
    v1: &["pids.max"],
    v2: &["pids.max"],
};

/// Bytes of memory, and of memory and swap together. Without swap accounting there is no such file; then there must be no
/// swap.
pub(crate) const MEMORY: Limit = Limit {
    controller: "memory",
    v1: &["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
    v2: &["memory.max", "memory.swap.max"],
};

/// A control group of our own. Dropping it kills its processes, and removes it.
#[derive(Debug)]
pub(crate) struct Limited(PathBuf);

impl Limited {
    pub(crate) fn new(name: &str, limit: &Limit, value: &str) -> Self {
        let own = Path::new(ROOT).join(limit.controller);
        let (folder, files) = if own.join("cgroup.procs").exists() {
            (own, limit.v1)
        } else {
            let controllers = Path::new(ROOT).join("cgroup.subtree_control");
            fs::write(controllers, format!("+{}", limit.controller)).unwrap();
            (PathBuf::from(ROOT), limit.v2)
        };
        let group = Self(folder.join(name));
        fs::create_dir(&group.0).unwrap();
        for (nth, file) in files.iter().enumerate() {
            let path = group.0.join(file);
            if nth == 0 || path.exists() {
                // Nothing may be swapped, instead of as much again.
                let value = if file.contains("swap.max") {
                    "0"
                } else {
                    value
                };
                fs::write(path, value).unwrap();
            }
        }
        group
    }

    pub(crate) fn take(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// A process that writes there is in it.
    pub(crate) fn entrance(&self) -> File {
        let members = self.0.join("cgroup.procs");
        File::options().write(true).open(members).unwrap()
    }

    /// Processes that the kernel has ended in it for want of memory.
    pub(crate) fn kills(&self) -> u64 {
        let counts = ["memory.oom_control", "memory.events"]
            .into_iter()
            .find_map(|file| fs::read_to_string(self.0.join(file)).ok());
        let counts = counts.unwrap();
        let line = counts
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().parse().unwrap()
    }

    fn members(&self) -> Vec<i32> {
        let list = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Living processes may fork more; each gets the signal, and dead ones have left the list.
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let members = self.members();
            if members.is_empty() {
                break;
            }
            for pid in members {
                // SAFETY: takes numbers only. One that has just ended is no error.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            std::thread::yield_now();
        }
        // A process that was just reaped may still be in it for a moment. A group with a process in it stays; the test has failed
        // then.
        while begun.elapsed() < PATIENCE && fs::remove_dir(&self.0).is_err() {
            std::thread::yield_now();
        }
    }
}

//! Control groups with little memory.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Between two tries to remove one.
const PAUSE: Duration = Duration::from_millis(10);

/// Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Limited(PathBuf);

impl Limited {
    /// In the first hierarchy that has a memory controller: a version 1 one of its own, or the unified one.
    pub(crate) fn new(name: &str, bytes: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let (folder, limits) = if root.join("memory/memory.limit_in_bytes").exists() {
            (
                root.join("memory"),
                ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
            )
        } else {
            fs::write(root.join("cgroup.subtree_control"), "+memory").unwrap();
            (root.to_owned(), ["memory.max", "memory.swap.max"])
        };
        let group = Self(folder.join(name));
        fs::create_dir(&group.0).unwrap();
        fs::write(group.0.join(limits[0]), bytes.to_string()).unwrap();
        // Without swap accounting there is no such file; then there must be no swap.
        if group.0.join(limits[1]).exists() {
            let most = if limits[1] == "memory.swap.max" {
                0
            } else {
                bytes
            };
            fs::write(group.0.join(limits[1]), most.to_string()).unwrap();
        }
        group
    }

    /// From now on this process is in it; what it has by now is counted where it was.
    pub(crate) fn take(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// What this command starts is in it from the beginning.
    pub(crate) fn enclose(&self, command: &mut Command) {
        let members = self.0.join("cgroup.procs");
        let mut members = File::options().write(true).open(members).unwrap();
        // SAFETY: one system call, between fork and exec.
        unsafe { command.pre_exec(move || members.write_all(b"0")) };
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
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Who was reaped just now may still be in it for a moment. One that somebody stays in stays.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

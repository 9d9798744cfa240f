//! The processes of a made-up node, and how they are written into a tree.

use super::support::fake_proc::{FakeProc, FakeThread};
use std::{
    collections::BTreeMap,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// When the node booted.
pub const BTIME: u64 = 1_508_450_329;

/// A start that is after any program's of this test run, ticks: in an hour, so that no clock matters.
pub static LATER: LazyLock<u64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (now.as_secs() + 3600 - BTIME) * 100
});

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub comm: String,
    pub argv: Vec<String>,
    pub parent: u32,
    pub uid: u32,
    pub state: char,
    pub start_ticks: u64,
    /// User and system ticks, major and minor faults, bytes read and written.
    pub used: [u64; 6],
    pub rss_pages: u64,
    pub swap_kib: u64,
    pub descriptors: usize,
    pub fd_limit: &'static str,
    pub wchan: &'static str,
    pub cgroup: &'static str,
    /// Of the main thread: voluntary, nonvoluntary.
    pub switches: [u64; 2],
    /// Number and counters of further threads: user ticks, voluntary switches.
    pub threads: BTreeMap<u32, [u64; 2]>,
    /// A file that cannot be read now.
    pub broken: Option<&'static str>,
}

/// All of them, and what happened that the two programs take differently.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub processes: BTreeMap<u32, Process>,
    /// A thread ended, so a sum over living threads may have fallen.
    pub threads_ended: bool,
    /// Bytes read and written were unreadable once.
    pub io_broke: bool,
    /// A file without which a process is left out was unreadable once.
    pub hard_broke: bool,
}

impl World {
    /// Writes what is not as in `before`.
    pub fn write(&self, tree: &FakeProc, before: Option<&Self>) {
        let old = |pid: &u32| before.and_then(|before| before.processes.get(pid));
        for pid in before.iter().flat_map(|before| before.processes.keys()) {
            if !self.processes.contains_key(pid) {
                tree.remove(*pid);
            }
        }
        for (pid, process) in &self.processes {
            if old(pid) != Some(process) {
                process.write(tree, *pid);
            }
        }
    }
}

impl Process {
    fn write(&self, tree: &FakeProc, pid: u32) {
        let [user, system, major, minor, read, written] = self.used;
        let mut process = tree
            .process(pid)
            .comm(&self.comm)
            .argv(&self.argv)
            .parent(self.parent)
            .uids((self.uid, self.uid))
            .state(self.state)
            .start_ticks(self.start_ticks)
            .user_ticks(user)
            .system_ticks(system)
            .major_faults(major)
            .minor_faults(minor)
            .io(read, written)
            .rss_pages(self.rss_pages)
            .swap_kib(self.swap_kib)
            .open_files(self.descriptors)
            .fd_limit(self.fd_limit)
            .wchan(self.wchan)
            .cgroup(self.cgroup)
            .switches(self.switches[0], self.switches[1]);
        for (tid, [ticks, voluntary]) in &self.threads {
            process = process.thread(FakeThread {
                user_ticks: *ticks,
                voluntary: *voluntary,
                start_ticks: self.start_ticks,
                ..FakeThread::new(*tid, format!("t{}", tid % 2))
            });
        }
        process.write();
        if let Some(file) = self.broken {
            tree.make_unreadable(pid, file);
        }
    }
}

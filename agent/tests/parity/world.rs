//! The processes of a made-up node, and how they are written into a tree.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::support::fake_proc::{FakeProc, FakeThread};

/// When the node booted.
pub(crate) const BTIME: u64 = 1_508_450_329;

/// A start that is after any program's of this test run, ticks: in an hour, so that no clock matters.
pub(crate) static LATER: LazyLock<u64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (now.as_secs() + 3600 - BTIME) * 100
});

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) comm: String,
    pub(crate) argv: Vec<String>,
    pub(crate) parent: u32,
    pub(crate) uid: u32,
    pub(crate) state: char,
    pub(crate) start_ticks: u64,
    /// User and system ticks, major and minor faults, bytes read and written.
    pub(crate) used: [u64; 6],
    pub(crate) rss_pages: u64,
    pub(crate) swap_kib: u64,
    pub(crate) descriptors: usize,
    pub(crate) fd_limit: &'static str,
    pub(crate) wchan: &'static str,
    pub(crate) cgroup: &'static str,
    /// Of the main thread: voluntary, nonvoluntary.
    pub(crate) switches: [u64; 2],
    /// Number and counters of further threads: user ticks, voluntary switches.
    pub(crate) threads: BTreeMap<u32, [u64; 2]>,
    /// A file that cannot be read now.
    pub(crate) broken: Option<&'static str>,
}

/// All processes, and the events that the two programs take differently.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) processes: BTreeMap<u32, Process>,
    /// A thread ended, so a sum over living threads may have fallen.
    pub(crate) threads_ended: bool,
    /// Bytes read and written were unreadable once.
    pub(crate) io_broke: bool,
    /// A file without which a process is left out was unreadable once.
    pub(crate) hard_broke: bool,
}

impl World {
    /// Writes the processes that differ from `before`.
    pub(crate) fn write(&self, tree: &FakeProc, before: Option<&Self>) {
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
    /// One that sleeps and has used nothing.
    pub(crate) fn idle(comm: &str) -> Self {
        Self {
            comm: comm.to_owned(),
            argv: vec![comm.to_owned()],
            parent: 1,
            uid: 0,
            state: 'S',
            start_ticks: 100,
            used: [0; 6],
            rss_pages: 0,
            swap_kib: 0,
            descriptors: 0,
            fd_limit: "1024",
            wchan: "0",
            cgroup: "0::/\n",
            switches: [0; 2],
            threads: BTreeMap::new(),
            broken: None,
        }
    }

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

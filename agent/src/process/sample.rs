//! The values that one pass over all live processes saw.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;

use super::{Counters, ProcessId};

/// Scheduler state of a task, grouped as in process-exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// `R`
    Running,
    /// `S`: interruptible sleep
    Sleeping,
    /// `D`: uninterruptible sleep
    Waiting,
    /// `Z`
    Zombie,
    /// `T t X I P K W x`, and any letter that later kernels add.
    #[default]
    Other,
}

impl State {
    /// All states with their label values, in the documented order.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Running, "Running"),
        (Self::Sleeping, "Sleeping"),
        (Self::Waiting, "Waiting"),
        (Self::Zombie, "Zombie"),
        (Self::Other, "Other"),
    ];

    /// The state for the letter in field 3 of `/proc/<pid>/stat`.
    pub const fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::Waiting,
            b'Z' => Self::Zombie,
            _ => Self::Other,
        }
    }
}

/// The memory of a process, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// In RAM.
    pub resident_bytes: u64,
    /// Mapped.
    pub virtual_bytes: u64,
    /// Swapped out.
    pub swapped_bytes: u64,
}

/// One live process. It owns no heap memory: a pass over 10,000 processes allocates nothing per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The process.
    pub id: ProcessId,
    /// Effective user id; `None` where the source does not read it at each pass.
    pub effective_uid: Option<u32>,
    /// The effective user or group id differs from the real one: it runs a set-user-ID or set-group-ID program.
    pub has_borrowed_ids: bool,
    /// Process id of the present parent; 0 for none.
    pub parent: u32,
    /// State of the main thread.
    pub state: State,
    /// Totals so far, all threads included, dead ones as far as the source knows them.
    pub counters: Counters,
    /// Its memory.
    pub memory: Memory,
    /// Live threads, the main one included.
    pub threads: u32,
    /// Soft limit of open files; `u64::MAX` for unlimited; `None` where unreadable.
    pub fd_limit: Option<u64>,
    /// Its cgroup v2 id; `None` where the source does not report it.
    pub cgroup_id: Option<NonZeroU64>,
    /// Differs from the previous sample's value if the process ran in between. Only then are its totals credited, and are values
    /// that a pass does not carry (open descriptors, wait channels) read again. Kernel tiers: run time in ns; procfs: a new value
    /// each time.
    pub ran_marker: u64,
}

impl Sample {
    /// A sample with this identity and no other facts.
    pub fn of_process(id: ProcessId) -> Self {
        Self {
            id,
            effective_uid: None,
            has_borrowed_ids: false,
            parent: 0,
            state: State::default(),
            counters: Counters::default(),
            memory: Memory::default(),
            threads: 1,
            fd_limit: None,
            cgroup_id: None,
            ran_marker: 0,
        }
    }
}

/// Name of a task, padded with NULs, as long as the kernel allows. A longer name, which only a fake tree of files can have, is
/// cut.
pub type TaskName = [u8; 16];

/// One live thread of a process that has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadSample {
    /// Process id of its process.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// Start, nanoseconds since boot.
    pub start_ns: u64,
    /// State.
    pub state: State,
    /// As [`Sample::ran_marker`], for the thread.
    pub ran_marker: u64,
    /// Its name.
    pub name: TaskName,
    /// Totals of this thread since its birth.
    pub counters: Counters,
}

impl ThreadSample {
    /// Whether it is the main thread of its process.
    pub const fn is_main(&self) -> bool {
        self.tid == self.tgid
    }
}

impl Pass {
    /// Whether the totals of this process may be booked: a sum by comm may hold those of a process born after the pass began.
    pub(super) const fn may_credit(&self, id: ProcessId) -> bool {
        id.start_ns <= self.started_ns || !self.finals_follow
    }

    /// The threads of one process; none if it has only one.
    pub(super) fn threads_of(&self, process: &Sample) -> &[ThreadSample] {
        if process.threads <= 1 || self.threads.is_empty() {
            return &[];
        }
        let tgid = process.id.tgid;
        let from = self.threads.partition_point(|thread| thread.tgid < tgid);
        let all = &self.threads[from..];
        &all[..all.partition_point(|thread| thread.tgid == tgid)]
    }

    /// Whether the switches of this process's sample are those of its main thread only.
    pub(super) fn switches_are_by_thread(&self, tgid: u32) -> bool {
        self.switches_by_thread || self.from_procfs.binary_search(&tgid).is_ok()
    }

    /// Cgroup v2 ids of the `wanted` processes, as far as the source reports them.
    pub fn cgroup_ids(&self, wanted: &HashSet<ProcessId>) -> HashMap<ProcessId, u64> {
        let by_id = |sample: &Sample| Some((sample.id, sample.cgroup_id?.get()));
        let samples = self.processes.iter();
        samples
            .filter(|sample| wanted.contains(&sample.id))
            .filter_map(by_id)
            .collect()
    }
}

/// One look at all live processes.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// Start of the pass, nanoseconds since boot. Processes born later are shown, but only the next pass credits them.
    pub started_ns: u64,
    /// Whether a record with the final totals follows for each process that ends (kernel tiers).
    pub finals_follow: bool,
    /// Live processes in any order, zombies included.
    pub processes: Vec<Sample>,
    /// Live processes in no group, of which only `stat` was read: no I/O, no switches, no threads.
    pub in_no_group: Vec<Sample>,
    /// Threads of the processes that have several, sorted by (tgid, tid). Main threads are included, unless the configuration
    /// does not use the totals of single threads.
    pub threads: Vec<ThreadSample>,
    /// The switches of a process are those of its main thread: the other threads' have to be added.
    pub switches_by_thread: bool,
    /// Processes whose sample comes from `/proc` although the others do not, sorted: their switches are those of the main
    /// thread.
    pub from_procfs: Vec<u32>,
    /// The samples carry no memory: [`Probe::memory`](super::Probe::memory) reads it.
    pub memory_elsewhere: bool,
    /// Process ids that exist but could not be read this time: their entries stay as they are, and do not count as live.
    pub unread: Vec<u32>,
}

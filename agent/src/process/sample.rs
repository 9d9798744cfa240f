//! What one pass over all live processes saw.

use super::{Counters, ProcessId};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;

/// Scheduler state of a task, as process-exporter groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// `R`
    Running,
    /// `S`
    Sleeping,
    /// `D`
    Waiting,
    /// `Z`
    Zombie,
    /// `T t X I P K W x` and whatever comes.
    #[default]
    Other,
}

impl State {
    /// All states in the order of the label values' documentation.
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

/// What a process holds in memory, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// In RAM.
    pub resident_bytes: u64,
    /// Mapped.
    pub virtual_bytes: u64,
    /// Swapped out.
    pub swapped_bytes: u64,
}

/// One live process. Plain data: a pass over 10,000 processes allocates nothing per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Who.
    pub id: ProcessId,
    /// Effective user id; `None` where the source does not read it at each pass.
    pub effective_uid: Option<u32>,
    /// The effective user or group id is not the real one: it runs a set-user-ID or set-group-ID program.
    pub has_borrowed_ids: bool,
    /// Process id of the present parent; 0 for none.
    pub parent: u32,
    /// State of the main thread.
    pub state: State,
    /// Totals so far, all threads, dead ones included as far as the source knows them.
    pub counters: Counters,
    /// What it holds in memory.
    pub memory: Memory,
    /// Live threads, the main one included.
    pub threads: u32,
    /// Soft limit of open files; `u64::MAX` for unlimited; `None` where unreadable.
    pub fd_limit: Option<u64>,
    /// Its cgroup v2 id; `None` where the source does not tell it.
    pub cgroup_id: Option<NonZeroU64>,
    /// Changes when the process ran since the sample before: then, and only then, its totals are credited, and what a pass does
    /// not carry (open descriptors, wait channels) is read again. Kernel tiers: run time in ns; procfs: always another value.
    pub ran_marker: u64,
}

impl Sample {
    /// One of which nothing else is known.
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

/// Name of a task, NUL-padded: as long as the kernel lets one be. A longer one, which only a tree of files can have, is cut.
pub type TaskName = [u8; 16];

/// One live thread of a process that has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadSample {
    /// Process it belongs to.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// Start, nanoseconds since boot.
    pub start_ns: u64,
    /// State.
    pub state: State,
    /// What [`Sample::ran_marker`] is for a process.
    pub ran_marker: u64,
    /// What it is called.
    pub name: TaskName,
    /// What it has used itself since its birth.
    pub counters: Counters,
}

impl ThreadSample {
    /// Whether it is the main thread of its process.
    pub const fn is_main(&self) -> bool {
        self.tid == self.tgid
    }
}

impl Pass {
    /// Whether the switches of this process are those of its main thread only.
    pub(super) fn switches_are_by_thread(&self, tgid: u32) -> bool {
        self.switches_by_thread || self.from_procfs.binary_search(&tgid).is_ok()
    }

    /// Cgroup v2 ids of these processes, as far as the source tells them.
    pub fn cgroup_ids(&self, wanted: &HashSet<ProcessId>) -> HashMap<ProcessId, u64> {
        let told = |sample: &Sample| Some((sample.id, sample.cgroup_id?.get()));
        let samples = self.processes.iter();
        samples
            .filter(|sample| wanted.contains(&sample.id))
            .filter_map(told)
            .collect()
    }
}

/// One look at all live processes.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// When it began, nanoseconds since boot. What was born later is shown, but credited by the next pass only.
    pub started_ns: u64,
    /// Whether a record of the final totals follows for each process that ends (kernel tiers).
    pub finals_follow: bool,
    /// Live processes in any order, zombies included.
    pub processes: Vec<Sample>,
    /// Live processes in no group, of which only `stat` was read: no I/O, no switches, no threads.
    pub in_no_group: Vec<Sample>,
    /// Threads of the processes that have several, sorted by (tgid, tid); the main ones among them, unless nobody wants
    /// to know what single threads used.
    pub threads: Vec<ThreadSample>,
    /// The switches of a process are those of its main thread: the others' are to be added.
    pub switches_by_thread: bool,
    /// Processes whose sample is `/proc`'s although the others are not, sorted: their switches are those of the main thread.
    pub from_procfs: Vec<u32>,
    /// The samples carry no memory: it is read with what no sample carries.
    pub memory_elsewhere: bool,
    /// Process ids that exist but could not be read this time: kept as they were, not counted as live.
    pub unread: Vec<u32>,
}

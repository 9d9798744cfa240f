//! Live processes as the grouper sees them after a pass, and the reader of values that a pass does not carry.

use super::entry::Entry;
use super::sight::Held;
use super::threads::Threads;
use super::{AccountId, Delta, Memory, ProcessId, Proportional, State, Tally, TaskName, Wanted};

/// Reads values that a pass does not carry. Called only for processes and threads that ran since the last reading.
pub trait Probe {
    /// Open descriptors of a process; `None` where unreadable.
    fn open_files(&mut self, tgid: u32) -> Option<u64>;
    /// Kernel function a thread waits in; `None` while it runs, or where unreadable.
    fn wchan(&mut self, tgid: u32, tid: u32) -> Option<String>;
    /// The memory of a process; read only if [`Pass::memory_elsewhere`](super::Pass::memory_elsewhere) is set.
    /// `None` where unreadable.
    fn memory(&mut self, tgid: u32) -> Option<Memory>;
}

/// A live process as the grouper sees it.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    pub(super) id: ProcessId,
    pub(super) held: &'a Held,
    pub(super) entry: &'a Entry,
}

impl<'a> Live<'a> {
    /// The process of `entry`, if pass number `passes` saw it.
    pub(super) fn at(id: ProcessId, entry: &'a Entry, passes: u64) -> Option<Self> {
        let held = entry.sight.held.as_ref()?;
        (entry.sight.seen == passes).then_some(Self { id, held, entry })
    }

    /// The wanted reading of its proportional memory, with the time of the last one, 0 for none. `None` if it has no memory, or
    /// has not run since it was last read.
    pub(super) fn wanted(&self) -> Option<(u64, Wanted)> {
        let Held {
            ran_marker, memory, ..
        } = *self.held;
        let known = &self.entry.sight.proportional;
        if memory.virtual_bytes == 0 || known.tried == Some(ran_marker) {
            return None;
        }
        let wanted = Wanted {
            id: self.id,
            ran_marker,
            account: self.account(),
        };
        Some((known.read_ns().unwrap_or(0), wanted))
    }

    /// Time of the last reading of its proportional memory.
    pub(super) fn proportional_ns(&self) -> Option<u64> {
        self.entry.sight.proportional.read_ns()
    }
}

impl Live<'_> {
    /// The account that its use is booked to.
    pub fn account(&self) -> AccountId {
        self.entry.account()
    }

    /// Its identity.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Process id of its present parent; 0 for none.
    pub fn parent(&self) -> u32 {
        self.held.parent
    }

    /// All its known use since its start, including use from before the agent started.
    pub fn used(&self) -> Delta {
        self.entry.booked.total()
    }

    /// Start, nanoseconds since boot.
    pub fn start_ns(&self) -> u64 {
        self.id.start_ns
    }

    /// Its memory.
    pub fn memory(&self) -> Memory {
        self.held.memory
    }

    /// Its share of the memory it maps. `None` until it was read, and for kernel threads and zombies, which map no memory.
    pub fn proportional(&self) -> Option<Proportional> {
        let maps_any = self.held.memory.virtual_bytes > 0;
        self.entry.sight.proportional.memory().filter(|_| maps_any)
    }

    /// Threads, the main one included.
    pub fn threads(&self) -> u32 {
        self.held.threads
    }

    /// Soft limit of open files; `None` where unreadable.
    pub fn fd_limit(&self) -> Option<u64> {
        self.held.fd_limit
    }

    /// Open descriptors; `None` while unreadable.
    pub fn open_files(&self) -> Option<u64> {
        self.entry.sight.open_files
    }

    /// State of each of its threads, the main one included.
    pub fn states(&self) -> impl Iterator<Item = State> + '_ {
        std::iter::once(self.held.state).chain(self.entry.sight.threads.states())
    }

    /// Wait channel of each of its threads that waits.
    pub fn wchans(&self) -> impl Iterator<Item = &str> + '_ {
        let others = self
            .entry
            .sight
            .threads
            .others()
            .filter_map(|thread| thread.wchan.as_deref());
        self.entry.sight.wchan.as_deref().into_iter().chain(others)
    }
}

/// The threads of a live process, as the grouper sees them.
#[derive(Debug)]
pub struct LiveThreads<'a> {
    pub(super) account: AccountId,
    pub(super) threads: &'a mut Threads,
    pub(super) since_ns: u64,
    pub(super) now_ns: u64,
}

impl LiveThreads<'_> {
    /// The account that their use is booked to.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// Calls `report` with the name of each thread and its use since its last report. Threads that are not reported at this
    /// pass are reported with all their use later.
    pub fn report(self, report: impl FnMut(&TaskName, &Delta)) {
        self.threads.report(self.since_ns, self.now_ns, report);
    }
}

/// A live process whose account waits for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclassified {
    /// The process; its facts are to be read from `/proc`.
    pub id: ProcessId,
    /// The account that needs a group.
    pub account: AccountId,
    /// The account of its present parent: it joins that group if its own facts match nothing.
    pub parent: Option<AccountId>,
    /// The account it was born into, if its fork record came.
    pub birth: Option<AccountId>,
    /// The cgroup v2 id from its exec record; [`super::Pass::cgroup_ids`] has newer ones.
    pub cgroup_id: Option<u64>,
}

/// A process in no group that is looked at again.
#[derive(Debug, Clone, Copy)]
pub struct Reopened {
    /// The process.
    pub id: ProcessId,
    /// Its account.
    pub account: AccountId,
    /// The use so far that its group gets, which was booked while it was in no group.
    pub used: Option<Tally>,
}

//! Map values of run-queue latency: how long threads waited for a CPU. The programs count by slot; user space assigns a slot
//! to each group.

use bytemuck::{Pod, Zeroable};

/// Number of finite buckets of a histogram. The upper bounds are 2^-20 s to 1 s, each twice the one before.
pub const RUN_QUEUE_BOUNDS: usize = 21;

/// Upper bound of bucket `n`, rounded down to whole nanoseconds. Waits are whole nanoseconds, so the rounded bound puts each
/// wait into the same bucket as the exact one.
#[inline(always)]
pub const fn run_queue_bound_ns(n: usize) -> u64 {
    1_000_000_000 >> (RUN_QUEUE_BOUNDS - 1 - n)
}

/// Processes whose slot the maps have room for, and threads whose last waiting time they have room for.
pub const RUN_QUEUE_ENTRIES: u32 = 32768;
/// Task names for which the map has room for the slot that an exec assigns.
pub const RUN_QUEUE_COMMS: u32 = 1024;

/// The slot of processes whose group is unknown.
pub const SLOT_UNKNOWN: u32 = 0;
/// In the place of a slot: the process is in no group, and the program does not count its waits.
pub const SLOT_NOWHERE: u32 = u32::MAX;
/// In the place of a slot, for a comm: an exec of this name leaves the process in its slot.
pub const SLOT_STAYS: u32 = u32::MAX - 1;

/// Waits of the threads of one slot on one CPU. The values only rise.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RunQueueWaits {
    /// Total time of all waits. It comes first, next to the buckets of short waits, so that most waits touch one cache line.
    pub sum_ns: u64,
    /// Number of waits by length: bucket n counts those longer than bound n-1 and not longer than bound n; the last bucket
    /// counts the rest.
    pub buckets: [u64; RUN_QUEUE_BOUNDS + 1],
}

/// The state of a thread when it was last switched out.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RunQueueThread {
    /// Time it had waited since its birth. Kernel: `sched_info.run_delay`.
    pub run_delay_ns: u64,
    /// Number of times it had been given a CPU. Kernel: `sched_info.pcount`.
    pub runs: u64,
    /// The slot of its process, valid only while `generation` is the current one.
    pub slot: u32,
    /// The value of the map `RUN_QUEUE_GENERATION` when `slot` was looked up. User space changes that value whenever it changes
    /// the slot of a process. 0 is never current, so the program looks the slot up.
    pub generation: u32,
}

/// Events of one CPU that the programs could not count properly.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RunQueueTotals {
    /// Waits of unknown length: the thread's earlier waiting time is unknown, because the map was full or the program missed a
    /// switch.
    pub missed: u64,
    /// New processes that found the map of slots full. Their waits count for [`SLOT_UNKNOWN`].
    pub full: u64,
}

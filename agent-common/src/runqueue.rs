//! Run-queue latency: how long threads waited for a CPU, by slot; a slot is what user space has given to a group.

use bytemuck::{Pod, Zeroable};

/// Finite buckets of a histogram: upper bounds of 2^-20 s to 1 s, each twice the one before.
pub const RUN_QUEUE_BOUNDS: usize = 21;

/// Largest whole nanoseconds within bound `n`: times are whole ones, so this cuts as the bound itself does.
#[inline(always)]
pub const fn run_queue_bound_ns(n: usize) -> u64 {
    1_000_000_000 >> (RUN_QUEUE_BOUNDS - 1 - n)
}

/// Processes whose slot the kernel can remember, and threads whose waiting it can.
pub const RUN_QUEUE_ENTRIES: u32 = 32768;
/// Task names for which user space says what an exec of them means.
pub const RUN_QUEUE_COMMS: u32 = 1024;

/// The slot of processes whose group is not known yet.
pub const SLOT_UNKNOWN: u32 = 0;
/// In the place of a slot: the process is in no group, and its waits are not counted.
pub const SLOT_NOWHERE: u32 = u32::MAX;
/// In the place of a slot, for a comm: after such an exec the process stays where it is.
pub const SLOT_STAYS: u32 = u32::MAX - 1;

/// What one slot's threads have waited on one CPU. Only rises.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RunQueueWaits {
    /// Time of all waits. First, beside the buckets of the short ones: most waits touch one cache line.
    pub sum_ns: u64,
    /// Waits by length: bucket n holds those longer than bound n-1 and not longer than bound n, the last one the rest.
    pub buckets: [u64; RUN_QUEUE_BOUNDS + 1],
}

/// A thread when it was last switched out.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RunQueueThread {
    /// What it had waited. Kernel: `sched_info.run_delay`.
    pub run_delay_ns: u64,
    /// How often it had waited. Kernel: `sched_info.pcount`.
    pub runs: u64,
    /// Its process's slot...
    pub slot: u32,
    /// ...if this is still how often user space has changed slots; 0: look it up.
    pub generation: u32,
}

/// What could not be counted, on one CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RunQueueTotals {
    /// Waits of threads whose former waiting is not known, because the map was full or a switch went unseen.
    pub missed: u64,
    /// Births of processes that found no place: their waits are those of an unknown group.
    pub full: u64,
}

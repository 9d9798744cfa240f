//! Scheduler time per process, kept at each switch.

use crate::Identity;
use bytemuck::{Pod, Zeroable};

/// Processes that the map of run times has room for.
pub const RUN_TIMES_ENTRIES: u32 = 16384;

/// On-CPU time of one process on one CPU, keyed by [`crate::Identity`].
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RunTime {
    /// Time its tasks were on this CPU since the programs were attached.
    pub run_ns: u64,
    /// Times its tasks were switched out.
    pub switches: u64,
}

/// What the switch program keeps of itself, per CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct SwitchTotals {
    /// With tracepoints: when this CPU switched last (`bpf_ktime_get_ns`).
    pub last_ns: u64,
    /// With the kernel's types: run time of [`Self::running_tid`] when it was switched in, by the scheduler's own account.
    pub running_ns: u64,
    /// Switches whose process found no place in the map; with tracepoints, births.
    pub full: u64,
    /// On-CPU time of these.
    pub full_run_ns: u64,
    /// On-CPU time, at most, of stretches that no program saw begin: with tracepoints, nothing tells how long they were.
    pub unseen_ns: u64,
    /// Who was switched in last; tgid 0: the idle task.
    pub running: Identity,
    /// Its thread; 0: the idle task. Where the programs sit on tracepoints, that is all they know of it.
    pub running_tid: u32,
    /// Always 0.
    pub zero: u32,
}

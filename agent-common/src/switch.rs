//! Map values of the switch tier: on-CPU time of each process, updated at each context switch.

use bytemuck::{Pod, Zeroable};

use crate::Identity;

/// Processes that the map of run times has room for. The map of [`crate::Traced`] entries has the same size.
pub const RUN_TIMES_ENTRIES: u32 = 16384;

/// On-CPU time of one process on one CPU. The map's key is the [`crate::Identity`].
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RunTime {
    /// Time that its tasks were on this CPU since the programs were attached.
    pub run_ns: u64,
    /// Number of times its tasks were switched out.
    pub switches: u64,
}

/// The switch program's own state on one CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct SwitchTotals {
    /// On classic tracepoints: time of the last switch on this CPU (`bpf_ktime_get_ns`).
    pub last_ns: u64,
    /// With type information: run time of [`Self::running_tid`] when it was switched in, by the scheduler's own account
    /// (`se.sum_exec_runtime`).
    pub running_ns: u64,
    /// Switches whose process found the map full; on classic tracepoints, new processes that found it full.
    pub full: u64,
    /// On-CPU time of these switches.
    pub full_run_ns: u64,
    /// On classic tracepoints: upper bound of the on-CPU time of runs whose beginning the program missed, so that their length
    /// is unknown.
    pub unseen_ns: u64,
    /// With type information: the process that was switched in last; tgid 0 is the idle task.
    pub running: Identity,
    /// The thread that was switched in last; 0 is the idle task. On classic tracepoints the program knows only this id.
    pub running_tid: u32,
    /// Always 0.
    pub zero: u32,
}

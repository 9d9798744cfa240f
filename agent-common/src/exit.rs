//! The record of the end of a process, written when its last thread begins to exit. The final totals follow in a
//! [`crate::ReleaseRecord`].

use bytemuck::{Pod, Zeroable};

use crate::{Identity, Totals};

/// In `flags` of exit and release records: the OOM killer chose the process.
pub const EXIT_OOM: u32 = 1;

/// In `flags` of exit and release records: the kernel program cannot read how the process ended (classic tracepoints), and
/// `wait_status` is 0.
pub const EXIT_UNTOLD: u32 = 4;

/// The last thread of a process begins to exit (`sched_process_exit` at group-dead).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ExitRecord {
    /// [`crate::kind::EXIT`].
    pub kind: u32,
    /// Bits: [`EXIT_OOM`], [`EXIT_UNTOLD`].
    pub flags: u32,
    /// The process.
    pub id: Identity,
    /// Time of the exit, nanoseconds since boot.
    pub time_ns: u64,
    /// The status that `wait4` returns to the parent.
    pub wait_status: u32,
    /// Always 0.
    pub zero: u32,
    /// The use of its threads so far. Not final, and `se.sum_exec_runtime` is only as fresh as the last tick. The agent uses
    /// these totals for a process whose final totals never come.
    pub totals: Totals,
}

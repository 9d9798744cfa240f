//! The end of a process, as soon as it is known.

use crate::{Identity, Totals};
use bytemuck::{Pod, Zeroable};

/// In `flags` of exit and release records: the OOM killer chose the process.
pub const EXIT_OOM: u32 = 1;

/// In `flags` of exit and release records: nothing tells how it ended, and `wait_status` is 0.
pub const EXIT_UNTOLD: u32 = 4;

/// The last thread of a process ended (`sched_process_exit` at group-dead).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ExitRecord {
    /// [`crate::kind::EXIT`].
    pub kind: u32,
    /// [`EXIT_OOM`].
    pub flags: u32,
    /// Who.
    pub id: Identity,
    /// When, in nanoseconds since boot.
    pub time_ns: u64,
    /// The word that `wait4` gives.
    pub wait_status: u32,
    /// Always 0.
    pub zero: u32,
    /// What its threads have used up to here. Not final, and `se.sum_exec_runtime` is only as fresh as the last tick:
    /// for a process whose final totals never come.
    pub totals: Totals,
}

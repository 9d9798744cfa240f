//! Where records go while the ring is full, and what is counted in any case.

use crate::{ExecHead, Identity, Totals};
use bytemuck::{Pod, Zeroable};

/// [`OverflowRecord::flags`]: `parent` is valid.
pub const OVERFLOW_FORKED: u32 = 1;
/// [`OverflowRecord::flags`]: `head` and `exec_totals` are valid.
pub const OVERFLOW_EXECED: u32 = 2;
/// [`OverflowRecord::flags`]: `wait_status`, `exit_flags` and `totals` are valid.
pub const OVERFLOW_EXITED: u32 = 4;
/// [`OverflowRecord::flags`]: `totals` is final, and the process is gone.
pub const OVERFLOW_RELEASED: u32 = 8;

/// Names that the sums by comm have room for: more than a node's regular churn has.
pub const COARSE_ENTRIES: u32 = 256;

/// All records of one process that found the ring full, merged. Keyed by [`Identity`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct OverflowRecord {
    /// Which parts are valid.
    pub flags: u32,
    /// Execs merged here; the last one's name is kept.
    pub execs: u32,
    /// As in [`crate::ForkRecord`].
    pub parent: Identity,
    /// As in [`crate::ExecRecord`], of the last exec.
    pub exec_time_ns: u64,
    /// As in [`crate::ExitRecord`].
    pub exit_time_ns: u64,
    /// As in [`crate::ReleaseRecord`].
    pub release_time_ns: u64,
    /// As in [`crate::ExecRecord`], of the last exec; `argv_len` is 0 and the arguments count as cut.
    pub head: ExecHead,
    /// As in [`crate::ExecRecord`], of the first exec.
    pub exec_totals: Totals,
    /// As in [`crate::ExecRecord`], of the last exec.
    pub last_exec_totals: Totals,
    /// As in [`crate::ReleaseRecord`]; until it is released, as in [`crate::ExitRecord`].
    pub totals: Totals,
    /// As in [`crate::ExitRecord`].
    pub wait_status: u32,
    /// As in [`crate::ReleaseRecord::flags`].
    pub exit_flags: u32,
    /// As in [`crate::ReleaseRecord`].
    pub comm: crate::Comm,
    /// As in [`crate::ReleaseRecord`].
    pub euid: u32,
    /// As in [`crate::ReleaseRecord`].
    pub parent_tgid: u32,
    /// As in [`ExecHead::flags`], of the first exec.
    pub exec_flags: u32,
    /// Always 0.
    pub zero: u32,
}

/// Sums of the processes whose record found ring and hash full, of one comm on one CPU. Only rise. `totals` holds
/// only processes born after [`crate::Control::pass_started_ns`]: an older one may have been credited already.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct CoarseSums {
    /// Fork records.
    pub forks: u64,
    /// Exec records.
    pub execs: u64,
    /// Exit records of processes that ended with code 0.
    pub exits_success: u64,
    /// Exit records of processes that ended with another code.
    pub exits_failure: u64,
    /// Exit records of processes ended by a signal.
    pub exits_signal: u64,
    /// Of these, by the OOM killer.
    pub oom_kills: u64,
    /// Exit records of processes of which nothing tells how they ended.
    pub exits_unknown: u64,
    /// Totals of the young ones.
    pub totals: Totals,
}

/// True counts of one CPU since the programs were attached. Only rise.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct NodeTotals {
    /// Processes forked.
    pub forks: u64,
    /// Threads begun, those included that the kernel makes for a process.
    pub threads: u64,
    /// Programs started.
    pub execs: u64,
    /// Processes released.
    pub exits: u64,
    /// CPU time of the released, from birth.
    pub exited_runtime_ns: u64,
    /// Records that found the ring full.
    pub ring_full: u64,
    /// Records that found the overflow hash full too, and went to the sums by comm.
    pub coarse: u64,
    /// Release records of older processes that found no place: their tail is lost.
    pub lost: u64,
    /// Upper bound of what was lost with them: their CPU time from birth.
    pub lost_runtime_ns: u64,
}

//! Map values for records that found the ring full, and the totals that are always counted.
//!
//! A record that finds no room in the ring is merged into an [`OverflowRecord`], one for each process. If that map is full
//! too, the record is added to the [`CoarseSums`] of its task name.

use bytemuck::{Pod, Zeroable};

use crate::{ExecHead, Identity, Totals};

/// In [`OverflowRecord::flags`]: `parent` is valid.
pub const OVERFLOW_FORKED: u32 = 1;
/// In [`OverflowRecord::flags`]: the fields about execs are valid.
pub const OVERFLOW_EXECED: u32 = 2;
/// In [`OverflowRecord::flags`]: `wait_status`, `exit_flags`, `exit_time_ns` and `totals` are valid.
pub const OVERFLOW_EXITED: u32 = 4;
/// In [`OverflowRecord::flags`]: `totals` is final, and the process is gone.
pub const OVERFLOW_RELEASED: u32 = 8;

/// Task names that the sums by comm have room for: more than the short-lived processes of a node usually have.
pub const COARSE_ENTRIES: u32 = 256;

/// All records of one process that found the ring full, merged. The map's key is the [`Identity`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct OverflowRecord {
    /// Which parts are valid: [`OVERFLOW_FORKED`], [`OVERFLOW_EXECED`], [`OVERFLOW_EXITED`], [`OVERFLOW_RELEASED`].
    pub flags: u32,
    /// Number of execs merged here. Only the names of the last one are kept.
    pub execs: u32,
    /// As in [`crate::ForkRecord`].
    pub parent: Identity,
    /// As in [`crate::ExecRecord`], of the last exec.
    pub exec_time_ns: u64,
    /// As in [`crate::ExitRecord`].
    pub exit_time_ns: u64,
    /// As in [`crate::ReleaseRecord`].
    pub release_time_ns: u64,
    /// As in [`crate::ExecRecord`], of the last exec. `argv_len` is 0, and [`crate::ARGV_CUT`] is set.
    pub head: ExecHead,
    /// As in [`crate::ExecRecord`], of the first exec.
    pub exec_totals: Totals,
    /// As in [`crate::ExecRecord`], of the last exec.
    pub last_exec_totals: Totals,
    /// As in [`crate::ReleaseRecord`]; before the release, as in [`crate::ExitRecord`].
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

/// Sums of the records that found both the ring and the overflow hash full, of one comm on one CPU. They only rise while the
/// entry exists. `totals` holds only processes born after [`crate::Control::pass_started_ns`]: a pass may have credited
/// older ones already.
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
    /// Exit records of processes that the OOM killer chose, with any end.
    pub oom_kills: u64,
    /// Exit records of processes whose way of ending is unknown ([`crate::EXIT_UNTOLD`]).
    pub exits_unknown: u64,
    /// Final totals of the processes that no pass can have credited.
    pub totals: Totals,
}

/// Exact counts of one CPU since the programs were attached. They only rise.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct NodeTotals {
    /// Processes forked.
    pub forks: u64,
    /// Threads created, including those that the kernel creates for a process.
    pub threads: u64,
    /// Execs.
    pub execs: u64,
    /// Processes released.
    pub exits: u64,
    /// CPU time of the released processes since their birth.
    pub exited_runtime_ns: u64,
    /// Records that found the ring full.
    pub ring_full: u64,
    /// Records that found the overflow hash full as well and were added to the sums by comm.
    pub coarse: u64,
    /// Release records of processes that a pass may have credited, and that found ring and hash full: what these processes used
    /// since that pass is lost. On classic tracepoints also execs of processes without an entry.
    pub lost: u64,
    /// CPU time of the processes of these release records since birth: an upper bound of the CPU time lost with them.
    pub lost_runtime_ns: u64,
}

//! The record with the final totals of a process.

use bytemuck::{Pod, Zeroable};

use crate::{Comm, Identity, Totals};

/// In [`ReleaseRecord::flags`]: the leader is a zombie, and the kernel now releases the last other thread. The totals are
/// final, but the leader may still wait to be reaped.
pub const RELEASE_PROJECTED: u32 = 2;

/// In [`ReleaseRecord::flags`]: an earlier record ([`RELEASE_PROJECTED`]) carried these totals. This one only reports that
/// the process is gone.
pub const RELEASE_REPEATED: u32 = 8;

/// A process is gone (`fentry/release_task` or `tp_btf/sched_process_free` of the leader; on classic tracepoints, the last
/// switch of its last thread or `sched/sched_process_free`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ReleaseRecord {
    /// [`crate::kind::RELEASE`].
    pub kind: u32,
    /// Bits: [`crate::EXIT_OOM`], [`crate::EXIT_UNTOLD`], [`RELEASE_PROJECTED`], [`RELEASE_REPEATED`].
    pub flags: u32,
    /// The process.
    pub id: Identity,
    /// Time of the release, nanoseconds since boot.
    pub time_ns: u64,
    /// Everything that all threads used since the birth of the process.
    pub totals: Totals,
    /// `task->comm` of the leader at the end.
    pub comm: Comm,
    /// The status that `wait4` returns to the parent.
    pub wait_status: u32,
    /// `real_cred->euid`: the effective user id. On classic tracepoints, the real user id of the task that is current at the
    /// hook.
    pub euid: u32,
    /// `real_parent->tgid`; 0 where the kernel has removed the link already (free hook).
    pub parent_tgid: u32,
    /// Always 0.
    pub zero: u32,
}

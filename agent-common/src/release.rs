//! The final totals of a process.

use crate::{Comm, Identity, Totals};
use bytemuck::{Pod, Zeroable};

/// In [`ReleaseRecord::flags`]: the leader is a zombie whose last thread goes now. The totals are final, but the
/// leader may still wait to be reaped.
pub const RELEASE_PROJECTED: u32 = 2;

/// In [`ReleaseRecord::flags`]: another record has told these totals when the last thread went. This one tells that the process
/// is gone.
pub const RELEASE_REPEATED: u32 = 8;

/// A process is gone (`fentry/release_task` or `tp_btf/sched_process_free` of the leader).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ReleaseRecord {
    /// [`crate::kind::RELEASE`].
    pub kind: u32,
    /// [`crate::EXIT_OOM`], [`RELEASE_PROJECTED`], [`RELEASE_REPEATED`].
    pub flags: u32,
    /// Who.
    pub id: Identity,
    /// When, in nanoseconds since boot.
    pub time_ns: u64,
    /// All threads.
    pub totals: Totals,
    /// `task->comm` at the end.
    pub comm: Comm,
    /// The word that `wait4` gives.
    pub wait_status: u32,
    /// `real_cred->euid`.
    pub euid: u32,
    /// `real_parent->tgid`; 0 where the record is written after the links are gone (free hook).
    pub parent_tgid: u32,
    /// Always 0.
    pub zero: u32,
}

//! A new image.

use crate::{Comm, Identity, Totals};
use bytemuck::{Pod, Zeroable};

/// Most bytes of the argument vector that one record carries. A power of two: the verifier's bound is a mask.
pub const ARGV_BYTES: usize = 16 << 10;

/// Records that tell the arguments of one exec, at most.
pub const ARGV_PIECES: usize = 4;

/// Bytes of the argument vector that a record may carry however full the ring is; a power of two. Longer ones find room
/// in the first three quarters of the ring only, so that programs with long arguments never keep out the records of others.
pub const ARGV_SHORT_BYTES: usize = 512;

/// In [`ExecHead::flags`]: the argument vector was longer, or not all of it could be read.
pub const ARGV_CUT: u32 = 1;

/// In [`ExecHead::flags`]: the exec of a set-user-ID or set-group-ID file left an effective id that is not the real one.
pub const EXEC_BORROWED_IDS: u32 = 2;

/// In [`ExecHead::flags`]: nothing tells the effective ids; `euid` is the real one.
pub const EXEC_REAL_UID: u32 = 4;

/// What an image is called and owned by.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ExecHead {
    /// `bpf_get_current_cgroup_id`: the cgroup v2 id.
    pub cgroup_id: u64,
    /// `task->comm` after the exec.
    pub comm: Comm,
    /// `real_cred->euid`.
    pub euid: u32,
    /// `real_parent->tgid`.
    pub parent_tgid: u32,
    /// Bytes of arguments that are told: the first [`ARGV_BYTES`] of them follow, and the others came before.
    pub argv_len: u32,
    /// [`ARGV_CUT`], [`EXEC_BORROWED_IDS`], [`EXEC_REAL_UID`].
    pub flags: u32,
}

/// A process runs a new program (`sched_process_exec`). In the ring its arguments follow, each closed by a NUL; the whole
/// is rounded up to 8 bytes. What is beyond the first [`ARGV_BYTES`] comes in records of kind
/// [`crate::kind::ARGUMENTS`] before it: they have the form of this one, `old_tid` is the number of the piece from 1 on,
/// and `head.argv_len` bytes of it follow.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ExecRecord {
    /// [`crate::kind::EXEC`], [`crate::kind::ARGUMENTS`].
    pub kind: u32,
    /// Thread id of the caller before the exec; another than the tgid when a thread called it.
    pub old_tid: u32,
    /// Who.
    pub id: Identity,
    /// When, in nanoseconds since boot.
    pub time_ns: u64,
    /// All the process has used up to here; other threads are gone by now.
    pub totals: Totals,
    /// What it is called now.
    pub head: ExecHead,
}

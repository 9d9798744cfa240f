//! The record of an exec: a process runs a new program (an image).

use bytemuck::{Pod, Zeroable};

use crate::{Comm, Identity, Totals};

/// Maximum bytes of the argument vector in one record. A power of two, because the kernel program bounds the length for the
/// verifier by a mask.
pub const ARGV_BYTES: usize = 16 << 10;

/// Maximum number of records that carry the arguments of one exec.
pub const ARGV_PIECES: usize = 4;

/// Bytes of the argument vector that a record may carry however full the ring is; a power of two. Longer argument vectors
/// find room in the first three quarters of the ring only, so that programs with long arguments never displace the records
/// of other processes.
pub const ARGV_SHORT_BYTES: usize = 512;

/// In [`ExecHead::flags`]: the records carry only part of the argument vector, because the ring had no room for more, or
/// because the kernel program could not read all of it.
pub const ARGV_CUT: u32 = 1;

/// In [`ExecHead::flags`]: the exec of a set-user-ID or set-group-ID file left an effective id that is not the real one.
pub const EXEC_BORROWED_IDS: u32 = 2;

/// In [`ExecHead::flags`]: the kernel program cannot read effective ids (classic tracepoints); `euid` is the real user id.
pub const EXEC_REAL_UID: u32 = 4;

/// Names and owner of a new image.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ExecHead {
    /// The cgroup v2 id, from `bpf_get_current_cgroup_id`.
    pub cgroup_id: u64,
    /// `task->comm` after the exec.
    pub comm: Comm,
    /// `real_cred->euid`: the effective user id; the real one where [`EXEC_REAL_UID`] is set.
    pub euid: u32,
    /// `real_parent->tgid`. On classic tracepoints, the process that forked this one; 0 where that is unknown.
    pub parent_tgid: u32,
    /// Bytes of arguments that all records of this exec carry. The first [`ARGV_BYTES`] of them follow this record; the
    /// others came in records before it.
    pub argv_len: u32,
    /// Bits: [`ARGV_CUT`], [`EXEC_BORROWED_IDS`], [`EXEC_REAL_UID`].
    pub flags: u32,
}

/// A process runs a new program (`sched_process_exec`). In the ring, its arguments follow the record, each ended by a NUL;
/// the ring rounds the whole up to 8 bytes.
///
/// Arguments beyond the first [`ARGV_BYTES`] come before this record, in records of kind [`crate::kind::ARGUMENTS`]. These
/// have the same form; `old_tid` is the number of the piece, from 1 on, and `head.argv_len` bytes of the piece follow.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ExecRecord {
    /// [`crate::kind::EXEC`] or [`crate::kind::ARGUMENTS`].
    pub kind: u32,
    /// Thread id of the caller before the exec; differs from the tgid if a thread other than the leader called exec.
    pub old_tid: u32,
    /// The process.
    pub id: Identity,
    /// Time of the exec, nanoseconds since boot.
    pub time_ns: u64,
    /// Everything the process used before the exec. The kernel has ended its other threads by now.
    pub totals: Totals,
    /// Its new names and its owner.
    pub head: ExecHead,
}

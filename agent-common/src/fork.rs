//! The record of a fork: a new process.

use bytemuck::{Pod, Zeroable};

use crate::Identity;

/// `CLONE_THREAD` of include/uapi/linux/sched.h.
pub const CLONE_THREAD: u64 = 0x10000;

/// A process was forked (`sched_process_fork` with child tgid = pid, or `task_newtask` on classic tracepoints). New threads
/// have no record.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ForkRecord {
    /// [`crate::kind::FORK`].
    pub kind: u32,
    /// Always 0.
    pub zero: u32,
    /// The new process. Its start time is the time of the fork.
    pub child: Identity,
    /// The process that called fork, which is not always the one that reaps the child.
    pub parent: Identity,
}

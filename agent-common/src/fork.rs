//! A new process.

use crate::Identity;
use bytemuck::{Pod, Zeroable};

/// `CLONE_THREAD` of include/uapi/linux/sched.h.
pub const CLONE_THREAD: u64 = 0x10000;

/// A process was forked (`sched_process_fork` with child tgid = pid; threads are not reported).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ForkRecord {
    /// [`crate::kind::FORK`].
    pub kind: u32,
    /// Always 0.
    pub zero: u32,
    /// The new process; its start is when.
    pub child: Identity,
    /// The process that called fork, not the one that will reap the child.
    pub parent: Identity,
}

//! The records of live tasks that the task iterator returns, and the types that all records share.

use bytemuck::{Pod, Zeroable};

/// Bytes of a task name (`TASK_COMM_LEN`), including the terminating NUL.
pub const COMM_BYTES: usize = 16;

/// A task name, NUL-padded (`task_struct.comm`).
pub type Comm = [u8; COMM_BYTES];

/// Bit of `task_struct.exit_state`: the kernel is releasing the task. The sums in `signal_struct` may include its use already,
/// although the iterator still visits it.
pub const EXIT_DEAD: u32 = 0x10;

/// A process. The start time distinguishes it from later processes with the same tgid. An exec does not change it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Identity {
    /// `task_struct.start_boottime` of the leader.
    pub start_ns: u64,
    /// `task_struct.tgid`.
    pub tgid: u32,
    /// Always 0, because the kernel compares map keys byte by byte.
    pub zero: u32,
}

/// The use of a process since its birth: the sums of its dead threads (`signal_struct`), plus the live tasks that the
/// documentation of each record names.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Totals {
    /// User time as the tick samples it (`utime`). Only its ratio to `stime_ns` is meaningful.
    pub utime_ns: u64,
    /// System time as the tick samples it (`stime`).
    pub stime_ns: u64,
    /// Precise CPU time (`se.sum_exec_runtime`, `signal.sum_sched_runtime`).
    pub runtime_ns: u64,
    /// The user time that the kernel last reported to a reader (`signal.prev_cputime.utime`). Not a sum.
    pub shown_utime_ns: u64,
    /// The system time that the kernel last reported to a reader (`signal.prev_cputime.stime`). Not a sum.
    pub shown_stime_ns: u64,
    /// `min_flt`.
    pub minor_faults: u64,
    /// `maj_flt`.
    pub major_faults: u64,
    /// `nvcsw`.
    pub voluntary_switches: u64,
    /// `nivcsw`.
    pub nonvoluntary_switches: u64,
    /// `ioac.read_bytes`.
    pub read_bytes: u64,
    /// `ioac.write_bytes`.
    pub write_bytes: u64,
    /// `sched_info.run_delay` of the live tasks only: the kernel keeps no sum for dead threads.
    pub run_delay_ns: u64,
}

/// A live process: facts of the process, and the use of its leader and its dead threads. Its other threads have a
/// [`ThreadRecord`] each.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct LeaderRecord {
    /// [`crate::kind::LEADER`].
    pub kind: u32,
    /// `task_struct.__state` or `state`, low 32 bits.
    pub state: u32,
    /// `task_struct.exit_state`.
    pub exit_state: u32,
    /// `real_parent->tgid`.
    pub parent_tgid: u32,
    /// The process.
    pub id: Identity,
    /// Leader and dead threads. The leader's own use is not added where the leader is [`EXIT_DEAD`].
    pub totals: Totals,
    /// `mm->rss_stat`: file, anonymous and shared-memory pages.
    pub rss_pages: u64,
    /// `mm->rss_stat`: swap entries.
    pub swap_pages: u64,
    /// `mm->total_vm`.
    pub total_vm_pages: u64,
    /// `signal->rlim[RLIMIT_NOFILE].rlim_cur`; `u64::MAX` means no limit, 0 also that the kernel lacks the field.
    pub fd_limit: u64,
    /// `cgroups->dfl_cgrp->kn->id`: the cgroup v2 id; 0 where it is unknown.
    pub cgroup_id: u64,
    /// `signal->nr_threads`.
    pub threads: u32,
    /// `task_struct.flags`.
    pub flags: u32,
    /// 1: the effective user or group id differs from the real one (`real_cred`). Otherwise 0.
    pub borrows_ids: u32,
    /// Always 0.
    pub zero: u32,
}

/// The use of the dead threads of a process at the visit of a thread that comes before its leader.
///
/// The iterator visits tasks in the order of their ids. A thread has a lower id than its leader where the kernel's numbering
/// wrapped around, or where the creator chose the ids.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct DeadThreadsRecord {
    /// [`crate::kind::DEAD_THREADS`].
    pub kind: u32,
    /// Always 0.
    pub zero: u32,
    /// The process.
    pub id: Identity,
    /// Dead threads only.
    pub totals: Totals,
}

/// A live task of a process with several tasks, and the use of this task.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ThreadRecord {
    /// [`crate::kind::THREAD`].
    pub kind: u32,
    /// As in [`LeaderRecord`].
    pub state: u32,
    /// As in [`LeaderRecord`].
    pub exit_state: u32,
    /// `task_struct.pid`.
    pub tid: u32,
    /// `task_struct.tgid`.
    pub tgid: u32,
    /// Always 0.
    pub zero: u32,
    /// `task_struct.start_boottime` of the thread.
    pub start_ns: u64,
    /// `utime`.
    pub utime_ns: u64,
    /// `stime`.
    pub stime_ns: u64,
    /// `se.sum_exec_runtime`.
    pub runtime_ns: u64,
    /// `min_flt`.
    pub minor_faults: u64,
    /// `maj_flt`.
    pub major_faults: u64,
    /// `nvcsw`.
    pub voluntary_switches: u64,
    /// `nivcsw`.
    pub nonvoluntary_switches: u64,
    /// `ioac.read_bytes`.
    pub read_bytes: u64,
    /// `ioac.write_bytes`.
    pub write_bytes: u64,
    /// `sched_info.run_delay`.
    pub run_delay_ns: u64,
    /// `task_struct.comm`.
    pub comm: Comm,
}

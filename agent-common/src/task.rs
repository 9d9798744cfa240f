//! A live task as the iterator shows it.

use bytemuck::{Pod, Zeroable};

/// Bytes of a task name (`TASK_COMM_LEN`), the closing NUL included.
pub const COMM_BYTES: usize = 16;

/// A task name, NUL-padded (`task_struct.comm`).
pub type Comm = [u8; COMM_BYTES];

/// Bit of `task_struct.exit_state`: the kernel releases the task. Its use may be in the sums of `signal_struct` already, although
/// the iterator still visits it.
pub const EXIT_DEAD: u32 = 0x10;

/// A process, told apart from later ones with the same number. An exec keeps it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Identity {
    /// `task_struct.start_boottime` of the leader.
    pub start_ns: u64,
    /// `task_struct.tgid`.
    pub tgid: u32,
    /// Always 0: map keys are compared as bytes.
    pub zero: u32,
}

/// What a process has used since its birth: its dead threads (`signal_struct`) and those tasks that the record's
/// documentation names.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Totals {
    /// Sampled user time (`utime`); only its ratio to `stime_ns` means something.
    pub utime_ns: u64,
    /// Sampled system time (`stime`).
    pub stime_ns: u64,
    /// Precise CPU time (`se.sum_exec_runtime`, `signal.sum_sched_runtime`).
    pub runtime_ns: u64,
    /// What the kernel last showed as user time (`signal.prev_cputime.utime`); not a sum.
    pub shown_utime_ns: u64,
    /// What the kernel last showed as system time (`signal.prev_cputime.stime`); not a sum.
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
    /// `sched_info.run_delay` of the tasks themselves; the kernel keeps none of dead threads.
    pub run_delay_ns: u64,
}

/// A process: its leader and its dead threads.
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
    /// Who.
    pub id: Identity,
    /// Leader and dead threads; without the leader's own where it is [`EXIT_DEAD`].
    pub totals: Totals,
    /// `mm->rss_stat`: file, anonymous and shared-memory pages.
    pub rss_pages: u64,
    /// `mm->rss_stat`: swap entries.
    pub swap_pages: u64,
    /// `mm->total_vm`.
    pub total_vm_pages: u64,
    /// `signal->rlim[RLIMIT_NOFILE].rlim_cur`; `u64::MAX` is no limit.
    pub fd_limit: u64,
    /// `cgroups->dfl_cgrp->kn->id`: the cgroup v2 id; 0 where it is not known.
    pub cgroup_id: u64,
    /// `signal->nr_threads`.
    pub threads: u32,
    /// `task_struct.flags`, for the idle kernel threads' state.
    pub flags: u32,
    /// 1: the effective user or group id is not the real one (`real_cred`).
    pub borrows_ids: u32,
    /// Always 0.
    pub zero: u32,
}

/// What the dead threads of a process have used, as of the visit of a thread that comes before its leader: the iterator visits
/// tasks in the order of their numbers, and a thread has the lower number where numbers began again, or were chosen.
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

/// A live task of a process of several: what it used itself.
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

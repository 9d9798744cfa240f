//! The values that user space passes to the kernel programs: [`Layout`] before they are loaded, [`Control`] while they run.

use bytemuck::{Pod, Zeroable};

use crate::offsets::offsets;

/// In the place of an offset: this kernel does not have the field.
pub const ABSENT: u32 = u32::MAX;

/// In [`Layout::rss_access`]: the program reads the counters by plain loads.
pub const RSS_PLAIN: u32 = 0;
/// In [`Layout::rss_access`]: the program reads the counters by `bpf_probe_read_kernel`, which lockdown forbids. Before 6.2
/// the counters are an array of a `typedef`, which the verifier does not allow plain loads to enter.
pub const RSS_HELPER: u32 = 1;

/// In [`Layout::argv_access`]: exec records carry no arguments.
pub const ARGV_NONE: u32 = 0;
/// In [`Layout::argv_access`]: the program reads arguments by `bpf_probe_read_user`. Lockdown allows this helper, but forbids the
/// one by which aya detects the features of the kernel, so that aya replaces it by a forbidden one.
pub const ARGV_READ: u32 = 1;

offsets! {
    Offsets
    task_tgid = "task_struct"."tgid";
    task_pid = "task_struct"."pid";
    task_comm = "task_struct"."comm";
    task_flags = "task_struct"."flags";
    /// Since 5.14.
    task_state = "task_struct"."__state";
    /// Before 5.14.
    task_old_state = "task_struct"."state";
    task_exit_state = "task_struct"."exit_state";
    task_exit_code = "task_struct"."exit_code";
    task_start_boottime = "task_struct"."start_boottime";
    task_real_parent = "task_struct"."real_parent";
    task_group_leader = "task_struct"."group_leader";
    task_signal = "task_struct"."signal";
    task_mm = "task_struct"."mm";
    task_real_cred = "task_struct"."real_cred";
    task_cgroups = "task_struct"."cgroups";
    task_utime = "task_struct"."utime";
    task_stime = "task_struct"."stime";
    task_runtime = "task_struct"."se.sum_exec_runtime";
    task_runtime_picked = "task_struct"."se.prev_sum_exec_runtime";
    task_min_flt = "task_struct"."min_flt";
    task_maj_flt = "task_struct"."maj_flt";
    task_nvcsw = "task_struct"."nvcsw";
    task_nivcsw = "task_struct"."nivcsw";
    task_read_bytes = "task_struct"."ioac.read_bytes";
    task_write_bytes = "task_struct"."ioac.write_bytes";
    task_run_delay = "task_struct"."sched_info.run_delay";
    task_pcount = "task_struct"."sched_info.pcount";
    signal_live = "signal_struct"."live";
    signal_nr_threads = "signal_struct"."nr_threads";
    signal_flags = "signal_struct"."flags";
    signal_group_exit_code = "signal_struct"."group_exit_code";
    signal_oom_mm = "signal_struct"."oom_mm";
    signal_utime = "signal_struct"."utime";
    signal_stime = "signal_struct"."stime";
    signal_runtime = "signal_struct"."sum_sched_runtime";
    signal_shown_utime = "signal_struct"."prev_cputime.utime";
    signal_shown_stime = "signal_struct"."prev_cputime.stime";
    signal_min_flt = "signal_struct"."min_flt";
    signal_maj_flt = "signal_struct"."maj_flt";
    signal_nvcsw = "signal_struct"."nvcsw";
    signal_nivcsw = "signal_struct"."nivcsw";
    signal_read_bytes = "signal_struct"."ioac.read_bytes";
    signal_write_bytes = "signal_struct"."ioac.write_bytes";
    signal_rlim = "signal_struct"."rlim";
    mm_rss_stat = "mm_struct"."rss_stat";
    mm_total_vm = "mm_struct"."total_vm";
    mm_arg_start = "mm_struct"."arg_start";
    mm_arg_end = "mm_struct"."arg_end";
    cred_uid = "cred"."uid";
    cred_gid = "cred"."gid";
    cred_euid = "cred"."euid";
    cred_egid = "cred"."egid";
    /// Not 0 if the executed file has changed a user or group id, or may have.
    bprm_per_clear = "linux_binprm"."per_clear";
    css_set_cgroup = "css_set"."dfl_cgrp";
    cgroup_node = "cgroup"."kn";
    node_id = "kernfs_node"."id";
}

/// The global variable that user space freezes before it loads the programs: kernel offsets, and the settings by which the
/// programs decide.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Layout {
    /// Offsets of the kernel fields.
    pub offsets: Offsets,
    /// Bytes from the start of `mm.rss_stat` to its first counter.
    pub rss_first: u32,
    /// Bytes from one counter to the next: 8 before 6.2 (`atomic_long_t`), `sizeof(struct percpu_counter)` since.
    pub rss_stride: u32,
    /// How the programs read the counters: [`RSS_PLAIN`] or [`RSS_HELPER`].
    pub rss_access: u32,
    /// [`ARGV_READ`], or [`ARGV_NONE`] where the kernel does not allow programs to read the memory of processes.
    pub argv_access: u32,
    /// 1 in the switch tier: the programs at fork and release add and remove the entries of the map of run times.
    pub keeps_run_times: u32,
    /// 1 with the collector of run-queue latency: the programs at fork, exec and release keep the map of slots.
    pub keeps_run_queue: u32,
    /// Half the size of the ring, bytes. The programs wake the reader when more than this waits in the ring.
    pub wake_bytes: u32,
}

impl Layout {
    /// No kernel field is known, and every option is off.
    pub const ABSENT: Self = Self {
        offsets: Offsets::ABSENT,
        rss_first: ABSENT,
        rss_stride: ABSENT,
        rss_access: RSS_PLAIN,
        argv_access: ARGV_NONE,
        keeps_run_times: 0,
        keeps_run_queue: 0,
        wake_bytes: 0,
    };
}

/// The value that changes while the programs run. Only the agent writes it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Control {
    /// Start of the last pass that credited anything, nanoseconds since boot.
    pub pass_started_ns: u64,
    /// The overflow generation into which the programs write: 0 or 1.
    pub generation: u64,
}

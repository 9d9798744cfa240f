//! Access to kernel fields. All reads of fields by the programs with type information are in this file.
//!
//! In: BTF pointers from the hooks. Out: numbers, names and [`Totals`]. Their use is left to the file of each
//! hook.
//!
//! rustc emits no CO-RE relocations. Instead, user space reads the offsets from the running kernel's BTF and freezes them in
//! [`LAYOUT`]. The verifier treats a frozen global as a constant, so a load at a BTF pointer plus an offset is a checked
//! plain load, and a branch for an absent field is dead code. Kernel fields need no helper that lockdown forbids, except
//! resident memory before 6.2, which the agent then reads from `/proc`.

use core::ptr::read_volatile;

use agent_common::{ABSENT, ARGV_READ, COMM_BYTES, Comm, Identity, Layout, RSS_HELPER, Totals};
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;

/// `SIGNAL_GROUP_EXIT` in `signal_struct.flags`: `group_exit_code` is the exit code of the process.
const SIGNAL_GROUP_EXIT: u32 = 4;
/// Byte offset of the limit `RLIMIT_NOFILE` (7) in `signal_struct.rlim`; a `struct rlimit` has 16 bytes.
const RLIMIT_NOFILE_OFFSET: u32 = 7 * 16;
/// `TASK_DEAD` in `task_struct.__state`: the task will not run again.
pub(crate) const TASK_DEAD: u32 = 0x80;
/// `PF_EXITING` in `task_struct.flags`.
const PF_EXITING: u32 = 4;
/// `EXIT_ZOMBIE` in `task_struct.exit_state`.
pub(crate) const EXIT_ZOMBIE: u32 = 0x20;

/// User space sets it before loading.
#[unsafe(no_mangle)]
static LAYOUT: Layout = Layout::ABSENT;

macro_rules! layout {
    ($($field:ident).+) => {
        // SAFETY: a static of this program. Volatile, because user space has replaced the value that the compiler knows.
        unsafe { read_volatile(&raw const LAYOUT.$($field).+) }
    };
}

macro_rules! read {
    ($ty:ty, $base:expr, $field:ident) => {{
        let offset = layout!(offsets.$field);
        if offset == ABSENT {
            0 as $ty
        } else {
            // SAFETY: the verifier checks the access.
            unsafe { $crate::field::read::<$ty>($base, offset as usize) }
        }
    }};
}

/// The number of waiting bytes above which a record wakes the ring's reader: half the ring.
#[inline(always)]
pub(crate) fn wake_bytes() -> u64 {
    u64::from(layout!(wake_bytes))
}

/// The current time, nanoseconds since boot, by the clock of `start_boottime`.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Whether exec records carry arguments.
#[inline(always)]
pub(crate) fn reads_arguments() -> bool {
    layout!(argv_access) == ARGV_READ
}

/// Whether this is the switch tier.
#[inline(always)]
pub(crate) fn keeps_run_times() -> bool {
    layout!(keeps_run_times) == 1
}

/// Whether the collector of run-queue latency is on.
#[inline(always)]
pub(crate) fn keeps_run_queue() -> bool {
    layout!(keeps_run_queue) == 1
}

/// A BTF pointer to a `task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task(*const u8);

/// A BTF pointer to a `signal_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Signal(*const u8);

/// A BTF pointer to an `mm_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Mm(*const u8);

/// Reads a field that is a pointer to another kernel struct; `None` if it is NULL or the kernel lacks the field.
macro_rules! follow {
    ($base:expr, $field:ident) => {{
        let pointer = read!(usize, $base, $field) as *const u8;
        if pointer.is_null() {
            None
        } else {
            Some(pointer)
        }
    }};
}

impl Task {
    /// The task that a hook's argument or the iterator points to; `None` for NULL.
    #[inline(always)]
    pub(crate) fn new(pointer: *const u8) -> Option<Self> {
        if pointer.is_null() {
            None
        } else {
            Some(Self(pointer))
        }
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        read!(u32, self.0, task_tgid)
    }

    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        read!(u32, self.0, task_pid)
    }

    #[inline(always)]
    pub(crate) fn is_leader(self) -> bool {
        self.tid() == self.tgid()
    }

    #[inline(always)]
    pub(crate) fn leader(self) -> Option<Self> {
        follow!(self.0, task_group_leader).map(Self)
    }

    #[inline(always)]
    pub(crate) fn start_ns(self) -> u64 {
        read!(u64, self.0, task_start_boottime)
    }

    /// The process this task belongs to.
    #[inline(always)]
    pub(crate) fn identity(self) -> Identity {
        let tgid = self.tgid();
        let start_ns = if self.tid() == tgid {
            self.start_ns()
        } else {
            self.leader().map_or(0, Self::start_ns)
        };
        Identity {
            start_ns,
            tgid,
            zero: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn parent_tgid(self) -> u32 {
        follow!(self.0, task_real_parent).map_or(0, |parent| Self(parent).tgid())
    }

    #[inline(always)]
    pub(crate) fn euid(self) -> u32 {
        follow!(self.0, task_real_cred).map_or(0, |cred| read!(u32, cred, cred_euid))
    }

    /// Whether the effective user or group id differs from the real one.
    #[inline(always)]
    pub(crate) fn borrows_ids(self) -> bool {
        follow!(self.0, task_real_cred).is_some_and(|cred| {
            read!(u32, cred, cred_uid) != read!(u32, cred, cred_euid)
                || read!(u32, cred, cred_gid) != read!(u32, cred, cred_egid)
        })
    }

    /// The cgroup v2 id, the same number that `bpf_get_current_cgroup_id` returns for the current task; 0 if unknown.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> u64 {
        follow!(self.0, task_cgroups)
            .and_then(|set| follow!(set, css_set_cgroup))
            .and_then(|cgroup| follow!(cgroup, cgroup_node))
            .map_or(0, |node| read!(u64, node, node_id))
    }

    #[inline(always)]
    pub(crate) fn comm(self) -> Comm {
        let mut comm = [0u8; COMM_BYTES];
        let offset = layout!(offsets.task_comm);
        if offset != ABSENT {
            // SAFETY: as in `read!`; `comm` is `char[16]`, read as two words.
            unsafe {
                let from = self.0.add(offset as usize).cast::<u64>();
                let to = comm.as_mut_ptr().cast::<u64>();
                to.write_unaligned(*from);
                to.add(1).write_unaligned(*from.add(1));
            }
        }
        comm
    }

    /// The low 32 bits of the scheduler state. The field `state` became `__state` in 5.14.
    #[inline(always)]
    pub(crate) fn state(self) -> u32 {
        if layout!(offsets.task_state) == ABSENT {
            read!(u64, self.0, task_old_state) as u32
        } else {
            read!(u32, self.0, task_state)
        }
    }

    #[inline(always)]
    pub(crate) fn exit_state(self) -> u32 {
        read!(u32, self.0, task_exit_state)
    }

    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        read!(u32, self.0, task_flags)
    }

    /// Whether the task has begun to exit.
    #[inline(always)]
    pub(crate) fn is_exiting(self) -> bool {
        self.flags() & PF_EXITING != 0
    }

    #[inline(always)]
    pub(crate) fn signal(self) -> Option<Signal> {
        follow!(self.0, task_signal).map(Signal)
    }

    #[inline(always)]
    pub(crate) fn mm(self) -> Option<Mm> {
        follow!(self.0, task_mm).map(Mm)
    }

    #[inline(always)]
    pub(crate) fn runtime_ns(self) -> u64 {
        read!(u64, self.0, task_runtime)
    }

    /// Run time since the scheduler last picked the task, by the fair class's own account. For tasks of other scheduling classes
    /// the value is meaningless.
    #[inline(always)]
    pub(crate) fn stretch_ns(self) -> u64 {
        self.runtime_ns() - read!(u64, self.0, task_runtime_picked)
    }

    #[inline(always)]
    pub(crate) fn run_delay_ns(self) -> u64 {
        read!(u64, self.0, task_run_delay)
    }

    /// Number of times the task was given a CPU after it had waited for one.
    #[inline(always)]
    pub(crate) fn runs(self) -> u64 {
        read!(u64, self.0, task_pcount)
    }

    /// Adds the use of this task itself.
    #[inline(always)]
    pub(crate) fn add_to(self, totals: &mut Totals) {
        totals.utime_ns += read!(u64, self.0, task_utime);
        totals.stime_ns += read!(u64, self.0, task_stime);
        totals.runtime_ns += self.runtime_ns();
        totals.minor_faults += read!(u64, self.0, task_min_flt);
        totals.major_faults += read!(u64, self.0, task_maj_flt);
        totals.voluntary_switches += read!(u64, self.0, task_nvcsw);
        totals.nonvoluntary_switches += read!(u64, self.0, task_nivcsw);
        totals.read_bytes += read!(u64, self.0, task_read_bytes);
        totals.write_bytes += read!(u64, self.0, task_write_bytes);
        totals.run_delay_ns += self.run_delay_ns();
    }

    /// The status that `wait4` returns for the process of this leader (kernel: `wait_task_zombie`).
    #[inline(always)]
    pub(crate) fn wait_status(self, signal: Signal) -> u32 {
        if signal.flags() & SIGNAL_GROUP_EXIT != 0 {
            read!(u32, signal.0, signal_group_exit_code)
        } else {
            read!(u32, self.0, task_exit_code)
        }
    }
}

/// Whether the exec of this `linux_binprm` may have changed an effective id; `true` where the kernel lacks the field.
#[inline(always)]
pub(crate) fn may_set_ids(binprm: *const u8) -> bool {
    layout!(offsets.bprm_per_clear) == ABSENT
        || binprm.is_null()
        || read!(u32, binprm, bprm_per_clear) != 0
}

impl Signal {
    #[inline(always)]
    fn flags(self) -> u32 {
        read!(u32, self.0, signal_flags)
    }

    /// Threads that have not begun to exit.
    #[inline(always)]
    pub(crate) fn live(self) -> u32 {
        read!(u32, self.0, signal_live)
    }

    #[inline(always)]
    pub(crate) fn threads(self) -> u32 {
        read!(u32, self.0, signal_nr_threads)
    }

    /// Whether the OOM killer chose this process.
    #[inline(always)]
    pub(crate) fn is_oom_victim(self) -> bool {
        read!(u64, self.0, signal_oom_mm) != 0
    }

    #[inline(always)]
    pub(crate) fn fd_limit(self) -> u64 {
        let offset = layout!(offsets.signal_rlim);
        if offset == ABSENT {
            return 0;
        }
        // SAFETY: as in `read!`; `rlim` is an array of structs of two words.
        unsafe {
            *self
                .0
                .add((offset + RLIMIT_NOFILE_OFFSET) as usize)
                .cast::<u64>()
        }
    }

    /// The use of the dead threads of the process, and the CPU time that the kernel last reported. Built in one expression,
    /// because adding to zeroed totals would compile to a loop over bytes.
    #[inline(always)]
    pub(crate) fn totals(self) -> Totals {
        Totals {
            utime_ns: read!(u64, self.0, signal_utime),
            stime_ns: read!(u64, self.0, signal_stime),
            runtime_ns: read!(u64, self.0, signal_runtime),
            shown_utime_ns: read!(u64, self.0, signal_shown_utime),
            shown_stime_ns: read!(u64, self.0, signal_shown_stime),
            minor_faults: read!(u64, self.0, signal_min_flt),
            major_faults: read!(u64, self.0, signal_maj_flt),
            voluntary_switches: read!(u64, self.0, signal_nvcsw),
            nonvoluntary_switches: read!(u64, self.0, signal_nivcsw),
            read_bytes: read!(u64, self.0, signal_read_bytes),
            write_bytes: read!(u64, self.0, signal_write_bytes),
            run_delay_ns: 0,
        }
    }
}

impl Mm {
    #[inline(always)]
    fn counter(self, index: u32) -> u64 {
        let base = layout!(offsets.mm_rss_stat);
        let first = layout!(rss_first);
        let stride = layout!(rss_stride);
        if base == ABSENT || first == ABSENT || stride == ABSENT {
            return 0;
        }
        // SAFETY: within the struct; user space computed the offsets from its BTF.
        let place = unsafe {
            self.0
                .add((base + first + index * stride) as usize)
                .cast::<i64>()
        };
        let pages = if layout!(rss_access) == RSS_HELPER {
            // SAFETY: the helper checks the address.
            unsafe { bpf_probe_read_kernel(place) }.unwrap_or(0)
        } else {
            // SAFETY: as in `read!`.
            unsafe { *place }
        };
        // Approximate counters can be below zero for a moment; the kernel then reports 0 as well.
        if pages < 0 { 0 } else { pages as u64 }
    }

    /// `MM_FILEPAGES`, `MM_ANONPAGES` and `MM_SHMEMPAGES`.
    #[inline(always)]
    pub(crate) fn rss_pages(self) -> u64 {
        self.counter(0) + self.counter(1) + self.counter(3)
    }

    /// `MM_SWAPENTS`.
    #[inline(always)]
    pub(crate) fn swap_pages(self) -> u64 {
        self.counter(2)
    }

    #[inline(always)]
    pub(crate) fn total_vm_pages(self) -> u64 {
        read!(u64, self.0, mm_total_vm)
    }

    /// Start and end of the argument vector in the process's own memory.
    #[inline(always)]
    pub(crate) fn arguments(self) -> (u64, u64) {
        (
            read!(u64, self.0, mm_arg_start),
            read!(u64, self.0, mm_arg_end),
        )
    }
}

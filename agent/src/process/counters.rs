//! Totals of one process since its birth, as a source read them.

/// CPU time, split as in `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// User time, nanoseconds.
    pub user_ns: u64,
    /// System time, nanoseconds.
    pub system_ns: u64,
}

impl Cpu {
    /// User and system time together, nanoseconds.
    pub const fn total_ns(self) -> u64 {
        self.user_ns.saturating_add(self.system_ns)
    }

    /// The split after `self` when a source reports `next`: the total is the larger one, neither part falls, and the parts
    /// still add up to the total (the rule of the kernel's `cputime_adjust`).
    pub fn advance(self, next: Self) -> Self {
        let total = self.total_ns().max(next.total_ns());
        let user_ns = next.user_ns.clamp(self.user_ns, total - self.system_ns);
        Self {
            user_ns,
            system_ns: total - user_ns,
        }
    }
}

/// Page faults of a process, dead threads included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Faults that needed I/O.
    pub major: u64,
    /// Faults that needed no I/O.
    pub minor: u64,
}

/// Storage I/O of a process (`read_bytes` and `write_bytes` of `/proc/<pid>/io`), dead threads included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Io {
    /// Bytes read from storage.
    pub read_bytes: u64,
    /// Bytes written to storage; cancelled writes are not subtracted.
    pub write_bytes: u64,
}

/// Context switches of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switches {
    /// The task gave up the CPU.
    pub voluntary: u64,
    /// The kernel took the CPU from the task.
    pub nonvoluntary: u64,
}

impl Switches {
    /// Adds `more`.
    pub fn add(&mut self, more: Self) {
        let Self {
            voluntary,
            nonvoluntary,
        } = more;
        self.voluntary = self.voluntary.saturating_add(voluntary);
        self.nonvoluntary = self.nonvoluntary.saturating_add(nonvoluntary);
    }
}

/// Totals of one process since its birth. `None`: the source could not read the total this time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// CPU time.
    pub cpu: Cpu,
    /// Page faults.
    pub faults: Faults,
    /// Storage I/O.
    pub io: Option<Io>,
    /// Context switches.
    pub switches: Option<Switches>,
    /// Time that runnable tasks of the process waited for a CPU, nanoseconds (`task_struct.sched_info.run_delay`).
    pub run_queue_wait_ns: Option<u64>,
}

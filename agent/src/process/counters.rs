//! What one process has used since it was born, as a source read it.

/// CPU time split as `/proc/<pid>/stat` splits it.
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

    /// The split after `self` when a source now says `next`: the total is the larger one, neither part falls, and
    /// the parts still add up to the total (the rule of the kernel's `cputime_adjust`).
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
    /// Faults that needed IO.
    pub major: u64,
    /// Faults that did not.
    pub minor: u64,
}

/// Storage IO of a process (`read_bytes` and `write_bytes` of `/proc/<pid>/io`), dead threads included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Io {
    /// Bytes fetched from storage.
    pub read_bytes: u64,
    /// Bytes sent to storage; cancelled ones are not subtracted.
    pub write_bytes: u64,
}

/// Context switches of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switches {
    /// The task gave the CPU up.
    pub voluntary: u64,
    /// The CPU was taken from the task.
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

/// Totals of one process since its birth. `None`: the source could not read it this time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// CPU time.
    pub cpu: Cpu,
    /// Page faults.
    pub faults: Faults,
    /// Storage IO.
    pub io: Option<Io>,
    /// Context switches.
    pub switches: Option<Switches>,
    /// How long runnable tasks of the process waited for a CPU, nanoseconds (`task_struct.sched_info.run_delay`).
    pub run_queue_wait_ns: Option<u64>,
}

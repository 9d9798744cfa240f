//! Differences of totals: booked to an account, and from there to a group.

use super::{Counters, Io};

/// Whether the storage I/O of processes could ever be read. Sums keep the greatest, so it never falls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum IoAccess {
    /// No pass tried to.
    #[default]
    Untried,
    /// Each pass that tried has failed, and no record held it.
    Unreadable,
    /// A pass has read it, or a record held it.
    Read,
}

/// Use between two readings. Never negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delta {
    /// User CPU time, nanoseconds.
    pub user_ns: u64,
    /// System CPU time, nanoseconds.
    pub system_ns: u64,
    /// Bytes read from storage.
    pub read_bytes: u64,
    /// Bytes written to storage.
    pub write_bytes: u64,
    /// Whether these bytes are known.
    pub io_access: IoAccess,
    /// Page faults that needed I/O.
    pub major_faults: u64,
    /// Page faults that needed no I/O.
    pub minor_faults: u64,
    /// Context switches because the task gave up the CPU.
    pub voluntary_switches: u64,
    /// Context switches because the kernel took the CPU from the task.
    pub nonvoluntary_switches: u64,
    /// Time that tasks were runnable but not running, nanoseconds.
    pub run_queue_wait_ns: u64,
}

/// Forks, execs and exits of processes; threads never count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// Processes forked.
    pub forks: u64,
    /// Programs started by exec.
    pub execs: u64,
    /// Processes that ended with exit code 0.
    pub exits_success: u64,
    /// Processes that ended with another exit code.
    pub exits_failure: u64,
    /// Processes ended by a signal.
    pub exits_signal: u64,
    /// Processes that ended; the source does not report how.
    pub exits_unknown: u64,
    /// Of those ended by a signal, those that the OOM killer ended.
    pub oom_kills: u64,
}

/// One booking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Use of resources.
    pub delta: Delta,
    /// Forks, execs and exits.
    pub lifecycle: Lifecycle,
}

impl From<&Counters> for Delta {
    /// The difference between `counters` and zero; unknown totals count as zero.
    fn from(counters: &Counters) -> Self {
        let Counters {
            cpu,
            faults,
            io,
            switches,
            run_queue_wait_ns,
        } = counters;
        let io_access = IoAccess::of(*io);
        let io = io.unwrap_or_default();
        let switches = switches.unwrap_or_default();
        Self {
            user_ns: cpu.user_ns,
            system_ns: cpu.system_ns,
            read_bytes: io.read_bytes,
            write_bytes: io.write_bytes,
            io_access,
            major_faults: faults.major,
            minor_faults: faults.minor,
            voluntary_switches: switches.voluntary,
            nonvoluntary_switches: switches.nonvoluntary,
            run_queue_wait_ns: run_queue_wait_ns.unwrap_or(0),
        }
    }
}

impl From<Delta> for Tally {
    fn from(delta: Delta) -> Self {
        Self {
            delta,
            ..Self::default()
        }
    }
}

impl From<Lifecycle> for Tally {
    fn from(lifecycle: Lifecycle) -> Self {
        Self {
            lifecycle,
            ..Self::default()
        }
    }
}

impl IoAccess {
    /// That of totals that a source has reported.
    pub(super) const fn of(io: Option<Io>) -> Self {
        match io {
            Some(_) => Self::Read,
            None => Self::Untried,
        }
    }
}

impl Delta {
    /// Storage I/O. `None` if no source could read it for any process: then the bytes are unknown, not 0.
    pub fn io(&self) -> Option<Io> {
        let io = Io {
            read_bytes: self.read_bytes,
            write_bytes: self.write_bytes,
        };
        (self.io_access != IoAccess::Unreadable).then_some(io)
    }

    /// Nothing used: only whether storage I/O is known.
    pub(super) fn without_use(&self) -> Self {
        Self {
            io_access: self.io_access,
            ..Self::default()
        }
    }

    /// User and system time together, nanoseconds.
    pub const fn cpu_ns(&self) -> u64 {
        self.user_ns.saturating_add(self.system_ns)
    }

    /// Adds `more`.
    pub fn add(&mut self, more: &Self) {
        // Destructured in full, so that the compiler rejects a new field that is missing here.
        let Self {
            user_ns,
            system_ns,
            read_bytes,
            write_bytes,
            io_access,
            major_faults,
            minor_faults,
            voluntary_switches,
            nonvoluntary_switches,
            run_queue_wait_ns,
        } = more;
        self.user_ns = self.user_ns.saturating_add(*user_ns);
        self.system_ns = self.system_ns.saturating_add(*system_ns);
        self.read_bytes = self.read_bytes.saturating_add(*read_bytes);
        self.write_bytes = self.write_bytes.saturating_add(*write_bytes);
        self.io_access = self.io_access.max(*io_access);
        self.major_faults = self.major_faults.saturating_add(*major_faults);
        self.minor_faults = self.minor_faults.saturating_add(*minor_faults);
        self.voluntary_switches = self.voluntary_switches.saturating_add(*voluntary_switches);
        self.nonvoluntary_switches = self
            .nonvoluntary_switches
            .saturating_add(*nonvoluntary_switches);
        self.run_queue_wait_ns = self.run_queue_wait_ns.saturating_add(*run_queue_wait_ns);
    }
}

impl Lifecycle {
    /// Adds `more`.
    pub fn add(&mut self, more: &Self) {
        let Self {
            forks,
            execs,
            exits_success,
            exits_failure,
            exits_signal,
            exits_unknown,
            oom_kills,
        } = more;
        self.forks = self.forks.saturating_add(*forks);
        self.execs = self.execs.saturating_add(*execs);
        self.exits_success = self.exits_success.saturating_add(*exits_success);
        self.exits_failure = self.exits_failure.saturating_add(*exits_failure);
        self.exits_signal = self.exits_signal.saturating_add(*exits_signal);
        self.exits_unknown = self.exits_unknown.saturating_add(*exits_unknown);
        self.oom_kills = self.oom_kills.saturating_add(*oom_kills);
    }
}

impl Tally {
    /// Adds `more`.
    pub fn add(&mut self, more: &Self) {
        let Self { delta, lifecycle } = more;
        self.delta.add(delta);
        self.lifecycle.add(lifecycle);
    }

    /// Whether nothing was used and nothing happened.
    pub fn is_empty(&self) -> bool {
        let empty = Self::from(self.delta.without_use());
        *self == empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_that_one_source_has_read_is_known_and_stays_so() {
        let of = |io_access| Delta {
            io_access,
            ..Delta::default()
        };
        let mut sum = of(IoAccess::Untried);
        assert_eq!(sum.io(), Some(Io::default()), "no process so far");
        sum.add(&of(IoAccess::Unreadable));
        assert_eq!(sum.io(), None);
        sum.add(&Delta::from(&Counters::default()));
        assert_eq!(sum.io(), None, "a record without I/O changes nothing");
        let io = Some(Io::default());
        sum.add(&Delta::from(&Counters {
            io,
            ..Counters::default()
        }));
        sum.add(&of(IoAccess::Unreadable));
        assert_eq!(sum.io(), Some(Io::default()));
        assert!(Tally::from(sum).is_empty());
    }
}

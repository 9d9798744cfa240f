//! The totals of a process that are booked already.

use super::{Counters, Cpu, Delta, Faults, Io, IoAccess, Switches};

/// Totals booked so far. Each part only rises: a reading that is lower, or missing, changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Booked {
    cpu: Cpu,
    faults: Faults,
    io: Io,
    io_from: CountFrom,
    switches: Switches,
    switches_from: CountFrom,
    run_queue_wait_ns: u64,
}

/// Where counting starts for a total that the source cannot read at each pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum CountFrom {
    /// No pass has failed to read it: all since the birth of the process counts.
    #[default]
    Birth,
    /// A pass could not read it: the next reading is the baseline and books nothing.
    NextReading,
    /// It was read: the rise counts. A failure after that changes nothing.
    LastReading,
}

impl CountFrom {
    /// Notes a reading. Returns whether it is the baseline.
    fn read(&mut self) -> bool {
        std::mem::replace(self, Self::LastReading) == Self::NextReading
    }

    /// Notes that a pass could not read the total.
    fn fail(&mut self) {
        if *self == Self::Birth {
            *self = Self::NextReading;
        }
    }

    /// Notes that a source will report the total since the birth.
    fn trust(&mut self) {
        if *self == Self::NextReading {
            *self = Self::Birth;
        }
    }
}

/// Raises `booked` to `now`. Returns the rise.
fn raise(booked: &mut u64, now: u64) -> u64 {
    let rise = now.saturating_sub(*booked);
    *booked += rise;
    rise
}

impl Booked {
    /// All that is booked.
    pub(super) fn total(&self) -> Delta {
        let is_read = self.io_from == CountFrom::LastReading;
        let delta = Delta::from(&Counters {
            cpu: self.cpu,
            faults: self.faults,
            io: Some(self.io),
            switches: Some(self.switches),
            run_queue_wait_ns: Some(self.run_queue_wait_ns),
        });
        Delta {
            io_access: IoAccess::of(is_read.then_some(self.io)),
            ..delta
        }
    }

    /// Books `now`. Returns the rise.
    pub(super) fn raise(&mut self, now: &Counters) -> Delta {
        let cpu = self.cpu.advance(now.cpu);
        let io = now.io.unwrap_or(self.io);
        if now.io.is_some() && self.io_from.read() {
            raise(&mut self.io.read_bytes, io.read_bytes);
            raise(&mut self.io.write_bytes, io.write_bytes);
        }
        let switches = now.switches.unwrap_or(self.switches);
        if now.switches.is_some() && self.switches_from.read() {
            raise(&mut self.switches.voluntary, switches.voluntary);
            raise(&mut self.switches.nonvoluntary, switches.nonvoluntary);
        }
        let wait_ns = now.run_queue_wait_ns.unwrap_or(self.run_queue_wait_ns);
        Delta {
            user_ns: raise(&mut self.cpu.user_ns, cpu.user_ns),
            system_ns: raise(&mut self.cpu.system_ns, cpu.system_ns),
            read_bytes: raise(&mut self.io.read_bytes, io.read_bytes),
            write_bytes: raise(&mut self.io.write_bytes, io.write_bytes),
            io_access: IoAccess::of(now.io),
            major_faults: raise(&mut self.faults.major, now.faults.major),
            minor_faults: raise(&mut self.faults.minor, now.faults.minor),
            voluntary_switches: raise(&mut self.switches.voluntary, switches.voluntary),
            nonvoluntary_switches: raise(&mut self.switches.nonvoluntary, switches.nonvoluntary),
            run_queue_wait_ns: raise(&mut self.run_queue_wait_ns, wait_ns),
        }
    }
}

impl Booked {
    /// Books `now`, as a pass has read it. Returns the rise. A total that the first pass could not read counts from its first
    /// reading: otherwise everything that the process had used until then would appear as one jump.
    pub(super) fn raise_by_pass(&mut self, now: &Counters) -> Delta {
        let mut delta = self.raise(now);
        if now.io.is_none() {
            delta.io_access = IoAccess::Unreadable;
            self.io_from.fail();
        }
        if now.switches.is_none() {
            self.switches_from.fail();
        }
        delta
    }

    /// The next reading of storage I/O and of context switches is their baseline: earlier use is not booked.
    pub(super) const fn count_from_next_reading(&mut self) {
        self.io_from = CountFrom::NextReading;
        self.switches_from = CountFrom::NextReading;
    }

    /// For a process born after the agent began to watch, when a kernel record brings its totals: all of them count, even if no
    /// pass could read them.
    pub(super) fn trust_records(&mut self) {
        self.io_from.trust();
        self.switches_from.trust();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counters(user_ns: u64, system_ns: u64, io: Option<u64>) -> Counters {
        Counters {
            cpu: Cpu { user_ns, system_ns },
            io: io.map(|bytes| Io {
                read_bytes: bytes,
                write_bytes: 0,
            }),
            ..Counters::default()
        }
    }

    #[test]
    fn unreadable_io_neither_falls_nor_wraps() {
        // H16 of docs/dev/compatibility.md: 1000, 1500, unreadable, 1600.
        let mut booked = Booked::default();
        booked.raise(&counters(0, 0, Some(1000)));
        assert_eq!(booked.raise(&counters(0, 0, Some(1500))).read_bytes, 500);
        assert_eq!(booked.raise(&counters(0, 0, None)).read_bytes, 0);
        assert_eq!(booked.raise(&counters(0, 0, Some(1600))).read_bytes, 100);
    }

    #[test]
    fn first_successful_io_reading_after_failed_ones_is_the_baseline() {
        let mut booked = Booked::default();
        let mut read = |io| booked.raise_by_pass(&counters(0, 0, io)).read_bytes;
        assert_eq!(read(None), 0);
        assert_eq!(read(None), 0);
        assert_eq!(read(Some(5_000_000_000_000)), 0);
        assert_eq!(read(Some(5_000_000_000_007)), 7);
        // A failure after the baseline loses nothing.
        assert_eq!(read(None), 0);
        assert_eq!(read(Some(5_000_000_000_017)), 10);
    }

    #[test]
    fn io_that_the_first_pass_reads_counts_from_birth() {
        let mut booked = Booked::default();
        let delta = booked.raise_by_pass(&counters(0, 0, Some(9)));
        assert_eq!(delta.read_bytes, 9);
    }

    #[test]
    fn record_of_a_kernel_program_counts_io_that_no_pass_could_read() {
        let mut booked = Booked::default();
        booked.raise_by_pass(&counters(0, 0, None));
        booked.trust_records();
        assert_eq!(booked.raise(&counters(0, 0, Some(9))).read_bytes, 9);
        // After a baseline, a record counts the rest.
        let mut booked = Booked::default();
        booked.raise_by_pass(&counters(0, 0, None));
        booked.raise_by_pass(&counters(0, 0, Some(100)));
        booked.trust_records();
        assert_eq!(booked.raise(&counters(0, 0, Some(109))).read_bytes, 9);
    }

    #[test]
    fn a_changing_split_keeps_the_total_exact() {
        let mut booked = Booked::default();
        booked.raise(&counters(60, 40, None));
        let delta = booked.raise(&counters(45, 65, None));
        assert_eq!((delta.user_ns, delta.system_ns), (0, 10));
        let total = booked.total();
        assert_eq!((total.user_ns, total.system_ns), (60, 50));
    }

    proptest! {
        #[test]
        fn the_sum_of_rises_is_the_largest_total(seen in prop::collection::vec((0u64..1000, 0u64..1000), 1..40)) {
            let mut booked = Booked::default();
            let mut sum = 0;
            let mut largest = 0;
            for (user, system) in seen {
                let delta = booked.raise(&counters(user, system, None));
                sum += delta.user_ns + delta.system_ns;
                largest = largest.max(user + system);
                prop_assert_eq!(sum, largest);
            }
        }
    }
}

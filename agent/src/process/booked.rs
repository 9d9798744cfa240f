//! What of a process's use is booked already.

use super::{Counters, Cpu, Delta, Faults, Io, Switches};

/// Totals booked so far. Only rise, part by part; a source that falls, or cannot read, changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Booked {
    cpu: Cpu,
    faults: Faults,
    io: Io,
    switches: Switches,
    run_queue_wait_ns: u64,
}

/// Raises `booked` to `now`; what it rose by.
fn raise(booked: &mut u64, now: u64) -> u64 {
    let rise = now.saturating_sub(*booked);
    *booked += rise;
    rise
}

impl Booked {
    /// All of it.
    pub(super) fn total(&self) -> Delta {
        Delta::from(&Counters {
            cpu: self.cpu,
            faults: self.faults,
            io: Some(self.io),
            switches: Some(self.switches),
            run_queue_wait_ns: Some(self.run_queue_wait_ns),
        })
    }

    /// Books `now`; what that adds.
    pub(super) fn raise(&mut self, now: &Counters) -> Delta {
        let cpu = self.cpu.advance(now.cpu);
        let io = now.io.unwrap_or(self.io);
        let switches = now.switches.unwrap_or(self.switches);
        let wait_ns = now.run_queue_wait_ns.unwrap_or(self.run_queue_wait_ns);
        Delta {
            user_ns: raise(&mut self.cpu.user_ns, cpu.user_ns),
            system_ns: raise(&mut self.cpu.system_ns, cpu.system_ns),
            read_bytes: raise(&mut self.io.read_bytes, io.read_bytes),
            write_bytes: raise(&mut self.io.write_bytes, io.write_bytes),
            major_faults: raise(&mut self.faults.major, now.faults.major),
            minor_faults: raise(&mut self.faults.minor, now.faults.minor),
            voluntary_switches: raise(&mut self.switches.voluntary, switches.voluntary),
            nonvoluntary_switches: raise(&mut self.switches.nonvoluntary, switches.nonvoluntary),
            run_queue_wait_ns: raise(&mut self.run_queue_wait_ns, wait_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        // The contract's H16: 1000, 1500, unreadable, 1600.
        let mut booked = Booked::default();
        booked.raise(&counters(0, 0, Some(1000)));
        assert_eq!(booked.raise(&counters(0, 0, Some(1500))).read_bytes, 500);
        assert_eq!(booked.raise(&counters(0, 0, None)).read_bytes, 0);
        assert_eq!(booked.raise(&counters(0, 0, Some(1600))).read_bytes, 100);
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

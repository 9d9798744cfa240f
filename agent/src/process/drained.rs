//! What holds between two passes, however many records come and nobody scrapes.

use super::Table;

/// How many more processes than after the last pass the table may know at the end of a drain. An entry has some 600 bytes.
const GROWTH: usize = 4096;

impl Table {
    /// To be called at the end of each drain. `true`: the table has grown so much that a pass should follow. A pass closes
    /// processes whose end it can see while no record tells it. So the table never holds more than the processes after
    /// the last pass, 4,096, and those that one drain tells.
    #[must_use]
    pub fn end_drain(&self) -> bool {
        self.processes.len() > self.len_after_pass + GROWTH
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Counters, Event, Facts, Pass, ProcessId, Released, sums::Sums};
    use super::*;

    fn id(tgid: u32) -> ProcessId {
        ProcessId {
            tgid,
            start_ns: 2000,
        }
    }

    /// A process whose leader the kernel releases where no program runs: only the end of its last thread is told.
    fn fork_and_projected_end(table: &mut Table, tgid: u32, sums: &mut Sums) {
        let parent = ProcessId {
            tgid: 1,
            start_ns: 1,
        };
        let child = id(tgid);
        table.apply(Event::Forked { child, parent }, sums);
        let released = Released {
            id: child,
            parent: 1,
            facts: Facts::default(),
            counters: Counters::default(),
            projected: true,
        };
        table.apply(Event::Released(Box::new(released)), sums);
    }

    #[test]
    fn table_asks_for_a_pass_when_it_has_outgrown_the_last_one() {
        let (mut table, mut sums) = (Table::new(1000), Sums::default());
        let pass = |started_ns| Pass {
            started_ns,
            finals_follow: true,
            ..Pass::default()
        };
        table.observe(&pass(1500), &mut sums);
        let mut passes = 0;
        for tgid in 2..50_000 {
            fork_and_projected_end(&mut table, tgid, &mut sums);
            if tgid.is_multiple_of(500) && table.end_drain() {
                table.observe(&pass(3000 + u64::from(tgid)), &mut sums);
                assert!(!table.end_drain());
                passes += 1;
            }
            assert!(table.processes.len() <= GROWTH + 501);
        }
        assert!((9..=12).contains(&passes), "{passes} passes");
    }
}

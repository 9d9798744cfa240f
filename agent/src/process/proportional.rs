//! Proportional memory: a process to read, and the values that were read. The table selects the processes (live.rs).
//!
//! The cost of a reading grows with the memory a process maps, and a reading can block. So other threads read, and their
//! values come later than the pass. A process that has not run since its last reading is not read again.

use super::{AccountId, ProcessId};

/// A process's share of the memory it maps, bytes: pages that several processes map are divided among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Proportional {
    /// In RAM.
    pub resident_bytes: u64,
    /// Swapped out.
    pub swapped_bytes: u64,
}

impl Proportional {
    /// Adds `more`.
    pub fn add(&mut self, more: Self) {
        let Self {
            resident_bytes,
            swapped_bytes,
        } = more;
        self.resident_bytes = self.resident_bytes.saturating_add(resident_bytes);
        self.swapped_bytes = self.swapped_bytes.saturating_add(swapped_bytes);
    }
}

/// One process to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The process.
    pub id: ProcessId,
    /// Its [`Sample::ran_marker`](super::Sample::ran_marker) when it was selected.
    pub ran_marker: u64,
    /// Its account at that time: another image since has another account.
    pub account: AccountId,
}

/// The result of one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProportionalReading {
    /// The process that was to be read.
    pub wanted: Wanted,
    /// Time of the reading, nanoseconds of the clock that the caller uses for it.
    pub read_ns: u64,
    /// The values; `None` where unreadable.
    pub memory: Option<Proportional>,
}

/// The readings of one process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KnownProportional {
    /// Value of `ran_marker` at the last attempt.
    pub(super) tried: Option<u64>,
    /// Time and value of the last reading that succeeded.
    last: Option<(u64, Proportional)>,
}

impl KnownProportional {
    /// Takes a reading.
    pub(super) fn note(&mut self, reading: &ProportionalReading) {
        let ProportionalReading {
            wanted,
            read_ns,
            memory,
        } = *reading;
        self.tried = Some(wanted.ran_marker);
        self.last = memory.map(|memory| (read_ns, memory)).or(self.last);
    }

    /// Time of the last reading that succeeded.
    pub(super) fn read_ns(&self) -> Option<u64> {
        self.last.map(|(read_ns, _)| read_ns)
    }

    pub(super) fn memory(&self) -> Option<Proportional> {
        self.last.map(|(_, memory)| memory)
    }
}

#[cfg(test)]
mod tests {
    use super::super::histories::{counters, sample};
    use super::super::sums::Sums;
    use super::super::{Event, Facts, Memory, Pass, Sample, Table};
    use super::*;

    /// A table that has seen these processes, each with the totals given.
    fn pass(table: &mut Table, sums: &mut Sums, running: &[(u32, u64)]) {
        let mapping = |(tgid, ran_ns): &(u32, u64)| Sample {
            memory: Memory {
                virtual_bytes: 4096,
                ..Memory::default()
            },
            cgroup_id: None,
            ran_marker: *ran_ns,
            ..sample(id(*tgid), 0)
        };
        let pass = Pass {
            started_ns: 3000,
            finals_follow: true,
            processes: running.iter().map(mapping).collect(),
            ..Pass::default()
        };
        table.observe(&pass, sums);
    }

    fn id(tgid: u32) -> ProcessId {
        ProcessId {
            tgid,
            start_ns: 2000,
        }
    }

    fn wanted(table: &Table) -> Vec<Wanted> {
        table.wanted_proportional(|_| false)
    }

    fn tgids(table: &Table) -> Vec<u32> {
        wanted(table).iter().map(|one| one.id.tgid).collect()
    }

    fn reading(wanted: Wanted, read_ns: u64) -> ProportionalReading {
        let memory = Some(Proportional {
            resident_bytes: read_ns,
            swapped_bytes: 0,
        });
        ProportionalReading {
            wanted,
            read_ns,
            memory,
        }
    }

    #[test]
    fn processes_that_ran_are_wanted_with_the_oldest_reading_first() {
        let (mut table, mut sums) = (Table::new(1000), Sums::default());
        pass(&mut table, &mut sums, &[(1, 5), (2, 5), (3, 5), (4, 5)]);
        assert_eq!(tgids(&table), [1, 2, 3, 4]);
        assert_eq!(table.wanted_proportional(|_| true), []);
        let all = wanted(&table);
        table.note_proportional([reading(all[0], 30), reading(all[1], 20)]);
        let failed = ProportionalReading {
            memory: None,
            ..reading(all[3], 40)
        };
        table.note_proportional([failed]);
        assert_eq!(tgids(&table), [3], "one that failed is tried when it ran");
        assert_eq!(table.oldest_proportional_ns(), Some(20));
        pass(&mut table, &mut sums, &[(1, 6), (2, 6), (3, 5), (4, 6)]);
        assert_eq!(tgids(&table), [3, 4, 2, 1]);
        pass(&mut table, &mut sums, &[(1, 6), (3, 5), (4, 6)]);
        assert_eq!(table.oldest_proportional_ns(), Some(30));
    }

    #[test]
    fn another_image_begins_without_a_reading() {
        let (mut table, mut sums) = (Table::new(1000), Sums::default());
        pass(&mut table, &mut sums, &[(1, 5)]);
        let before = wanted(&table)[0];
        table.note_proportional([reading(before, 10)]);
        let exec = Event::Execed {
            former: crate::process::Former::default(),
            id: id(1),
            facts: Box::new(Facts::default()),
            parent: 0,
            counters: counters(5),
        };
        table.apply(exec, &mut sums);
        // A reading of the old image that comes after the exec.
        table.note_proportional([reading(before, 20)]);
        pass(&mut table, &mut sums, &[(1, 6)]);
        assert_eq!(
            table.live().next().and_then(|live| live.proportional()),
            None
        );
        assert_eq!(tgids(&table), [1]);
    }
}

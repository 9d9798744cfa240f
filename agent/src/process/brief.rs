//! Brief reading of processes in no group, where `/proc` is the only source: a pass reads only their `stat`.
//!
//! Out go the processes that a pass may read so briefly; in comes what it has read. The CPU time of such a process is accounted
//! for as always. Its storage I/O and context switches are unknown meanwhile; they count from the first reading after the
//! process has got a group.

use super::sight::Held;
use super::{AccountId, Counters, Ledger, Pass, Sample, Table};

impl Table {
    /// Start of the process with this process id, nanoseconds since boot, if a pass need read only its `stat`: the last pass
    /// saw it, it is decided to be in no group, and it was born before `since_ns`, so that no pass looks at it again.
    pub fn in_no_group(
        &self,
        tgid: u32,
        since_ns: u64,
        is_outside: impl Fn(AccountId) -> bool,
    ) -> Option<u64> {
        let start_ns = *self.by_tgid.get(&tgid)?;
        let id = super::ProcessId { tgid, start_ns };
        let entry = self.processes.get(id)?;
        let is_settled = entry.membership.is_own()
            && entry.sight.held.is_some()
            && entry.sight.seen == self.passes;
        let is_outside = start_ns < since_ns && is_outside(entry.account());
        (is_settled && is_outside && !self.waiting.contains(&id)).then_some(start_ns)
    }

    /// Takes what a pass has read of a process in no group. Its descriptors, wait channels and threads are read once it has a
    /// group.
    pub(super) fn observe_briefly(
        &mut self,
        sample: &Sample,
        pass: &Pass,
        ledger: &mut impl Ledger,
    ) {
        let Some(entry) = self.processes.entry_mut(sample.id) else {
            return;
        };
        self.statistics.live += 1;
        entry.sight.seen = self.passes;
        if entry.sight.absent_since_ns.take().is_some() {
            entry.membership.enter(ledger);
        }
        entry.sight.held = Some(Held {
            is_credited: sample.id.start_ns <= pass.started_ns || !pass.finals_follow,
            ..sample.into()
        });
        // Once the process has a group, everything is read anew.
        entry.sight.probed = None;
        let counters = Counters {
            io: None,
            switches: None,
            ..sample.counters
        };
        let dropped_ns = entry.credit_pass(&counters, ledger);
        entry.booked.count_from_next_reading();
        self.statistics.drop_cpu(dropped_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sums::Sums;
    use super::super::{Cpu, Io, ProcessId};
    use super::*;

    const ID: ProcessId = ProcessId {
        tgid: 7,
        start_ns: 500,
    };

    fn sample(user_ns: u64, io: Option<u64>) -> Sample {
        Sample {
            id: ID,
            counters: Counters {
                cpu: Cpu {
                    user_ns,
                    system_ns: 0,
                },
                io: io.map(|read_bytes| Io {
                    read_bytes,
                    write_bytes: 0,
                }),
                ..Counters::default()
            },
            ran_marker: user_ns + io.unwrap_or_default(),
            ..Sample::of_process(ID)
        }
    }

    fn pass(whole: &[Sample], brief: &[Sample]) -> Pass {
        Pass {
            started_ns: 1000,
            processes: whole.to_vec(),
            in_no_group: brief.to_vec(),
            ..Pass::default()
        }
    }

    #[test]
    fn cpu_goes_on_and_io_begins_anew_after_brief_readings() {
        let (mut table, mut sums) = (Table::new(0), Sums::default());
        table.observe(&pass(&[sample(10, Some(100))], &[]), &mut sums);
        let account = table.account_of(7).unwrap();
        table.classified(ID);
        let outside = |one| one == account;
        assert_eq!(table.in_no_group(7, u64::MAX, outside), Some(500));
        assert_eq!(table.in_no_group(7, 500, outside), None, "may be looked at");
        assert_eq!(table.in_no_group(7, u64::MAX, |_| false), None);
        assert_eq!(table.in_no_group(8, u64::MAX, outside), None);
        table.observe(&pass(&[], &[sample(30, None)]), &mut sums);
        assert_eq!(table.statistics().live, 1);
        let used = |table: &Table| table.live_one(7).unwrap().used();
        assert_eq!((used(&table).user_ns, used(&table).read_bytes), (30, 100));
        let booked = |sums: &Sums| sums.total.delta.read_bytes;
        let before = booked(&sums);
        table.observe(&pass(&[sample(40, Some(900))], &[]), &mut sums);
        assert_eq!(
            booked(&sums),
            before,
            "read before the process was in a group"
        );
        table.observe(&pass(&[sample(40, Some(907))], &[]), &mut sums);
        assert_eq!(booked(&sums), before + 7);
    }

    #[test]
    fn process_that_waits_for_a_decision_is_read_whole() {
        let (mut table, mut sums) = (Table::new(0), Sums::default());
        table.observe(&pass(&[sample(10, None)], &[]), &mut sums);
        assert_eq!(table.in_no_group(7, u64::MAX, |_| true), None);
    }
}

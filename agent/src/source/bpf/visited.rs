//! Adds up the use of the threads of one process, from the records in the order in which the task iterator visited them.
//!
//! The dead threads' sums and the threads' own records come from different moments. Each thread is counted at most once: the
//! sums are those of the first visit, and a task that is visited later and is not being released was alive at that time. A
//! thread that ends between the two visits is missing until the next pass.

use agent_common::{EXIT_DEAD, Identity, LeaderRecord, ThreadRecord, Totals};

/// The use of the threads of one process that were visited so far.
#[derive(Debug, Default)]
pub(super) struct Visited {
    /// Sums of the dead threads at the first visit, where a thread was visited before its leader.
    pub(super) dead: Option<(Identity, Totals)>,
    main: Totals,
    others: Totals,
}

impl Visited {
    pub(super) fn add(&mut self, thread: &ThreadRecord) {
        if thread.exit_state & EXIT_DEAD != 0 {
            return;
        }
        let sum = match thread.tid == thread.tgid {
            true => &mut self.main,
            false => &mut self.others,
        };
        add(sum, &totals(thread));
    }

    /// Everything that the process of `leader` used.
    pub(super) fn complete(&self, leader: &LeaderRecord) -> Totals {
        let mut all = match self.dead {
            Some((id, mut dead)) if id == leader.id => {
                add(&mut dead, &self.main);
                dead.run_delay_ns = leader.totals.run_delay_ns;
                dead
            }
            // The leader's record includes the use of the main thread.
            _ => leader.totals,
        };
        add(&mut all, &self.others);
        all
    }
}

/// Adds the use of live threads, except waits for a CPU, which the process table credits thread by thread.
fn add(sum: &mut Totals, thread: &Totals) {
    // No sum reaches 2^64 unless the kernel is broken; the agent must not panic then either.
    let pairs = [
        (&mut sum.utime_ns, thread.utime_ns),
        (&mut sum.stime_ns, thread.stime_ns),
        (&mut sum.runtime_ns, thread.runtime_ns),
        (&mut sum.minor_faults, thread.minor_faults),
        (&mut sum.major_faults, thread.major_faults),
        (&mut sum.voluntary_switches, thread.voluntary_switches),
        (&mut sum.nonvoluntary_switches, thread.nonvoluntary_switches),
        (&mut sum.read_bytes, thread.read_bytes),
        (&mut sum.write_bytes, thread.write_bytes),
    ];
    for (sum, more) in pairs {
        *sum = sum.saturating_add(more);
    }
}

/// The use of one thread itself.
pub(super) fn totals(thread: &ThreadRecord) -> Totals {
    Totals {
        utime_ns: thread.utime_ns,
        stime_ns: thread.stime_ns,
        runtime_ns: thread.runtime_ns,
        minor_faults: thread.minor_faults,
        major_faults: thread.major_faults,
        voluntary_switches: thread.voluntary_switches,
        nonvoluntary_switches: thread.nonvoluntary_switches,
        read_bytes: thread.read_bytes,
        write_bytes: thread.write_bytes,
        run_delay_ns: thread.run_delay_ns,
        ..Totals::default()
    }
}

#[cfg(test)]
mod tests {
    use agent_common::{DeadThreadsRecord, Layout, kind};

    use super::super::{Carried, Snapshot};
    use super::*;

    /// The CPU time that a pass over these records finds for their only process.
    fn runtime_ns(records: &[&[u8]]) -> u64 {
        let mut snapshot = Snapshot::new(Carried::new(&Layout::ABSENT, 4096), 0);
        for mut bytes in records.iter().copied() {
            snapshot.read(&mut bytes).expect("a whole record");
        }
        let pass = snapshot.pass(5);
        assert_eq!(pass.processes.len(), 1);
        pass.processes[0].counters.cpu.total_ns()
    }

    fn thread_of_7(tid: u32, runtime_ns: u64) -> ThreadRecord {
        ThreadRecord {
            kind: kind::THREAD,
            tgid: 7,
            tid,
            runtime_ns,
            ..bytemuck::Zeroable::zeroed()
        }
    }

    fn leader_7(threads: u32, runtime_ns: u64) -> LeaderRecord {
        let mut leader = LeaderRecord {
            kind: kind::LEADER,
            threads,
            ..bytemuck::Zeroable::zeroed()
        };
        (leader.id.tgid, leader.totals.runtime_ns) = (7, runtime_ns);
        leader
    }

    fn dead_of_7(runtime_ns: u64) -> DeadThreadsRecord {
        let mut dead = DeadThreadsRecord {
            kind: kind::DEAD_THREADS,
            ..bytemuck::Zeroable::zeroed()
        };
        (dead.id.tgid, dead.totals.runtime_ns) = (7, runtime_ns);
        dead
    }

    #[test]
    fn thread_that_ends_between_its_visit_and_its_leaders_is_counted_once() {
        // Thread 3 used 1,000 and ends before the leader's visit; thread 4 lives; an earlier one used 50.
        let records = (
            dead_of_7(50),
            thread_of_7(3, 1000),
            dead_of_7(1050),
            thread_of_7(4, 20),
            leader_7(2, 1051),
            thread_of_7(7, 1),
        );
        let found = runtime_ns(&[
            bytemuck::bytes_of(&records.0),
            bytemuck::bytes_of(&records.1),
            bytemuck::bytes_of(&records.2),
            bytemuck::bytes_of(&records.3),
            bytemuck::bytes_of(&records.4),
            bytemuck::bytes_of(&records.5),
        ]);
        assert_eq!(found, 50 + 1000 + 20 + 1);
    }

    #[test]
    fn last_other_thread_that_ends_before_its_leaders_visit_is_counted_once() {
        let records = (dead_of_7(50), thread_of_7(3, 1000), leader_7(1, 1051));
        let found = runtime_ns(&[
            bytemuck::bytes_of(&records.0),
            bytemuck::bytes_of(&records.1),
            bytemuck::bytes_of(&records.2),
        ]);
        assert_eq!(found, 1051);
    }

    #[test]
    fn thread_that_is_being_released_is_counted_by_the_sums_alone() {
        // The kernel has added thread 9 to the sums of dead threads, and the iterator still visits it.
        let released = ThreadRecord {
            exit_state: EXIT_DEAD,
            ..thread_of_7(9, 1000)
        };
        let records = (leader_7(2, 1001), thread_of_7(7, 1), released);
        let found = runtime_ns(&[
            bytemuck::bytes_of(&records.0),
            bytemuck::bytes_of(&records.1),
            bytemuck::bytes_of(&records.2),
        ]);
        assert_eq!(found, 1001);
    }

    #[test]
    fn dead_threads_of_an_earlier_process_with_the_number_are_ignored() {
        let mut earlier = dead_of_7(5000);
        earlier.id.start_ns = 1;
        let mut leader = leader_7(2, 10);
        leader.id.start_ns = 2;
        let records = (earlier, leader, thread_of_7(7, 10));
        let found = runtime_ns(&[
            bytemuck::bytes_of(&records.0),
            bytemuck::bytes_of(&records.1),
            bytemuck::bytes_of(&records.2),
        ]);
        assert_eq!(found, 10);
    }
}

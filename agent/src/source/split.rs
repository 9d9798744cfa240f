//! On nodes with CPUs without a tick (`nohz_full=`), corrects the iterator's split of CPU time into user and system time by
//! `/proc`.
//!
//! On such a CPU the kernel accounts a task's user and system time when the task enters or leaves the kernel, and keeps time
//! that is not a whole tick yet in separate fields. The fields that the iterator reads may then show only system time for a
//! process that computes for minutes. `/proc/<pid>/stat` is up to date, but in whole ticks; the kernel's own split decides
//! within that tick.
//!
//! In: a pass of the iterator. Out: the same pass with corrected splits.

use std::collections::HashMap;

use super::procfs::{Procfs, Stat};
use crate::process::{Cpu, Pass};

/// A process or thread: its id and start time.
type TaskKey = (u32, u64);

/// The CPU time that `/proc` showed of a task when its marker had this value.
#[derive(Debug, Clone, Copy)]
struct ShownCpu {
    ran_marker: u64,
    shown: Cpu,
}

/// The readings of the last pass: at most one entry for each live process, and one for each live thread if threads are shown.
#[derive(Debug, Default)]
pub(super) struct SplitCorrection {
    processes: HashMap<TaskKey, ShownCpu>,
    threads: HashMap<TaskKey, ShownCpu>,
}

impl SplitCorrection {
    /// Corrects the splits in `pass`. Reads `/proc` only for tasks that ran since their last reading. A task that cannot be read
    /// keeps the kernel's own split.
    pub(super) fn apply(&mut self, pass: &mut Pass, procfs: &mut Procfs) {
        let tick_ns = procfs.host().tick_ns;
        let before = std::mem::take(&mut self.processes);
        for sample in &mut pass.processes {
            let key = (sample.id.tgid, sample.id.start_ns);
            let read = || procfs.stat(key.0).ok();
            if let Some(known) = look_up(&before, key, sample.ran_marker, tick_ns, read) {
                sample.counters.cpu = within(sample.counters.cpu, known.shown, tick_ns);
                self.processes.insert(key, known);
            }
        }
        if !procfs.wants_threads() {
            return;
        }
        let before = std::mem::take(&mut self.threads);
        for sample in &mut pass.threads {
            let key = (sample.tid, sample.start_ns);
            let read = || procfs.thread_stat(sample.tgid, key.0).ok();
            if let Some(known) = look_up(&before, key, sample.ran_marker, tick_ns, read) {
                sample.counters.cpu = within(sample.counters.cpu, known.shown, tick_ns);
                self.threads.insert(key, known);
            }
        }
    }
}

/// The CPU time that `/proc` shows of `key`, read again if the task ran. `None` if it is gone, or another task has its id.
fn look_up(
    before: &HashMap<TaskKey, ShownCpu>,
    key: TaskKey,
    ran_marker: u64,
    tick_ns: u64,
    read: impl FnOnce() -> Option<Stat>,
) -> Option<ShownCpu> {
    let known = before.get(&key).copied();
    if let Some(known) = known.filter(|known| known.ran_marker == ran_marker) {
        return Some(known);
    }
    let stat = read()?;
    let shown = Cpu {
        user_ns: stat.user_ticks.saturating_mul(tick_ns),
        system_ns: stat.system_ticks.saturating_mul(tick_ns),
    };
    (stat.start_ticks == key.1 / tick_ns).then_some(ShownCpu { ran_marker, shown })
}

/// Changes the parts of `counted` so that each is that of `shown`, or at most one tick more. `shown` was read a moment later;
/// if it has the larger total, that total counts.
fn within(counted: Cpu, shown: Cpu, tick_ns: u64) -> Cpu {
    let total_ns = counted.total_ns().max(shown.total_ns());
    let system_most = shown.system_ns.saturating_add(tick_ns);
    let user_least = shown.user_ns.max(total_ns.saturating_sub(system_most));
    let user_most = shown.user_ns.saturating_add(tick_ns);
    let user_most = user_most.min(total_ns.saturating_sub(shown.system_ns));
    let user_ns = counted.user_ns.min(user_most).max(user_least);
    Cpu {
        user_ns,
        system_ns: total_ns.saturating_sub(user_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::State;

    const TICK_NS: u64 = 10;

    fn cpu(user_ns: u64, system_ns: u64) -> Cpu {
        Cpu { user_ns, system_ns }
    }

    #[test]
    fn corrected_parts_are_those_of_proc_to_a_tick() {
        let split = |counted, shown| within(counted, shown, TICK_NS);
        assert_eq!(split(cpu(0, 1005), cpu(990, 10)), cpu(990, 15));
        assert_eq!(split(cpu(1005, 0), cpu(990, 10)), cpu(995, 10));
        assert_eq!(split(cpu(993, 12), cpu(990, 10)), cpu(993, 12));
        // `/proc` shows nothing yet.
        assert_eq!(split(cpu(7, 6), cpu(0, 0)), cpu(7, 6));
        assert_eq!(split(cpu(0, 13), cpu(0, 0)), cpu(3, 10));
        // The task ran on between both readings.
        assert_eq!(split(cpu(0, 100), cpu(90, 30)), cpu(90, 30));
    }

    #[test]
    fn process_that_has_not_run_is_not_read_again() {
        let stat = |start_ticks| Stat {
            state: State::Sleeping,
            parent: 1,
            minor_faults: 0,
            major_faults: 0,
            user_ticks: 3,
            system_ticks: 2,
            threads: 1,
            start_ticks,
            virtual_bytes: 0,
            rss_pages: 0,
        };
        let key = (7, 42);
        let read = look_up(&HashMap::new(), key, 5, TICK_NS, || Some(stat(4))).unwrap();
        assert_eq!(read.shown, cpu(30, 20));
        let before = HashMap::from([(key, read)]);
        let idle = look_up(&before, key, 5, TICK_NS, || unreachable!("it has not run"));
        assert_eq!(idle.unwrap().shown, cpu(30, 20));
        assert!(look_up(&before, key, 6, TICK_NS, || None).is_none());
        let other = look_up(&before, key, 6, TICK_NS, || Some(stat(9)));
        assert!(other.is_none(), "another process has its number");
    }
}

//! Where CPUs run without a tick (`nohz_full=`), `/proc` says how CPU time is split.
//!
//! On such a CPU the kernel adds a task's user and system time up when it enters or leaves the kernel, and what has not made a
//! tick yet is in fields of its own: what the iterator reads of a process that computes for minutes may be all system time.
//! `/proc/<pid>/stat` knows better. It shows whole ticks, so the kernel's own split counts within the tick that they leave open.

use super::procfs::{Procfs, Stat};
use crate::process::{Cpu, Pass};
use std::collections::HashMap;

/// A process or thread: its number and start.
type Key = (u32, u64);

/// What `/proc` said of one that has not run since.
#[derive(Debug, Clone, Copy)]
struct Known {
    ran_marker: u64,
    shown: Cpu,
}

/// What was read at the last pass: at most an entry for each live process, and for each live thread where those are shown.
#[derive(Debug, Default)]
pub(super) struct Split {
    processes: HashMap<Key, Known>,
    threads: HashMap<Key, Known>,
}

impl Split {
    /// Splits what the iterator saw; reads those that ran. One that cannot be read any more keeps the kernel's own split.
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

/// What is known of `key`, read again if it ran; `None`: it is gone, or another one has its number.
fn look_up(
    before: &HashMap<Key, Known>,
    key: Key,
    ran_marker: u64,
    tick_ns: u64,
    read: impl FnOnce() -> Option<Stat>,
) -> Option<Known> {
    let known = before.get(&key).copied();
    if let Some(known) = known.filter(|known| known.ran_marker == ran_marker) {
        return Some(known);
    }
    let stat = read()?;
    let shown = Cpu {
        user_ns: stat.user_ticks.saturating_mul(tick_ns),
        system_ns: stat.system_ticks.saturating_mul(tick_ns),
    };
    (stat.start_ticks == key.1 / tick_ns).then_some(Known { ran_marker, shown })
}

/// `counted`, but each part is what `shown` says, or less than a tick more. `shown` is of a moment later: where it holds more
/// than was counted, that counts, too.
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
    fn the_parts_are_those_of_proc_to_a_tick() {
        let split = |counted, shown| within(counted, shown, TICK_NS);
        assert_eq!(split(cpu(0, 1005), cpu(990, 10)), cpu(990, 15));
        assert_eq!(split(cpu(1005, 0), cpu(990, 10)), cpu(995, 10));
        assert_eq!(split(cpu(993, 12), cpu(990, 10)), cpu(993, 12));
        // Nothing is shown yet.
        assert_eq!(split(cpu(7, 6), cpu(0, 0)), cpu(7, 6));
        assert_eq!(split(cpu(0, 13), cpu(0, 0)), cpu(3, 10));
        // It ran on.
        assert_eq!(split(cpu(0, 100), cpu(90, 30)), cpu(90, 30));
    }

    #[test]
    fn who_has_not_run_is_not_read_again() {
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

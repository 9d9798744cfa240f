//! The pass of the switch tier: reads from `/proc` only the processes that ran, by the on-CPU times of the switch program.
//!
//! A process that has not run has the same CPU time, IO, faults, switches, threads and state as before. Only its memory may
//! have been reclaimed meanwhile, which shows when it runs next. CPU time is the precise one of the switch program, bounded by
//! `/proc` to within the two ticks that `/proc` leaves open; the split follows `/proc`.
//!
//! In: the list of processes, [`RunTimes`], files of `/proc`. Out: a [`Pass`]. The map itself is left to `bpf/switch.rs`.

use std::collections::{HashMap, HashSet};

use super::bpf::{Kernel, RunTimes};
use super::error::SourceError;
use super::procfs::{Procfs, Sampled};
use crate::process::{Cpu, Pass, ProcessId, Sample, ThreadSample};

/// `/proc` shows start times in ticks of 10 ms.
const TICK_NS: u64 = 10_000_000;

/// A process younger than this may be in the list of processes but not in the map yet, or the other way round. Also the
/// maximum time of a fork, from the kernel's start time to that of the programs.
const SETTLED_NS: u64 = 1_000_000_000;

/// `/proc` shows at most this much less than a process has used, because it rounds user and system time down to ticks.
const CUT_NS: u64 = 2 * TICK_NS;

/// The last reading of one process.
#[derive(Debug, Clone)]
struct LastReading {
    sample: Sample,
    /// Its start time as `/proc` shows it. On classic tracepoints the programs may have noted another tick.
    shown_start_ns: u64,
    threads: Vec<ThreadSample>,
    /// Its run time in the map at that reading; `None` if it was not in the map.
    run_ns: Option<u64>,
    /// CPU time that it had in addition to the map's at its first reading.
    base_ns: u64,
}

/// The last readings of the processes, at most one for each live process.
#[derive(Debug, Default)]
pub(super) struct SwitchPass {
    known: HashMap<u32, LastReading>,
    /// Start of the first pass. Older processes need not be in the map.
    since_ns: Option<u64>,
    /// Processes that were in the map but not in the list at the last pass: their last switch may be still to come. At most as
    /// many as the map holds.
    absent: HashSet<ProcessId>,
}

/// The map of run times by tgid: start and run time of the latest process with each.
struct RunTimeMap {
    latest: HashMap<u32, (u64, u64)>,
    on_cpu: HashSet<u32>,
    was_full: bool,
    is_traced: bool,
}

impl RunTimeMap {
    /// `process_of` returns the process of a thread.
    fn new(times: &RunTimes, mut process_of: impl FnMut(u32) -> Option<u32>) -> Self {
        let mut latest = HashMap::new();
        for (id, run_ns) in &times.by_id {
            let entry: &mut (u64, u64) = latest.entry(id.tgid).or_default();
            *entry = (*entry).max((id.start_ns, *run_ns));
        }
        for (tid, run_ns) in &times.running {
            if let Some(entry) = process_of(*tid).and_then(|tgid| latest.get_mut(&tgid)) {
                entry.1 += run_ns;
            }
        }
        Self {
            latest,
            on_cpu: times.on_cpu.clone(),
            was_full: times.was_full,
            is_traced: times.is_traced,
        }
    }

    /// Exact start and run time of the process whose start `/proc` shows as `start_ns`: the exact start is in the same tick, or
    /// on classic tracepoints a moment later.
    fn find(&self, tgid: u32, start_ns: u64) -> Option<(u64, u64)> {
        let is_it = |exact_ns: u64| {
            let is_moment_later = exact_ns > start_ns && exact_ns - start_ns < TICK_NS + SETTLED_NS;
            tick(exact_ns) == tick(start_ns) || self.is_traced && is_moment_later
        };
        let found = self.latest.get(&tgid).copied();
        found.filter(|(exact_ns, _)| is_it(*exact_ns))
    }

    /// Whether the process may have run since its last reading, or another process may have its id by now.
    fn has_run(&self, known: &LastReading) -> bool {
        let id = known.sample.id;
        let found = self.find(id.tgid, id.start_ns);
        let is_another = found.is_none() && (self.is_traced || self.latest.contains_key(&id.tgid));
        let is_on_cpu = self.on_cpu.contains(&id.tgid);
        let has_other_time = found.map(|(_, run_ns)| run_ns) != known.run_ns;
        self.was_full || is_another || is_on_cpu || has_other_time
    }
}

fn tick(start_ns: u64) -> u64 {
    start_ns / TICK_NS
}

impl SwitchPass {
    /// Makes a pass over all live processes, and reads those that ran.
    pub(super) fn pass(
        &mut self,
        kernel: &mut Kernel,
        reader: &mut Procfs,
        now_ns: u64,
    ) -> Result<Pass, SourceError> {
        kernel.begin_pass(now_ns).map_err(SourceError::Iterator)?;
        self.since_ns.get_or_insert(now_ns);
        let mut pass = Pass {
            started_ns: now_ns,
            finals_follow: true,
            switches_by_thread: true,
            ..Pass::default()
        };
        // First the list, then the map: a process in the list has had its map entry since its birth.
        let listed = reader.list()?;
        let times = kernel.run_times()?;
        let map = RunTimeMap::new(&times, |tid| reader.process_of(tid));
        let mut before = std::mem::take(&mut self.known);
        let has_run = |tgid: &u32| before.get(tgid).is_none_or(|known| map.has_run(known));
        let ran: Vec<u32> = listed.iter().copied().filter(has_run).collect();
        let mut read = reader.samples(&ran).into_iter().peekable();
        for tgid in listed {
            let known = before.remove(&tgid);
            let known = match read.next_if(|one| one.tgid == tgid) {
                Some(one) => self.look_at(one, known, &map, &mut pass),
                None => known,
            };
            if let Some(mut known) = known {
                // A process older than the programs is in no map yet. It is added now, because it may end at any moment.
                let is_there = self.is_older(known.shown_start_ns)
                    || known.shown_start_ns + SETTLED_NS < now_ns;
                if map.is_traced && is_there && !map.latest.contains_key(&tgid) {
                    known.adopted_by(kernel)?;
                }
                pass.processes.push(known.sample);
                pass.threads.extend_from_slice(&known.threads);
                self.known.insert(tgid, known);
            }
        }
        pass.threads
            .sort_unstable_by_key(|thread| (thread.tgid, thread.tid));
        let live: HashSet<_> = pass
            .processes
            .iter()
            .map(|sample| (sample.id.tgid, tick(sample.id.start_ns)))
            .collect();
        let absent = times.by_id.into_keys().filter(|id| {
            let is_live = live.contains(&(id.tgid, tick(id.start_ns)));
            id.start_ns < now_ns && !is_live && !pass.unread.contains(&id.tgid)
        });
        let (gone, absent): (HashSet<_>, _) = absent.partition(|id| self.absent.contains(id));
        self.absent = absent;
        kernel.forget(gone.into_iter())?;
        Ok(pass)
    }

    /// Whether a process with this start time started before the first pass.
    fn is_older(&self, shown_start_ns: u64) -> bool {
        self.since_ns
            .is_some_and(|since_ns| tick(shown_start_ns) < tick(since_ns))
    }

    /// The process with the start time that `/proc` shows.
    pub(super) fn shown(&self, id: ProcessId) -> ProcessId {
        let known = self.known.get(&id.tgid);
        let start_ns = known
            .filter(|known| known.sample.id == id)
            .map_or(id.start_ns, |known| known.shown_start_ns);
        ProcessId { start_ns, ..id }
    }

    fn look_at(
        &self,
        read: Sampled,
        known: Option<LastReading>,
        map: &RunTimeMap,
        pass: &mut Pass,
    ) -> Option<LastReading> {
        let now = match read.sample {
            Ok(sample) => {
                self.read_again(sample, read.threads, known.as_ref(), map, pass.started_ns)
            }
            Err(error) if error.is_gone() => return None,
            Err(_) => None,
        };
        // It could not be read, or its exact start is unknown because the map was full at its birth. A later pass shows it.
        if now.is_none() {
            pass.unread.push(read.tgid);
        }
        now
    }

    /// Combines a new reading with the map. `None` for a process born after the first pass whose exact start is unknown.
    fn read_again(
        &self,
        mut sample: Sample,
        mut threads: Vec<ThreadSample>,
        known: Option<&LastReading>,
        map: &RunTimeMap,
        now_ns: u64,
    ) -> Option<LastReading> {
        let shown_start = sample.id.start_ns;
        let found = map.find(sample.id.tgid, shown_start);
        let known = known.filter(|known| known.shown_start_ns == shown_start);
        let is_older = self.is_older(shown_start);
        // On classic tracepoints a full map misses births. A process that is still not in it after a while keeps the start that
        // `/proc` shows.
        let is_settled = map.is_traced && shown_start + SETTLED_NS < now_ns;
        // A process keeps the identity of its first reading.
        sample.id.start_ns = known
            .map(|known| known.sample.id.start_ns)
            .or(found.map(|(exact_ns, _)| exact_ns))
            .or((is_older || is_settled).then_some(shown_start))?;
        let run_ns = found.map(|(_, run_ns)| run_ns);
        let shown = sample.counters.cpu;
        let run = run_ns.unwrap_or(0);
        // For a process born after the first pass, the map has all of its time.
        let base_ns = match known {
            Some(known) => known.base_ns,
            None if is_older => shown.total_ns().saturating_sub(run),
            None => 0,
        };
        if run_ns.is_some() {
            // The map may differ by a run that still goes on or a missed switch; on classic tracepoints also by stolen time or a
            // late tick. `/proc` includes all of that.
            let total_ns = (base_ns + run).clamp(shown.total_ns(), shown.total_ns() + CUT_NS);
            sample.counters.cpu = split(total_ns, shown);
        }
        // For a process that is not in the map, it is unknown whether it ran. It keeps the marker of the reader, which says that
        // it may have.
        if let Some(run) = run_ns {
            // Either value may be ahead of the other, and neither falls, so a run always changes the sum.
            let marker = run + shown.total_ns();
            sample.ran_marker = marker;
            for thread in &mut threads {
                // The map has no times of threads: if the process ran, each of its threads may have run.
                thread.ran_marker = marker;
            }
        }
        Some(LastReading {
            sample,
            shown_start_ns: shown_start,
            threads,
            run_ns,
            base_ns,
        })
    }
}

impl LastReading {
    /// Adds the process to the programs' map. If that succeeds, the map has all of its time from now on.
    fn adopted_by(&mut self, kernel: &mut Kernel) -> Result<(), SourceError> {
        if kernel.adopt(&self.sample)? {
            self.run_ns = Some(self.sample.counters.cpu.total_ns());
            self.base_ns = 0;
        }
        Ok(())
    }
}

/// Splits `total_ns` in the ratio of `shown`.
fn split(total_ns: u64, shown: Cpu) -> Cpu {
    let user = u128::from(total_ns) * u128::from(shown.user_ns);
    let user_ns = user
        .checked_div(u128::from(shown.total_ns()))
        .unwrap_or(u128::from(total_ns));
    let user_ns = u64::try_from(user_ns).unwrap_or(total_ns).min(total_ns);
    Cpu {
        user_ns,
        system_ns: total_ns - user_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Counters, Memory, State};

    #[test]
    fn precise_total_keeps_the_shown_split() {
        let shown = Cpu {
            user_ns: 30_000_000,
            system_ns: 10_000_000,
        };
        assert_eq!(
            split(44, shown),
            Cpu {
                user_ns: 33,
                system_ns: 11
            }
        );
        assert_eq!(
            split(44, Cpu::default()),
            Cpu {
                user_ns: 44,
                system_ns: 0
            }
        );
    }

    fn sample(start_ns: u64, shown_ns: u64) -> Sample {
        Sample {
            id: ProcessId { tgid: 7, start_ns },
            effective_uid: None,
            has_borrowed_ids: false,
            parent: 1,
            state: State::Sleeping,
            counters: Counters {
                cpu: Cpu {
                    user_ns: shown_ns,
                    system_ns: 0,
                },
                ..Counters::default()
            },
            memory: Memory::default(),
            threads: 1,
            fd_limit: None,
            cgroup_id: None,
            ran_marker: 0,
        }
    }

    fn map(entries: &[(u64, u64)]) -> RunTimeMap {
        let by_id = entries.iter().map(|(start_ns, run_ns)| {
            (
                ProcessId {
                    tgid: 7,
                    start_ns: *start_ns,
                },
                *run_ns,
            )
        });
        let times = RunTimes {
            by_id: by_id.collect(),
            ..RunTimes::default()
        };
        RunTimeMap::new(&times, |_| None)
    }

    fn read(shown: Sample, known: Option<&LastReading>, map: &RunTimeMap) -> Option<LastReading> {
        let passes = SwitchPass {
            since_ns: Some(100_000_000),
            ..SwitchPass::default()
        };
        passes.read_again(shown, Vec::new(), known, map, 500_000_000)
    }

    #[test]
    fn process_born_after_the_programs_gets_its_exact_start_or_is_unread() {
        let exact = 212_345_678;
        let known = read(sample(210_000_000, 0), None, &map(&[(exact, 5)])).unwrap();
        assert_eq!(known.sample.id.start_ns, exact);
        assert!(
            read(sample(210_000_000, 0), None, &map(&[])).is_none(),
            "its exact start is unknown"
        );
        assert!(
            read(sample(220_000_000, 0), None, &map(&[(exact, 5)])).is_none(),
            "another tick"
        );
    }

    #[test]
    fn process_older_than_the_programs_keeps_its_first_identity() {
        let first = read(sample(20_000_000, 40), None, &map(&[])).unwrap();
        assert_eq!(first.sample.id.start_ns, 20_000_000);
        let ran = read(
            sample(20_000_000, 40),
            Some(&first),
            &map(&[(21_111_111, 9)]),
        )
        .unwrap();
        assert_eq!(ran.sample.id.start_ns, 20_000_000);
        assert_eq!(
            ran.sample.counters.cpu.total_ns(),
            49,
            "its time before the programs, and its run time in the map"
        );
    }

    #[test]
    fn process_that_is_not_in_the_map_may_have_run() {
        let shown = |reading| Sample {
            ran_marker: reading,
            ..sample(20_000_000, 40)
        };
        let marker = |reading, map| read(shown(reading), None, map).unwrap().sample.ran_marker;
        let [without, with] = [map(&[]), map(&[(21_111_111, 9)])];
        assert_ne!(marker(1, &without), marker(2, &without));
        assert_eq!(marker(1, &with), marker(2, &with));
    }

    #[test]
    fn precise_total_stays_within_two_ticks_of_proc() {
        let shown_ns = 320_000_000;
        for (run_ns, expected_ns) in [
            (319_000_000, shown_ns),
            (323_456_789, 323_456_789),
            (345_000_000, 340_000_000),
        ] {
            let map = map(&[(212_345_678, run_ns)]);
            let known = read(sample(210_000_000, shown_ns), None, &map).unwrap();
            assert_eq!(known.sample.counters.cpu.total_ns(), expected_ns);
        }
    }

    #[test]
    fn start_on_tracepoints_may_be_in_the_tick_after() {
        let exact = 220_000_100;
        let mut map = map(&[(exact, 5)]);
        assert!(map.find(7, 210_000_000).is_none());
        map.is_traced = true;
        let known = read(sample(210_000_000, 0), None, &map).unwrap();
        let starts = (known.sample.id.start_ns, known.shown_start_ns);
        assert_eq!(starts, (exact, 210_000_000));
        assert!(
            map.find(7, 230_000_000).is_none(),
            "the number's next owner"
        );
    }

    #[test]
    fn thread_on_a_cpu_counts_for_its_process() {
        let id = ProcessId {
            tgid: 7,
            start_ns: 1,
        };
        let times = RunTimes {
            by_id: [(id, 5)].into(),
            running: vec![(9, 3), (10, 4)],
            is_traced: true,
            ..RunTimes::default()
        };
        let map = RunTimeMap::new(&times, |tid| (tid == 9).then_some(7));
        assert_eq!(map.latest[&7], (1, 8));
    }

    #[test]
    fn reused_id_is_another_process() {
        let first = read(sample(210_000_000, 0), None, &map(&[(212_000_000, 5)])).unwrap();
        let second = read(
            sample(310_000_000, 0),
            Some(&first),
            &map(&[(312_000_000, 7)]),
        )
        .unwrap();
        assert_eq!(second.sample.id.start_ns, 312_000_000);
        assert_eq!(second.sample.counters.cpu.total_ns(), 7);
    }
}

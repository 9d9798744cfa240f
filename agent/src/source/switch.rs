//! The switch tier's pass: the scheduler says who ran, and only these are read from `/proc` again.
//!
//! A process that has not run has the same CPU time, IO, faults, switches, threads and state as before; only its memory
//! may have been reclaimed meanwhile, which shows when it runs next. CPU time is the precise one of the switches, from
//! what `/proc` said at the first reading on; the split follows `/proc`.

use super::{
    bpf::{Kernel, RunTimes},
    observer::Error,
    procfs::Procfs,
};
use crate::process::{Cpu, Pass, ProcessId, Sample, ThreadSample};
use std::collections::{HashMap, HashSet};

/// `/proc` shows start times in ticks of 10 ms.
const TICK_NS: u64 = 10_000_000;

/// What is known of one process since it was last read.
#[derive(Debug, Clone)]
struct Known {
    sample: Sample,
    threads: Vec<ThreadSample>,
    /// Its run time in the map at that reading; `None` if it was not in it.
    run_ns: Option<u64>,
    /// CPU time that it had beyond the map's at its first reading.
    base_ns: u64,
}

/// The processes as they were last read, at most one a live process.
#[derive(Debug, Default)]
pub(super) struct SwitchPass {
    known: HashMap<u32, Known>,
    /// When the last pass began; 0 before the first.
    passed_ns: u64,
}

impl SwitchPass {
    /// Looks at all live processes; reads those that ran.
    pub(super) fn pass(
        &mut self,
        kernel: &mut Kernel,
        reader: &mut Procfs,
        now_ns: u64,
    ) -> Result<Pass, Error> {
        kernel.begin_pass(now_ns).map_err(Error::Iterator)?;
        let times = kernel.run_times()?;
        let mut pass = Pass {
            started_ns: now_ns,
            finals_follow: true,
            ..Pass::default()
        };
        let latest = latest_starts(&times);
        let mut before = std::mem::take(&mut self.known);
        for tgid in reader.list()? {
            let known = before.remove(&tgid);
            if let Some(known) = self.look_at(tgid, known, &times, &latest, reader, &mut pass) {
                pass.processes.push(known.sample);
                pass.threads.extend_from_slice(&known.threads);
                self.known.insert(tgid, known);
            }
        }
        pass.threads
            .sort_unstable_by_key(|thread| (thread.tgid, thread.tid));
        let live: HashSet<_> = pass.processes.iter().map(|sample| sample.id).collect();
        self.passed_ns = now_ns;
        kernel.forget(times.by_id.into_keys().filter(|id| {
            id.start_ns < now_ns && !live.contains(id) && !pass.unread.contains(&id.tgid)
        }))?;
        Ok(pass)
    }

    fn look_at(
        &self,
        tgid: u32,
        known: Option<Known>,
        times: &RunTimes,
        latest: &HashMap<u32, u64>,
        reader: &mut Procfs,
        pass: &mut Pass,
    ) -> Option<Known> {
        let known = known.filter(|known| {
            latest
                .get(&tgid)
                .is_none_or(|start_ns| is_same_start(known.sample.id.start_ns, *start_ns))
        });
        if let Some(known) = &known
            && !times.was_full
            && times
                .by_id
                .get(&precise(known.sample.id, None, latest))
                .copied()
                == known.run_ns
        {
            return Some(known.clone());
        }
        let is_new = known.is_none();
        let mut threads = Vec::new();
        match reader.sample(tgid, &mut threads) {
            Ok(sample) => {
                let read = read_again(sample, threads, known, times, latest);
                // Born just now, and known to the tick only, while its records know the nanosecond: they tell of it
                // until the next pass.
                let is_told = is_new && read.run_ns.is_none() && !times.was_full;
                let is_young = read.sample.id.start_ns + TICK_NS > self.passed_ns;
                Some(read).filter(|_| !(is_told && is_young && self.passed_ns > 0))
            }
            Err(error) if error.is_gone() => None,
            Err(_) => {
                pass.unread.push(tgid);
                known
            }
        }
    }
}

/// Whether a start that was known, maybe to the tick only, is the one that the map tells.
fn is_same_start(known_ns: u64, told_ns: u64) -> bool {
    let is_of_tick = known_ns.is_multiple_of(TICK_NS);
    known_ns == told_ns || (is_of_tick && known_ns / TICK_NS == told_ns / TICK_NS)
}

/// Start of the latest process with each number, as the map knows it.
fn latest_starts(times: &RunTimes) -> HashMap<u32, u64> {
    let mut latest = HashMap::new();
    for id in times.by_id.keys() {
        let start_ns: &mut u64 = latest.entry(id.tgid).or_default();
        *start_ns = (*start_ns).max(id.start_ns);
    }
    latest
}

fn read_again(
    mut sample: Sample,
    mut threads: Vec<ThreadSample>,
    known: Option<Known>,
    times: &RunTimes,
    latest: &HashMap<u32, u64>,
) -> Known {
    sample.id = precise(sample.id, known.as_ref(), latest);
    let run_ns = times.by_id.get(&sample.id).copied();
    let shown = sample.counters.cpu;
    let run = run_ns.unwrap_or(0);
    let base_ns = known.map_or_else(
        || shown.total_ns().saturating_sub(run),
        |known| known.base_ns,
    );
    if run_ns.is_some() {
        sample.counters.cpu = split(base_ns + run, shown);
    }
    sample.ran_marker = run_ns.unwrap_or(0);
    for thread in &mut threads {
        // The map tells of processes, not of threads: when the process ran, each of its threads may have.
        thread.ran_marker = sample.ran_marker;
    }
    Known {
        sample,
        threads,
        run_ns,
        base_ns,
    }
}

/// The identity with nanoseconds: that of the map, or of the last reading, where they name the same tick.
fn precise(id: ProcessId, known: Option<&Known>, latest: &HashMap<u32, u64>) -> ProcessId {
    let from_map = latest.get(&id.tgid).copied();
    let from_known = known.map(|known| known.sample.id.start_ns);
    let start_ns = from_map
        .into_iter()
        .chain(from_known)
        .find(|start_ns| start_ns / TICK_NS == id.start_ns / TICK_NS)
        .unwrap_or(id.start_ns);
    ProcessId { start_ns, ..id }
}

/// `total_ns`, split as `shown` is.
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

    #[test]
    fn the_precise_total_keeps_the_shown_split() {
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

    #[test]
    fn an_identity_is_made_precise_only_within_its_tick() {
        let id = |start_ns| ProcessId { tgid: 7, start_ns };
        let latest = HashMap::from([(7, 12_345_678)]);
        assert_eq!(precise(id(10_000_000), None, &latest), id(12_345_678));
        assert_eq!(precise(id(20_000_000), None, &latest), id(20_000_000));
    }
}

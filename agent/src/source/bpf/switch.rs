//! On-CPU time per process as the switch program keeps it: by identity, or, where the programs sit on tracepoints, in
//! what they keep of each process.

use super::{Error, Plan, events, fill::Fill, snapshot::process_id, take, wire::Wire};
use crate::{
    host::monotonic_ns,
    process::{ProcessId, Sample, State},
};
use agent_common::{Identity, RUN_TIMES_ENTRIES, RunTime, SwitchTotals, Traced, UNCOUNTED};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError, PerCpuArray, PerCpuHashMap},
};
use std::collections::HashSet;

type ById = std::collections::HashMap<ProcessId, u64>;

/// Kernel: the map's `BPF_NOEXIST`.
const BPF_NOEXIST: u64 = 1;

/// What ran, and whether somebody may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunTimes {
    /// On-CPU time since the programs were attached, nanoseconds, up to the last switch.
    pub by_id: ById,
    /// Processes that are on a CPU now, with the kernel's types: how long, `/proc` tells.
    pub on_cpu: HashSet<u32>,
    /// The map was full since the last reading: some that ran may not be in it.
    pub was_full: bool,
    /// With tracepoints: threads, whose process is not known here, and how long they have been on a CPU now.
    pub running: Vec<(u32, u64)>,
    /// The programs know of a process what they saw themselves: nothing of older ones, and starts are those of the
    /// programs' clock, a moment later than the kernel's.
    pub is_traced: bool,
}

/// The map that this plan has.
enum Times {
    ById(PerCpuHashMap<MapData, Wire<Identity>, Wire<RunTime>>),
    Traced(HashMap<MapData, u32, Wire<Traced>>),
}

impl Times {
    fn read(&self) -> Result<ById, Error> {
        let mut by_id = ById::new();
        match self {
            Self::ById(map) => {
                for entry in map.iter() {
                    let (id, cpus) = entry?;
                    let run: RunTime = events::sum(cpus.iter().map(|cpu| cpu.0));
                    by_id.insert(process_id(&id.0), run.run_ns);
                }
            }
            Self::Traced(map) => {
                for entry in map.iter() {
                    let (tgid, Wire(traced)) = entry?;
                    let start_ns = traced.start_ns;
                    by_id.insert(ProcessId { tgid, start_ns }, traced.run_ns);
                }
            }
        }
        Ok(by_id)
    }
}

pub(super) struct Switch {
    times: Times,
    totals: PerCpuArray<MapData, Wire<SwitchTotals>>,
    full_before: u64,
    pub(super) fill: Fill,
}

impl Switch {
    pub(super) fn new(ebpf: &mut Ebpf, plan: Plan) -> Result<Self, Error> {
        let times = if plan.is_traced() {
            Times::Traced(take(ebpf, "TRACED")?)
        } else {
            Times::ById(take(ebpf, "RUN_TIMES")?)
        };
        Ok(Self {
            times,
            totals: take(ebpf, "SWITCH")?,
            full_before: 0,
            fill: Fill::new("run_times", RUN_TIMES_ENTRIES),
        })
    }

    /// Switches whose process found no place.
    pub(super) fn full(&self) -> Result<u64, Error> {
        Ok(self.sums()?.full)
    }

    /// On-CPU time, at most, of stretches that no program saw begin.
    pub(super) fn unseen_ns(&self) -> Result<u64, Error> {
        Ok(self.sums()?.unseen_ns)
    }

    fn sums(&self) -> Result<SwitchTotals, Error> {
        Ok(events::sum(self.totals.get(&0, 0)?.iter().map(|cpu| cpu.0)))
    }

    pub(super) fn read(&mut self) -> Result<RunTimes, Error> {
        let full = self.full()?;
        let was_full = full != std::mem::replace(&mut self.full_before, full);
        let cpus_before = self.cpus()?;
        let mut times = RunTimes {
            by_id: self.times.read()?,
            was_full,
            is_traced: matches!(self.times, Times::Traced(_)),
            ..RunTimes::default()
        };
        self.fill.found(times.by_id.len() as u64);
        let now_ns = monotonic_ns();
        for (before, now) in cpus_before.iter().zip(self.cpus()?) {
            if now.running.tgid != 0 {
                times.on_cpu.insert(now.running.tgid);
            }
            // A CPU that switched meanwhile: the map may hold that stretch already.
            if times.is_traced && before.last_ns == now.last_ns && now.running_tid != 0 {
                let run_ns = now_ns.saturating_sub(now.last_ns);
                times.running.push((now.running_tid, run_ns));
            }
        }
        Ok(times)
    }

    /// See [`super::Kernel::adopt`].
    pub(super) fn adopt(&mut self, sample: &Sample) -> Result<bool, Error> {
        let Times::Traced(map) = &mut self.times else {
            return Ok(false);
        };
        let switches = sample.counters.switches.unwrap_or_default();
        let entry = Traced {
            start_ns: sample.id.start_ns,
            born_ns: 0,
            run_ns: sample.counters.cpu.total_ns(),
            voluntary_switches: switches.voluntary,
            nonvoluntary_switches: switches.nonvoluntary,
            // The end of a zombie is not the agent's to tell.
            live: if sample.state == State::Zombie {
                0
            } else {
                UNCOUNTED
            },
            left: UNCOUNTED,
            parent_tgid: sample.parent,
            zero: 0,
        };
        // Not placed: the map is full, or the programs know it by now. The next pass sees.
        Ok(map.insert(sample.id.tgid, Wire(entry), BPF_NOEXIST).is_ok())
    }

    fn cpus(&self) -> Result<Vec<SwitchTotals>, Error> {
        Ok(self.totals.get(&0, 0)?.iter().map(|cpu| cpu.0).collect())
    }

    /// Makes room: these processes are gone.
    pub(super) fn forget(&mut self, gone: impl Iterator<Item = ProcessId>) -> Result<(), Error> {
        for id in gone {
            let key = Identity {
                start_ns: id.start_ns,
                tgid: id.tgid,
                zero: 0,
            };
            let removed = match &mut self.times {
                Times::ById(map) => map.remove(&Wire(key)),
                Times::Traced(map) => map.remove(&id.tgid),
            };
            match removed {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                // Its release was faster.
                Err(MapError::SyscallError(error))
                    if error.io_error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

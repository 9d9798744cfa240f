//! Reads the on-CPU time of processes that the switch program keeps: by identity in the map `RUN_TIMES`, or on classic
//! tracepoints in the entries of the map `TRACED`.
//!
//! Out: [`RunTimes`]. Combining them with `/proc` is left to `source/switch.rs`.

use std::collections::HashSet;

use agent_common::{Identity, RUN_TIMES_ENTRIES, RunTime, SwitchTotals, Traced, UNCOUNTED};
use aya::Ebpf;
use aya::maps::{HashMap, MapData, MapError, PerCpuArray, PerCpuHashMap};

use super::load::take;
use super::map_usage::MapUsage;
use super::snapshot::process_id;
use super::wire::Wire;
use super::{BpfError, Plan, events};
use crate::host::monotonic_ns;
use crate::process::{ProcessId, Sample, State};

type ById = std::collections::HashMap<ProcessId, u64>;

/// Kernel: the map's `BPF_NOEXIST`.
const BPF_NOEXIST: u64 = 1;

/// The on-CPU time of processes, and whether processes may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunTimes {
    /// On-CPU time up to the last switch, nanoseconds: since the programs were attached, or on classic tracepoints since the
    /// birth of the process.
    pub by_id: ById,
    /// With type information: processes that are on a CPU now. Their current run is not in `by_id`; `/proc` has it.
    pub on_cpu: HashSet<u32>,
    /// The map was full since the last reading, so processes that ran may be missing from it.
    pub was_full: bool,
    /// On classic tracepoints: ids of threads that are on a CPU now, and how long they have been, nanoseconds. Their process is
    /// unknown here.
    pub running: Vec<(u32, u64)>,
    /// The programs are on classic tracepoints. They know no processes older than themselves (unless added by `adopt`), and their
    /// start times are a moment later than the kernel's.
    pub is_traced: bool,
}

/// The map of this plan.
enum Times {
    ById(PerCpuHashMap<MapData, Wire<Identity>, Wire<RunTime>>),
    Traced(HashMap<MapData, u32, Wire<Traced>>),
}

impl Times {
    fn read(&self) -> Result<ById, BpfError> {
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
    pub(super) usage: MapUsage,
}

impl Switch {
    pub(super) fn new(ebpf: &mut Ebpf, plan: Plan) -> Result<Self, BpfError> {
        let times = if plan.is_traced() {
            Times::Traced(take(ebpf, "TRACED")?)
        } else {
            Times::ById(take(ebpf, "RUN_TIMES")?)
        };
        Ok(Self {
            times,
            totals: take(ebpf, "SWITCH")?,
            full_before: 0,
            usage: MapUsage::new("run_times", RUN_TIMES_ENTRIES),
        })
    }

    /// Number of switches (on classic tracepoints, births) whose process found the map full.
    pub(super) fn full(&self) -> Result<u64, BpfError> {
        Ok(self.sums()?.full)
    }

    /// Upper bound of the on-CPU time of runs whose beginning the programs missed.
    pub(super) fn unseen_ns(&self) -> Result<u64, BpfError> {
        Ok(self.sums()?.unseen_ns)
    }

    fn sums(&self) -> Result<SwitchTotals, BpfError> {
        Ok(events::sum(self.totals.get(&0, 0)?.iter().map(|cpu| cpu.0)))
    }

    pub(super) fn read(&mut self) -> Result<RunTimes, BpfError> {
        let full = self.full()?;
        let was_full = full != std::mem::replace(&mut self.full_before, full);
        let cpus_before = self.cpus()?;
        let mut times = RunTimes {
            by_id: self.times.read()?,
            was_full,
            is_traced: matches!(self.times, Times::Traced(_)),
            ..RunTimes::default()
        };
        self.usage.found(times.by_id.len() as u64);
        let now_ns = monotonic_ns();
        for (before, now) in cpus_before.iter().zip(self.cpus()?) {
            if now.running.tgid != 0 {
                times.on_cpu.insert(now.running.tgid);
            }
            // If the CPU has switched meanwhile, the map may include that run already.
            if times.is_traced && before.last_ns == now.last_ns && now.running_tid != 0 {
                let run_ns = now_ns.saturating_sub(now.last_ns);
                times.running.push((now.running_tid, run_ns));
            }
        }
        Ok(times)
    }

    /// Adds a process that the programs do not know to the map `TRACED`. `false` if the map is full, the process is in it
    /// already, or this plan has another map.
    pub(super) fn adopt(&mut self, sample: &Sample) -> Result<bool, BpfError> {
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
            // A zombie has ended already, so the programs must not report its exit.
            live: if sample.state == State::Zombie {
                0
            } else {
                UNCOUNTED
            },
            left: UNCOUNTED,
            parent_tgid: sample.parent,
            zero: 0,
        };
        // The insertion fails if the map is full, or the programs know the process by now. The next pass shows which.
        Ok(map.insert(sample.id.tgid, Wire(entry), BPF_NOEXIST).is_ok())
    }

    fn cpus(&self) -> Result<Vec<SwitchTotals>, BpfError> {
        Ok(self.totals.get(&0, 0)?.iter().map(|cpu| cpu.0).collect())
    }

    /// Removes processes that are gone from the map.
    pub(super) fn forget(&mut self, gone: impl Iterator<Item = ProcessId>) -> Result<(), BpfError> {
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
                // The program at the release has removed it.
                Err(MapError::SyscallError(error))
                    if error.io_error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

//! On-CPU time per process as the switch program keeps it.

use super::{Error, events, fill::Fill, snapshot::process_id, take, wire::Wire};
use crate::{host::monotonic_ns, process::ProcessId};
use agent_common::{Identity, RUN_TIMES_ENTRIES, RunTime, SwitchTotals};
use aya::{
    Ebpf,
    maps::{MapData, MapError, PerCpuArray, PerCpuHashMap},
};
use std::collections::HashMap;

/// What ran, and whether somebody may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunTimes {
    /// On-CPU time since the programs were attached, nanoseconds; stretches that go on are in it.
    pub by_id: HashMap<ProcessId, u64>,
    /// The map was full since the last reading: some that ran may not be in it.
    pub was_full: bool,
}

pub(super) struct Switch {
    times: PerCpuHashMap<MapData, Wire<Identity>, Wire<RunTime>>,
    totals: PerCpuArray<MapData, Wire<SwitchTotals>>,
    full_before: u64,
    pub(super) fill: Fill,
}

impl Switch {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, Error> {
        Ok(Self {
            times: take(ebpf, "RUN_TIMES")?,
            totals: take(ebpf, "SWITCH")?,
            full_before: 0,
            fill: Fill::new("run_times", RUN_TIMES_ENTRIES),
        })
    }

    /// Switches whose process found no place.
    pub(super) fn full(&self) -> Result<u64, Error> {
        Ok(events::sum(self.totals.get(&0, 0)?.iter().map(|cpu| cpu.0)).full)
    }

    pub(super) fn read(&mut self) -> Result<RunTimes, Error> {
        let full = self.full()?;
        let was_full = full != std::mem::replace(&mut self.full_before, full);
        let cpus_before = self.cpus()?;
        let mut by_id = HashMap::new();
        for entry in self.times.iter() {
            let (id, cpus) = entry?;
            let run: RunTime = events::sum(cpus.iter().map(|cpu| cpu.0));
            by_id.insert(process_id(&id.0), run.run_ns);
        }
        self.fill.found(by_id.len() as u64);
        let now_ns = monotonic_ns();
        for (before, now) in cpus_before.iter().zip(self.cpus()?) {
            // A CPU that switched meanwhile: the map may hold that stretch already.
            let goes_on = before.last_ns == now.last_ns && now.running.tgid != 0;
            if goes_on {
                let run_ns = by_id.entry(process_id(&now.running)).or_default();
                *run_ns += now_ns.saturating_sub(now.last_ns);
            }
        }
        Ok(RunTimes { by_id, was_full })
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
            match self.times.remove(&Wire(key)) {
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

//! Run-queue latency: writes which process counts for which group to the kernel's maps, and reads the histograms.
//!
//! The program counts by slot. From its birth a process has the slot of its parent; an exec gives it the slot of its comm.
//! After each pass the agent writes the slot of every live process whose slot changed.
//!
//! In: groups, processes and comms with their [`Attribution`]. Out: [`RunQueueStatistics`]. Which group has which slot is
//! left to `slots`.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use agent_common::{
    COMM_BYTES, Comm, RunQueueTotals, RunQueueWaits, SLOT_NOWHERE, SLOT_STAYS, SLOT_UNKNOWN,
};
use aya::Ebpf;
use aya::maps::{Array, HashMap as KernelMap, MapData, MapError, PerCpuArray};

use super::events::sum;
use super::load::take;
use super::program::KernelProgram;
use super::slots::{Slots, since};
use super::wire::Wire;
use super::{BpfError, Sizes, Support};
use crate::process::{Attribution, Event, Folds, ProcessId};
use crate::source::RunQueueStatistics;

/// Kernel: `BPF_ANY` and `BPF_EXIST`.
const ANY: u64 = 0;
const EXIST: u64 = 2;

/// Kernel fields that the program needs.
const FIELDS: [&str; 2] = ["task_run_delay", "task_pcount"];

/// The warning for a kernel that cannot count run-queue latency.
pub(super) fn without(why: &impl std::fmt::Display) -> String {
    let loss = KernelProgram::RunQueue.loss().unwrap_or_default();
    format!("--collector.runqueue: {why}; {loss}")
}

/// `sizes`, without slots (and with a warning) if the kernel lacks the fields.
pub(super) fn if_possible(sizes: Sizes, support: &Support, warnings: &mut Vec<String>) -> Sizes {
    let is_missing = support.missing.iter().any(|field| FIELDS.contains(field));
    if !is_missing || sizes.run_queue_slots.is_none() {
        return sizes;
    }
    warnings.push(without(
        &"this kernel does not record how long threads wait; it needs CONFIG_SCHED_INFO",
    ));
    Sizes {
        run_queue_slots: None,
        ..sizes
    }
}

pub(super) struct RunQueue {
    waits: PerCpuArray<MapData, Wire<RunQueueWaits>>,
    totals: PerCpuArray<MapData, Wire<RunQueueTotals>>,
    by_process: KernelMap<MapData, u32, u32>,
    by_comm: KernelMap<MapData, Comm, u32>,
    generation: Array<MapData, u32>,
    slots: Slots,
    /// The slots that the agent wrote for the processes of the last pass, except processes with an event since.
    written: HashMap<u32, u32>,
    written_comms: HashMap<Comm, u32>,
    /// Processes that had no entry at the last pass.
    absent: HashSet<u32>,
    /// The number that changes whenever the agent changes slots of processes; never 0.
    changes: NonZeroU32,
    /// Attachment of the programs. They made no entry for older processes.
    since_ns: u64,
}

impl RunQueue {
    pub(super) fn new(ebpf: &mut Ebpf, slots: u32, since_ns: u64) -> Result<Self, BpfError> {
        let mut run_queue = Self {
            waits: take(ebpf, "RUN_QUEUE")?,
            totals: take(ebpf, "RUN_QUEUE_TOTALS")?,
            by_process: take(ebpf, "RUN_QUEUE_SLOTS")?,
            by_comm: take(ebpf, "RUN_QUEUE_COMM_SLOTS")?,
            generation: take(ebpf, "RUN_QUEUE_GENERATION")?,
            changes: NonZeroU32::MIN,
            slots: Slots::new(slots),
            written: HashMap::new(),
            written_comms: HashMap::new(),
            absent: HashSet::new(),
            since_ns,
        };
        run_queue.advance_generation()?;
        Ok(run_queue)
    }

    /// Notes an event of a process: the programs may have changed its slot.
    pub(super) fn note(&mut self, event: &Event) {
        let tgid = match event {
            Event::Forked { child, .. } => child.tgid,
            Event::Execed { id, .. } => id.tgid,
            Event::Exited { .. } => return,
            Event::Released(released) => released.id.tgid,
        };
        self.written.remove(&tgid);
    }

    /// Forgets which slots were written. Called when records were added up, so that events of any process may be missing.
    pub(super) fn forget_written(&mut self) {
        self.written.clear();
    }

    /// Writes to the kernel's maps the slots of all live processes and of the comms whose attribution is known. `groups` are all
    /// groups.
    pub(super) fn attribute<'a>(
        &mut self,
        groups: impl Iterator<Item = u64>,
        processes: impl Iterator<Item = (ProcessId, Attribution)>,
        comms: impl Iterator<Item = (&'a [u8], Attribution)>,
        folds: &Folds,
    ) -> Result<(), BpfError> {
        let waits = &self.waits;
        self.slots.renew(groups, folds, |slot| read(waits, slot))?;
        let before = std::mem::take(&mut self.written);
        let (mut absent, mut is_changed) = (HashSet::new(), false);
        for (id, attribution) in processes {
            let slot = self.slot(attribution);
            let is_known = before.get(&id.tgid) == Some(&slot);
            if is_known || self.write(id, slot)? {
                self.written.insert(id.tgid, slot);
            } else {
                absent.insert(id.tgid);
            }
            is_changed |= !is_known;
        }
        self.absent = absent;
        if is_changed {
            self.advance_generation()?;
        }
        self.write_comms(comms)
    }

    fn slot(&self, attribution: Attribution) -> u32 {
        match attribution {
            Attribution::Group(group) => self.slots.of(group).unwrap_or(SLOT_UNKNOWN),
            Attribution::Nowhere => SLOT_NOWHERE,
            Attribution::Parent => SLOT_STAYS,
            Attribution::Unknown => SLOT_UNKNOWN,
        }
    }

    /// Writes the slot of a process. Returns `false` if the map has no entry for it. A process born after the attachment had one,
    /// so it has probably ended. The agent then makes a new entry only at the second pass that finds none: the entry of an ended
    /// process would never be removed.
    fn write(&mut self, id: ProcessId, slot: u32) -> Result<bool, BpfError> {
        let may_make = id.start_ns < self.since_ns || self.absent.contains(&id.tgid);
        let flags = if may_make { ANY } else { EXIST };
        succeeded(self.by_process.insert(id.tgid, slot, flags))
    }

    /// Makes the slots invalid that the program stored with each thread.
    fn advance_generation(&mut self) -> Result<(), BpfError> {
        self.changes = self.changes.checked_add(1).unwrap_or(NonZeroU32::MIN);
        Ok(self.generation.set(0, self.changes.get(), 0)?)
    }

    /// Writes the slots of the comms, and removes the entries of comms that are no longer among them.
    fn write_comms<'a>(
        &mut self,
        comms: impl Iterator<Item = (&'a [u8], Attribution)>,
    ) -> Result<(), BpfError> {
        let mut before = std::mem::take(&mut self.written_comms);
        for (name, attribution) in comms {
            let (comm, slot) = (comm_of(name), self.slot(attribution));
            if before.remove(&comm) == Some(slot)
                || succeeded(self.by_comm.insert(comm, slot, ANY))?
            {
                self.written_comms.insert(comm, slot);
            }
        }
        for comm in before
            .into_keys()
            .filter(|comm| !self.written_comms.contains_key(comm))
        {
            succeeded(self.by_comm.remove(&comm))?;
        }
        Ok(())
    }

    /// Reads the counts of the program.
    pub(super) fn statistics(&self) -> Result<RunQueueStatistics, BpfError> {
        let totals: RunQueueTotals = sum(self.totals.get(&0, 0)?.iter().map(|cpu| cpu.0));
        let mut by_group: HashMap<u64, RunQueueWaits> =
            self.slots.inherited().into_iter().collect();
        for (group, slot, before) in self.slots.iter() {
            let now = read(&self.waits, slot)?;
            let all = by_group.entry(group).or_default();
            *all = sum([*all, since(&now, before)].into_iter());
        }
        Ok(RunQueueStatistics {
            by_group,
            unknown: read(&self.waits, SLOT_UNKNOWN)?,
            missed: totals.missed,
            full: totals.full,
        })
    }
}

fn read(
    waits: &PerCpuArray<MapData, Wire<RunQueueWaits>>,
    slot: u32,
) -> Result<RunQueueWaits, BpfError> {
    Ok(sum(waits.get(&slot, 0)?.iter().map(|cpu| cpu.0)))
}

/// Whether the operation on a map succeeded. A missing entry and a full map are expected (`false`); other errors are returned.
fn succeeded(result: Result<(), MapError>) -> Result<bool, BpfError> {
    let is_expected = |error: &std::io::Error| {
        matches!(
            error.raw_os_error(),
            Some(libc::ENOENT | libc::E2BIG | libc::EBUSY)
        )
    };
    match result {
        Ok(()) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(MapError::SyscallError(error)) if is_expected(&error.io_error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A name as the kernel stores it: at most 15 bytes, padded with zeros.
fn comm_of(name: &[u8]) -> Comm {
    let mut comm = Comm::default();
    let len = name.len().min(COMM_BYTES - 1);
    comm[..len].copy_from_slice(&name[..len]);
    comm
}

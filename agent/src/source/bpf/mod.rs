//! The kernel tiers: finds out what this kernel supports (`support`), decides what to load (`plan`), loads the programs, and
//! reads what they write.
//!
//! In: the kernel's type information, records, the iterator's bytes. Out: [`Event`]s, sums by comm and passes. Only this
//! folder uses aya. Assigning use to groups is left to `process` and `group`.

mod btf;
#[cfg(has_ebpf)]
#[cfg(test)]
mod btf_tests;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod iterator;
mod load;
mod load_remedy;
mod lost;
mod map_usage;
mod no_preempt;
mod node;
mod offsets;
mod overflow;
mod pieces;
mod plan;
mod probe;
mod program;
mod recursion_misses;
mod ring;
mod runqueue;
mod self_test;
mod slots;
mod snapshot;
mod stats;
mod support;
mod switch;
mod tracepoint;
mod visited;
mod wire;

pub use events::{Timed, from_ring};
pub use load::{Error, Sizes};
pub use pieces::Pieces;
pub use plan::{Plan, Request};
pub use program::KernelProgram;
pub use snapshot::{Carried, Snapshot};
pub use support::{Obstacle, Support};
pub use switch::RunTimes;

use super::{Fact, SourceStatistics, Tier};
use crate::{
    host::boottime_ns,
    process::{Attribution, Coarse, Event, Folds, Pass, ProcessId},
};
use agent_common::Control;
use aya::{
    Ebpf,
    maps::{Array, MapData},
    sys::SyscallError,
};
use aya_log::EbpfLogger;
use iterator::TaskIterator;
use lost::Lost;
use overflow::Overflow;
use probe::{ease, probe, shortcomings};
use ring::Ring;
use runqueue::RunQueue;
use self_test::SelfTestRun;
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};
use wire::Wire;

/// One item that a drain hands over.
#[derive(Debug)]
pub enum Found {
    /// An event of one process.
    Event(Event),
    /// A sum over processes that found ring and hash full, so that their records were added up by comm.
    Coarse(Coarse),
}

/// The result of [`start`].
#[derive(Debug)]
pub struct Start {
    /// The plan that works.
    pub plan: Plan,
    /// The running programs; `None` in the procfs tier.
    pub kernel: Option<Kernel>,
    /// Why better plans were not chosen, the best plan first; empty if the best plan works.
    pub warnings: Vec<String>,
}

/// Loads the best plan for `request` that works here. `obstacle`: a reason against kernel programs that the caller knows.
///
/// # Errors
/// When a tier was forced and cannot work; the message says why and what to do.
pub fn start(
    request: Request,
    obstacle: Option<Obstacle>,
    sizes: Sizes,
    page_bytes: u64,
) -> Result<Start, String> {
    if request == Request::Only(Tier::Procfs) {
        return Ok(procfs_only(sizes, Vec::new()));
    }
    let (support, mut layouts, raw) = probe(obstacle);
    let mut plans = plan::candidates(request, &support);
    let mut warnings = shortcomings(request, &support);
    let sizes = runqueue::if_possible(sizes, &support, &mut warnings);
    let btf = if plans.iter().any(|plan| plan.needs_types()) {
        aya::Btf::parse(&raw, aya::Endianness::default())
            .map_err(|error| warnings.push(error.to_string()))
            .ok()
    } else {
        None
    };
    drop(raw);
    while let Some(plan) = plans.first().copied() {
        if plan.exit_hook.is_none() {
            break;
        }
        if plan.needs_types() && btf.is_none() {
            plans.retain(|plan| !plan.needs_types());
            continue;
        }
        let carried = Carried::new(&layouts.of(plan), page_bytes);
        match load::load(plan, &layouts, sizes, btf.as_ref())
            .and_then(|ebpf| Kernel::new(ebpf, plan, sizes, carried))
        {
            Ok(mut kernel) => {
                if plan.needs_types()
                    && let Err(error) = kernel.add_thread_count(btf.as_ref())
                {
                    let loss = KernelProgram::Thread.loss().unwrap_or_default();
                    warnings.push(format!("{error}; {loss}"));
                }
                if let Some(slots) = sizes.run_queue_slots
                    && let Err(why) = kernel.add_run_queue(slots, btf.as_ref())
                {
                    warnings.push(runqueue::without(&why));
                }
                return Ok(Start {
                    plan,
                    kernel: Some(kernel),
                    warnings,
                });
            }
            Err(error) => {
                if let Some(without) = ease(&mut layouts, &error) {
                    warnings.push(format!("{error}; {without}"));
                    continue;
                }
                match &error {
                    Error::Refused(program, _) => plans = plan::without(&plans, *program),
                    _ => plans.retain(|plan| plan.exit_hook.is_none()),
                }
                warnings.push(format!("{error}{}", plan::next(&plans, plan)));
            }
        }
    }
    if plans.contains(&Plan::PROCFS) {
        return Ok(procfs_only(sizes, warnings));
    }
    Err(warnings.join("; "))
}

fn procfs_only(sizes: Sizes, mut warnings: Vec<String>) -> Start {
    if sizes.run_queue_slots.is_some() {
        warnings.push(runqueue::without(&"/proc does not tell it"));
    }
    Start {
        plan: Plan::PROCFS,
        kernel: None,
        warnings,
    }
}

/// The capability that this thread lacks for kernel programs, by `status` (its `/proc/thread-self/status`); `None` if none.
pub fn missing_capability(status: &str) -> Option<Obstacle> {
    support::missing_capability(status)
}

/// The running programs and their maps. Dropping it removes everything from the kernel.
pub struct Kernel {
    ebpf: Ebpf,
    plan: Plan,
    /// `None` in the switch tier.
    iterator: Option<TaskIterator>,
    ring: Ring,
    overflow: Overflow,
    lost: Lost,
    control: Array<MapData, Wire<Control>>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    carried: Carried,
    /// Number of processes in the last pass; the next one expects about as many.
    live: usize,
    self_test: SelfTestRun,
    switch: switch::Switch,
    /// `None` if the collector is off, or this kernel cannot count run-queue latency.
    run_queue: Option<RunQueue>,
    /// Whether the programs count new threads.
    counts_threads: bool,
    /// Events later than the last drain's start: the hash in use may hold earlier ones. The next drain hands them over.
    later: Vec<Timed>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Kernel")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

fn take<T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, Error> {
    Ok(T::try_from(
        ebpf.take_map(name).ok_or(Error::Lacking(name))?,
    )?)
}

fn attach_iterator(ebpf: &Ebpf) -> Result<TaskIterator, Error> {
    let snapshot = KernelProgram::Snapshot;
    let program = ebpf.program(snapshot.symbol());
    let program: &aya::programs::Iter = program
        .ok_or(Error::Lacking(snapshot.symbol()))?
        .try_into()
        .map_err(|error| Error::Refused(snapshot, error))?;
    let fd = program.fd();
    let fd = fd.map_err(|error| Error::Refused(snapshot, error))?;
    let refused =
        |call| move |io_error| Error::Refused(snapshot, SyscallError { call, io_error }.into());
    let iterator = TaskIterator::attach(fd.as_fd()).map_err(refused("bpf_link_create"))?;
    // Opened on trial: if it cannot be opened, every pass would be without processes.
    iterator.open().map_err(refused("bpf_iter_create"))?;
    Ok(iterator)
}

/// Logs that messages of the programs are lost; the programs count all the same.
fn unheard(error: impl std::fmt::Display) {
    log::warn!("messages of the kernel programs cannot be read: {error}");
}

impl Kernel {
    fn new(mut ebpf: Ebpf, plan: Plan, sizes: Sizes, carried: Carried) -> Result<Self, Error> {
        let iterator = match plan.tier {
            Tier::Iterator => Some(attach_iterator(&ebpf)?),
            Tier::Switch | Tier::Procfs => None,
        };
        let mut kernel = Self {
            iterator,
            ring: Ring::new(&mut ebpf, sizes.ring_bytes)?,
            control: take(&mut ebpf, "CONTROL")?,
            overflow: Overflow::new(&mut ebpf, sizes.overflow_entries)?,
            lost: Lost::new(boottime_ns()),
            switch: switch::Switch::new(&mut ebpf, plan)?,
            run_queue: None,
            counts_threads: plan.is_traced(),
            logger: EbpfLogger::init(&mut ebpf).map_err(unheard).ok(),
            ebpf,
            plan,
            carried,
            live: 0,
            self_test: SelfTestRun::default(),
            later: Vec::new(),
        };
        kernel.tell(0)?;
        Ok(kernel)
    }

    /// The plan that was loaded.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// A descriptor that becomes readable when the programs wake the reader (the ring is half full, or earlier).
    ///
    /// # Errors
    /// When the process cannot open a further descriptor.
    pub fn wake_fd(&self) -> io::Result<OwnedFd> {
        self.ring.wake_fd()
    }

    /// Whether the rights of this thread suffice for all that the agent does after its start: reading and writing maps, opening
    /// the iterator, reading the programs' statistics.
    pub fn rehearse(&mut self) -> bool {
        let opened = self.iterator.as_ref().map(TaskIterator::open).transpose();
        let mut statistics = SourceStatistics::default();
        opened.is_ok() && self.tell(0).is_ok() && self.describe(&mut statistics).is_ok()
    }

    /// Writes the control map: which generation takes overflow, and when the last pass began.
    fn tell(&mut self, pass_started_ns: u64) -> Result<(), Error> {
        let generation = self.overflow.generation();
        self.control.set(
            0,
            Wire(Control {
                pass_started_ns,
                generation,
            }),
            0,
        )?;
        Ok(())
    }

    /// Hands over all events since the last drain to `sink`, in their order. Returns `true` if records found the ring full, so
    /// that the next pass should come soon.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn drain(&mut self, sink: &mut impl FnMut(Found)) -> Result<bool, Error> {
        let now_ns = boottime_ns();
        let is_full = self.overflow.turn();
        let mut found = std::mem::take(&mut self.later);
        let mut merged = Ok(());
        if matches!(is_full, Ok(true)) {
            merged = self.merge_overflow(&mut found);
        }
        // Handed over even if the hash could not be read: the records are no longer in the ring.
        for (_, event) in found {
            self.self_test.check(&event);
            if let Some(run_queue) = &mut self.run_queue {
                run_queue.note(&event);
            }
            sink(Found::Event(event));
        }
        if !matches!(is_full, Ok(true)) {
            self.pass_on(now_ns, sink);
        }
        merged?;
        let is_full = is_full?;
        if is_full {
            self.overflow.drain_sums(self.carried, sink)?;
            if let Some(run_queue) = &mut self.run_queue {
                run_queue.forget_told();
            }
        }
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        Ok(is_full)
    }

    /// Hands over the events of the ring up to `now_ns`, one by one, without storing them. By then no record had gone to the
    /// hash, so no event has to wait for one of the hash.
    fn pass_on(&mut self, now_ns: u64, sink: &mut impl FnMut(Found)) {
        let Self {
            ring,
            self_test,
            run_queue,
            later,
            ..
        } = self;
        ring.read(self.carried, |(time_ns, event)| {
            if time_ns > now_ns {
                later.push((time_ns, event));
                return true;
            }
            self_test.check(&event);
            if let Some(run_queue) = run_queue {
                run_queue.note(&event);
            }
            sink(Found::Event(event));
            false
        });
    }

    /// Sorts the events of ring and hash by time, because the fork of a child may be in one and that of its parent in the
    /// other. Ring events after the exchange of generations wait for the next drain: the hash that the programs write now may
    /// hold earlier ones.
    fn merge_overflow(&mut self, found: &mut Vec<Timed>) -> Result<(), Error> {
        self.read_ring(found);
        let pass_started_ns = self.control.get(&0, 0)?.0.pass_started_ns;
        let turned_ns = boottime_ns();
        self.tell(pass_started_ns)?;
        overflow::wait_for_programs();
        self.read_ring(found);
        self.overflow.drain(self.carried, found)?;
        found.sort_by_key(|(time_ns, _)| *time_ns);
        let at = found.partition_point(|(time_ns, _)| *time_ns <= turned_ns);
        self.later = found.split_off(at);
        Ok(())
    }

    fn read_ring(&mut self, found: &mut Vec<Timed>) {
        self.ring.read(self.carried, |event| {
            found.push(event);
            false
        });
    }

    /// Reads all live processes through the task iterator. `started_ns`: the current time, nanoseconds since boot.
    ///
    /// # Errors
    /// When the kernel refuses the iterator or a read.
    pub fn pass(&mut self, started_ns: u64) -> io::Result<Pass> {
        self.begin_pass(started_ns)?;
        let mut snapshot = Snapshot::new(self.carried, self.live);
        snapshot.read(&mut self.tasks()?)?;
        let pass = snapshot.pass(started_ns);
        self.live = pass.processes.len();
        Ok(pass)
    }

    /// A file that returns records (`agent-common`) of all tasks, from the first one on.
    ///
    /// # Errors
    /// When the kernel refuses it, and in any tier but the iterator's.
    pub fn tasks(&self) -> io::Result<File> {
        let iterator = self.iterator.as_ref();
        let iterator = iterator.ok_or_else(|| io::Error::other("no iterator"))?;
        iterator.open()
    }

    /// Sets the start of the pass: the programs treat processes born later as not credited by any pass.
    ///
    /// # Errors
    /// When the control map cannot be written.
    pub fn begin_pass(&mut self, started_ns: u64) -> io::Result<()> {
        self.tell(started_ns).map_err(io::Error::other)
    }

    /// The on-CPU time of all processes in the map (switch tier).
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn run_times(&mut self) -> Result<RunTimes, Error> {
        self.switch.read()
    }

    /// Adds a process that the programs do not know to their map, with what it used so far (switch tier on tracepoints). `false`
    /// if the map is full, the process is in it already, or this is another tier.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn adopt(&mut self, sample: &crate::process::Sample) -> Result<bool, Error> {
        self.switch.adopt(sample)
    }

    /// Removes processes that are gone from the map of run times.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn forget(&mut self, gone: impl Iterator<Item = ProcessId>) -> Result<(), Error> {
        self.switch.forget(gone)
    }

    /// Whether run-queue latency is counted; [`Self::attribute`] does nothing otherwise.
    pub fn counts_by_group(&self) -> bool {
        self.run_queue.is_some()
    }

    /// Sets the group for which the waits of each process count from now on, by all groups, all live processes, and the comms
    /// whose group an exec decides. The caller calls it after each pass.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn attribute<'a>(
        &mut self,
        groups: impl Iterator<Item = u64>,
        processes: impl Iterator<Item = (ProcessId, Attribution)>,
        comms: impl Iterator<Item = (&'a [u8], Attribution)>,
        folds: &Folds,
    ) -> Result<(), Error> {
        match &mut self.run_queue {
            Some(run_queue) => run_queue.attribute(groups, processes, comms, folds),
            None => Ok(()),
        }
    }

    /// Forks a child that uses a known amount of CPU time, and reaps it. Its release record decides the self-test.
    pub fn begin_self_test(&mut self, now_ns: u64) {
        self.self_test = self_test::begin(now_ns);
    }

    /// The state of the self-test at `now_ns`; starts another attempt when one is due.
    pub fn self_test(&mut self, now_ns: u64) -> super::SelfTest {
        self.self_test.state(now_ns)
    }

    /// Whether the iterator's records lack `fact` on this kernel. The switch tier reads live processes from `/proc`, which has
    /// all facts that the iterator may lack, except the waits for a CPU.
    pub fn lacks(&self, fact: Fact) -> bool {
        self.plan.tier == Tier::Iterator && self.carried.lacks(fact)
    }

    /// Fills in the statistics of programs and maps.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn describe(&self, statistics: &mut SourceStatistics) -> Result<(), Error> {
        stats::describe(self, statistics)
    }
}

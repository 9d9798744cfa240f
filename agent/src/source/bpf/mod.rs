//! Kernel tiers: what is supported here, what was decided, and the programs themselves.
//!
//! In: the kernel's type information, records, the iterator's bytes. Out: [`Event`]s, sums by comm and passes. aya
//! appears in this folder only. Nothing here attributes anything to a group.

mod btf;
#[cfg(has_ebpf)]
#[cfg(test)]
mod btf_tests;
mod cause;
mod events;
mod examine;
mod fill;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod iterator;
mod load;
mod lost;
mod missed;
mod node;
mod offsets;
mod overflow;
mod pieces;
mod plan;
mod ring;
mod runqueue;
mod self_test;
mod slots;
mod snapshot;
mod stats;
mod support;
mod switch;
mod tracefs;
mod undisturbed;
mod visited;
mod wire;

pub use events::{Timed, from_ring};
pub use load::{Error, Sizes};
pub(super) use pieces::Pieces;
pub use plan::{Plan, Program, Request};
pub use snapshot::{Carried, Snapshot};
pub use support::{Obstacle, Support};
pub use switch::RunTimes;

use super::{Names, Statistics, Tier};
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
use examine::{ease, examine, shortcomings};
use iterator::TaskIterator;
use lost::Lost;
use overflow::Overflow;
use ring::Ring;
use runqueue::RunQueue;
use self_test::SelfTestRun;
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};
use wire::Wire;

/// One thing that a drain found.
#[derive(Debug)]
pub enum Found {
    /// About one process.
    Event(Event),
    /// About several that could not be told apart any more.
    Coarse(Coarse),
}

/// What was decided, and the running programs; `kernel` is `None` for the procfs tier.
#[derive(Debug)]
pub struct Start {
    /// The decision.
    pub plan: Plan,
    /// The programs.
    pub kernel: Option<Kernel>,
    /// Why something better was not chosen, best first; empty where the best plan works.
    pub warnings: Vec<String>,
}

/// Loads the best plan for `request` that works here. `obstacle` is what the caller already knows to be in the way.
///
/// # Errors
/// A tier was forced and cannot work; the message says why and what to do.
pub fn start(
    request: Request,
    obstacle: Option<Obstacle>,
    sizes: Sizes,
    page_bytes: u64,
) -> Result<Start, String> {
    if request == Request::Only(Tier::Procfs) {
        return Ok(procfs_only(sizes, Vec::new()));
    }
    let (support, mut layouts, raw) = examine(obstacle);
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
        if plan.rung.is_none() {
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
                    warnings.push(format!("{error}; creations of threads are not counted"));
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
                    _ => plans.retain(|plan| plan.rung.is_none()),
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

/// Why `status` (this thread's `/proc/thread-self/status`) does not allow kernel programs.
pub fn missing_capability(status: &str) -> Option<Obstacle> {
    support::missing_capability(status)
}

/// The running programs and their maps. Dropping it takes everything out of the kernel.
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
    /// Processes of the last pass: about as many are to be expected in the next.
    live: usize,
    self_test: SelfTestRun,
    switch: switch::Switch,
    /// `None` where it is not wanted, or cannot be had.
    run_queue: Option<RunQueue>,
    /// Whether the programs count the threads that begin.
    counts_threads: bool,
    /// What was read but belongs behind what the overflow hash will tell; at most one drain.
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
    let snapshot = Program::Snapshot;
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
    // What cannot be opened now would leave every pass without processes.
    iterator.open().map_err(refused("bpf_iter_create"))?;
    Ok(iterator)
}

/// The programs count as well without it.
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

    /// The decision it runs by.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// A descriptor that becomes readable when the ring is half full.
    ///
    /// # Errors
    /// When no further descriptor can be had.
    pub fn wake_fd(&self) -> io::Result<OwnedFd> {
        self.ring.wake_fd()
    }

    /// Whether what the agent does from its first pass on works with the rights that this thread has: reading and writing
    /// maps, opening the iterator, asking what the programs tell of themselves.
    pub fn rehearse(&mut self) -> bool {
        let opened = self.iterator.as_ref().map(TaskIterator::open).transpose();
        let mut statistics = Statistics::default();
        opened.is_ok() && self.tell(0).is_ok() && self.describe(&mut statistics).is_ok()
    }

    /// Tells the programs which generation takes overflow, and when the last pass began.
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

    /// Hands over all that has happened since the last drain, in its order. `Ok(true)`: records were lost or summed up,
    /// so the next pass should come soon.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn drain(
        &mut self,
        names: &mut Names,
        sink: &mut impl FnMut(Found),
    ) -> Result<bool, Error> {
        names.begin_drain();
        let now_ns = boottime_ns();
        let is_full = self.overflow.turn();
        let mut found = std::mem::take(&mut self.later);
        let mut merged = Ok(());
        if matches!(is_full, Ok(true)) {
            merged = self.merge_overflow(names, &mut found);
        }
        // Also when the rest could not be read: what is taken out of the ring is nowhere else.
        for (_, event) in found {
            self.self_test.check(&event);
            if let Some(run_queue) = &mut self.run_queue {
                run_queue.note(&event);
            }
            sink(Found::Event(event));
        }
        if !matches!(is_full, Ok(true)) {
            self.pass_on(now_ns, names, sink);
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

    /// Hands over what the ring tells of the time up to `now_ns`, record by record: thousands of them need no room. Nothing
    /// had come to the hash by then, so none of them has to wait for it.
    fn pass_on(&mut self, now_ns: u64, names: &mut Names, sink: &mut impl FnMut(Found)) {
        let Self {
            ring,
            self_test,
            run_queue,
            later,
            ..
        } = self;
        ring.read(self.carried, names, |(time_ns, event)| {
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

    /// Ring and hash have no order between them: a child's birth may be in one and its parent's in the other. What the
    /// ring tells of the time after the turn waits for the next drain, since the hash that is written now may tell of
    /// something before it.
    fn merge_overflow(&mut self, names: &mut Names, found: &mut Vec<Timed>) -> Result<(), Error> {
        self.read_ring(names, found);
        let pass_started_ns = self.control.get(&0, 0)?.0.pass_started_ns;
        let turned_ns = boottime_ns();
        self.tell(pass_started_ns)?;
        overflow::wait_for_programs();
        self.read_ring(names, found);
        self.overflow.drain(self.carried, names, found)?;
        found.sort_by_key(|(time_ns, _)| *time_ns);
        let at = found.partition_point(|(time_ns, _)| *time_ns <= turned_ns);
        self.later = found.split_off(at);
        Ok(())
    }

    fn read_ring(&mut self, names: &mut Names, found: &mut Vec<Timed>) {
        self.ring.read(self.carried, names, |event| {
            found.push(event);
            false
        });
    }

    /// Looks at all live processes through the task iterator. `started_ns`: now, nanoseconds since boot.
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

    /// A file that tells all tasks from the first one on, in the words of `agent-common`.
    ///
    /// # Errors
    /// When the kernel refuses it, and in another tier than the iterator's.
    pub fn tasks(&self) -> io::Result<File> {
        let iterator = self.iterator.as_ref();
        let iterator = iterator.ok_or_else(|| io::Error::other("no iterator"))?;
        iterator.open()
    }

    /// What was born from here on, no pass has credited.
    ///
    /// # Errors
    /// When the control map cannot be written.
    pub fn begin_pass(&mut self, started_ns: u64) -> io::Result<()> {
        self.tell(started_ns).map_err(io::Error::other)
    }

    /// On-CPU time of the processes that ran (switch tier).
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn run_times(&mut self) -> Result<RunTimes, Error> {
        self.switch.read()
    }

    /// Has the programs follow a process that they do not know, from what it has used up to now (switch tier on
    /// tracepoints). A full map says so.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn adopt(&mut self, sample: &crate::process::Sample) -> Result<bool, Error> {
        self.switch.adopt(sample)
    }

    /// Makes room in the map of run times: these processes are gone.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn forget(&mut self, gone: impl Iterator<Item = ProcessId>) -> Result<(), Error> {
        self.switch.forget(gone)
    }

    /// Whether [`Self::attribute`] is of any use.
    pub fn counts_by_group(&self) -> bool {
        self.run_queue.is_some()
    }

    /// Says for whom the waits of which process count from now on: all groups, all live processes, and the comms whose
    /// group is known at an exec. To be called after each pass.
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

    /// Forks a child of known work and reaps it; its record decides the self-test when it comes.
    pub fn begin_self_test(&mut self, now_ns: u64) {
        self.self_test = self_test::begin(now_ns);
    }

    /// What the self-test has found by `now_ns`.
    pub fn self_test(&mut self, now_ns: u64) -> super::SelfTest {
        self.self_test.state(now_ns)
    }

    /// Writes what the programs tell of themselves.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn describe(&self, statistics: &mut Statistics) -> Result<(), Error> {
        stats::describe(self, statistics)
    }
}

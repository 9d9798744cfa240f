//! Kernel tiers: what is supported here, what was decided, and the programs themselves.
//!
//! In: the kernel's type information, records, the iterator's bytes. Out: [`Event`]s, sums by comm and passes. aya
//! appears in this folder only. Nothing here attributes anything to a group.

mod btf;
mod events;
mod fill;
mod iterator;
mod load;
mod offsets;
mod overflow;
mod plan;
mod ring;
mod self_test;
mod snapshot;
mod stats;
mod support;
mod switch;
mod wire;

pub use events::{Timed, from_ring};
pub use load::{Error, Sizes};
pub use plan::{Plan, Program, Request};
pub use snapshot::{Carried, Snapshot};
pub use support::{Obstacle, Support};
pub use switch::RunTimes;

use super::{Names, Statistics, Tier};
use crate::{
    host::boottime_ns,
    process::{Coarse, Event, Pass},
};
use agent_common::{ABSENT, ARGV_NONE, ARGV_READ, Control, Layout, RSS_HELPER, RSS_PLAIN};
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use aya_log::EbpfLogger;
use iterator::TaskIterator;
use overflow::Overflow;
use ring::Ring;
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
        return Ok(Start {
            plan: Plan::PROCFS,
            kernel: None,
            warnings: Vec::new(),
        });
    }
    let (support, mut layout) = examine(obstacle);
    let mut plans = plan::candidates(request, &support);
    let mut warnings: Vec<String> = support.obstacle.iter().map(ToString::to_string).collect();
    if support.obstacle.is_none() && !support.task_iterator {
        warnings.push("this kernel has no task iterator; 5.8 or later has".to_owned());
    }
    let btf = if plans.iter().any(|plan| plan.rung.is_some()) {
        aya::Btf::from_sys_fs()
            .map_err(|error| warnings.push(error.to_string()))
            .ok()
    } else {
        None
    };
    while let Some(plan) = plans.first().copied() {
        let Some(btf) = btf.as_ref().filter(|_| plan.rung.is_some()) else {
            break;
        };
        match load::load(plan, &layout, sizes, btf)
            .and_then(|ebpf| Kernel::new(ebpf, plan, sizes, Carried::new(&layout, page_bytes)))
        {
            Ok(kernel) => {
                return Ok(Start {
                    plan,
                    kernel: Some(kernel),
                    warnings,
                });
            }
            Err(Error::Refused(program, error)) if without_helpers(&mut layout, program) => {
                warnings.push(format!(
                    "{}; trying it without helpers that lockdown takes away: the arguments of a process that is gone \
                     before a scrape are unknown then, and resident memory comes from /proc before 6.2",
                    Error::Refused(program, error)
                ));
            }
            Err(Error::Refused(program, error)) => {
                plans = plan::without(&plans, program);
                let next = plans
                    .first()
                    .map_or("nothing", |next| next.instead_of(plan));
                warnings.push(format!("{}; trying {next}", Error::Refused(program, error)));
            }
            Err(error) => {
                warnings.push(error.to_string());
                plans.retain(|plan| plan.rung.is_none());
            }
        }
    }
    if plans.contains(&Plan::PROCFS) {
        return Ok(Start {
            plan: Plan::PROCFS,
            kernel: None,
            warnings,
        });
    }
    Err(warnings.join("; "))
}

/// Takes from `layout` what needs helpers that read memory, if `refused` uses any and has them still.
fn without_helpers(layout: &mut Layout, refused: Program) -> bool {
    let uses_them = match refused {
        Program::Exec => layout.argv_access == ARGV_READ,
        Program::Snapshot => layout.rss_access == RSS_HELPER,
        _ => false,
    };
    if uses_them {
        layout.argv_access = ARGV_NONE;
        if layout.rss_access == RSS_HELPER {
            layout.rss_access = RSS_PLAIN;
            layout.rss_stride = ABSENT;
        }
    }
    uses_them
}

/// What this kernel supports, and where it keeps what.
fn examine(obstacle: Option<Obstacle>) -> (Support, Layout) {
    let known = if load::IS_BUILT {
        obstacle
    } else {
        Some(Obstacle::NotBuilt)
    };
    if let Some(obstacle) = known {
        return (Support::none(obstacle), Layout::ABSENT);
    }
    let refuse = |text: String| (Support::none(Obstacle::NoBtf(text)), Layout::ABSENT);
    let raw = match std::fs::read("/sys/kernel/btf/vmlinux") {
        Ok(raw) => raw,
        Err(error) => return refuse(error.to_string()),
    };
    match btf::Btf::parse(&raw) {
        Ok(btf) => Support::of(&btf),
        Err(error) => refuse(error.to_string()),
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
    control: Array<MapData, Wire<Control>>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    carried: Carried,
    /// Processes of the last pass: about as many are to be expected in the next.
    live: usize,
    self_test: SelfTestRun,
    switch: switch::Switch,
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
    TaskIterator::attach(fd.as_fd()).map_err(|error| Error::Refused(snapshot, error.into()))
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
            switch: switch::Switch::new(&mut ebpf)?,
            logger: EbpfLogger::init(&mut ebpf).ok(),
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
            sink(Found::Event(event));
        }
        if !matches!(is_full, Ok(true)) {
            self.pass_on(now_ns, names, sink);
        }
        merged?;
        let is_full = is_full?;
        if is_full {
            self.overflow.drain_sums(self.carried, sink)?;
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
            later,
            ..
        } = self;
        ring.read(self.carried, names, |(time_ns, event)| {
            if time_ns > now_ns {
                later.push((time_ns, event));
                return true;
            }
            self_test.check(&event);
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

    /// Makes room in the map of run times: these processes are gone.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn forget(
        &mut self,
        gone: impl Iterator<Item = crate::process::ProcessId>,
    ) -> Result<(), Error> {
        self.switch.forget(gone)
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

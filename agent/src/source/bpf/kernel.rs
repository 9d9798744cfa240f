//! The running programs and their maps, as the rest of the agent uses them: drains, passes, run times, self-test, statistics.
//!
//! In: a loaded plan. Out: events, passes, statistics. Dropping [`Kernel`] removes everything from the kernel.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use aya::{Btf, Ebpf};

use super::Found;
use super::attached::Attached;
use super::iterator::IteratorLink;
use super::load::{BpfError, Layouts, Sizes};
use super::lost::Lost;
use super::map_usage::MapUsage;
use super::network::Network;
use super::plan::Plan;
use super::program::KernelProgram;
use super::records::Records;
use super::request_offsets::NoRequests;
use super::requests::Requests;
use super::runqueue::{self, RunQueue};
use super::self_test::{self, SelfTestRun};
use super::snapshot::{Carried, Snapshot};
use super::socket_offsets::NoNetwork;
use super::switch::{RunTimes, Switch};
use crate::host::boottime_ns;
use crate::process::{
    AccountId, Attribution, Folds, NetworkReading, Pass, ProcessId, RequestReading, Sample,
};
use crate::source::{Fact, MapStatistics, NodeCounts, Origin, SelfTest, SourceStatistics, Tier};

/// The running programs and their maps. Dropping it removes everything from the kernel.
pub struct Kernel {
    attached: Attached,
    /// `None` in the switch tier.
    iterator: Option<IteratorLink>,
    records: Records,
    lost: Lost,
    carried: Carried,
    /// Number of processes in the last pass; the next one expects about as many.
    live: usize,
    self_test: SelfTestRun,
    switch: Switch,
    /// `None` if the collector is off, or this kernel cannot count run-queue latency.
    run_queue: Option<RunQueue>,
    /// `None` if the collector is off, or this kernel cannot run the network programs.
    network: Option<Network>,
    /// `None` if no group counts requests, or this kernel cannot run the request programs.
    requests: Option<Requests>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Kernel")
            .field("plan", &self.attached.plan)
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// `ebpf`: the object, with the programs of `plan` attached.
    pub(super) fn new(
        ebpf: Ebpf,
        plan: Plan,
        sizes: Sizes,
        carried: Carried,
    ) -> Result<Self, BpfError> {
        let mut attached = Attached::new(ebpf, plan);
        let iterator = attached.task_iterator()?;
        let records = Records::new(&mut attached.ebpf, sizes, carried)?;
        let lost = Lost::new(boottime_ns());
        let switch = Switch::new(&mut attached.ebpf, plan)?;
        attached.begin_logging();
        let mut kernel = Self {
            attached,
            iterator,
            records,
            lost,
            carried,
            live: 0,
            self_test: SelfTestRun::default(),
            switch,
            run_queue: None,
            network: None,
            requests: None,
        };
        kernel.records.write_control(0)?;
        Ok(kernel)
    }

    /// Attaches the programs that go beside those of the plan. Returns a warning for each one that does not work.
    pub(super) fn add_optional(&mut self, sizes: Sizes, btf: Option<&Btf>) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.attached.plan.needs_types()
            && let Err(error) = self.attached.add(KernelProgram::Thread, btf)
        {
            let loss = KernelProgram::Thread.loss().unwrap_or_default();
            warnings.push(format!("{error}; {loss}"));
        }
        if let Some(slots) = sizes.run_queue_slots
            && let Err(why) = self.add_run_queue(slots, btf)
        {
            warnings.push(runqueue::without(&why));
        }
        warnings
    }

    /// Begins to count run-queue latency.
    fn add_run_queue(&mut self, slots: u32, btf: Option<&Btf>) -> Result<(), String> {
        if self.attached.plan.is_traced() {
            return Err(
                "classic tracepoints do not show it; this needs the kernel's type information"
                    .to_owned(),
            );
        }
        let added = self
            .attached
            .add(KernelProgram::RunQueue, btf)
            .and_then(|()| RunQueue::new(&mut self.attached.ebpf, slots, boottime_ns()));
        self.run_queue = Some(added.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Begins to count the payload of sockets.
    pub(super) fn add_network(
        &mut self,
        owners: u32,
        layouts: &Layouts,
        btf: Option<&Btf>,
    ) -> Result<(), String> {
        let typed = btf.filter(|_| self.attached.plan.needs_types());
        let btf = typed.ok_or_else(|| NoNetwork::Untyped.to_string())?;
        self.network = Some(Network::load(owners, layouts, btf)?);
        Ok(())
    }

    /// Begins to count UDP, too, if sockets are counted.
    pub(super) fn add_udp(&mut self, btf: Option<&Btf>) -> Result<(), String> {
        match (&mut self.network, btf) {
            (Some(network), Some(btf)) => network.add_udp(btf),
            _ => Ok(()),
        }
    }

    /// Whether UDP is counted.
    pub fn counts_udp(&self) -> bool {
        self.network.as_ref().is_some_and(Network::counts_udp)
    }

    /// How the payload of sockets is counted; `None` if it is not.
    pub fn network_origin(&self) -> Option<Origin> {
        self.network.as_ref().map(Network::origin)
    }

    /// Looks at all sockets and returns their traffic; `None` if it is not counted. `now_ns`: the current time, nanoseconds since
    /// boot.
    ///
    /// # Errors
    /// When a map or an iterator cannot be read.
    pub fn network(&mut self, now_ns: u64) -> Result<Option<NetworkReading>, BpfError> {
        let network = self.network.as_mut();
        network.map(|network| network.read(now_ns)).transpose()
    }

    /// Whether the map of the traffic of sockets may be full before the next scrape.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn is_network_crowded(&self) -> Result<bool, BpfError> {
        self.network.as_ref().map_or(Ok(false), Network::is_crowded)
    }

    /// Removes the sums of processes that are gone and have no living socket.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn forget_network(
        &mut self,
        gone: impl IntoIterator<Item = ProcessId>,
    ) -> Result<(), BpfError> {
        match &mut self.network {
            Some(network) => network.forget(gone),
            None => Ok(()),
        }
    }

    /// Begins to count HTTP requests.
    pub(super) fn add_requests(
        &mut self,
        owners: u32,
        has_gunicorn: bool,
        layouts: &Layouts,
        btf: Option<&Btf>,
    ) -> Result<(), String> {
        let typed = btf.filter(|_| self.attached.plan.needs_types());
        let btf = typed.ok_or_else(|| NoRequests::Untyped.to_string())?;
        self.requests = Some(Requests::load(owners, has_gunicorn, layouts, btf)?);
        Ok(())
    }

    /// Whether HTTP requests are counted.
    pub fn counts_requests(&self) -> bool {
        self.requests.is_some()
    }

    /// Whether each of several responses in one send is counted.
    pub fn walks_responses(&self) -> bool {
        self.requests.as_ref().is_some_and(Requests::has_walk)
    }

    /// Returns the HTTP requests that each process has served; `None` if they are not counted.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn requests(&mut self) -> Result<Option<RequestReading>, BpfError> {
        self.requests.as_mut().map(Requests::read).transpose()
    }

    /// Takes the processes to which their parents have sent ABRT or KILL since the last call.
    ///
    /// # Errors
    /// When a map cannot be read or written.
    pub fn take_killed(&mut self) -> Result<Vec<ProcessId>, BpfError> {
        let requests = self.requests.as_mut();
        requests.map_or(Ok(Vec::new()), Requests::take_killed)
    }

    /// Removes the requests of processes that are gone, and sets which processes are not watched.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn watch_requests(
        &mut self,
        gone: impl IntoIterator<Item = ProcessId>,
        outsiders: impl Iterator<Item = (ProcessId, AccountId)>,
    ) -> Result<(), BpfError> {
        match &mut self.requests {
            Some(requests) => requests.watch(gone, outsiders),
            None => Ok(()),
        }
    }

    /// The plan that was loaded.
    pub fn plan(&self) -> Plan {
        self.attached.plan
    }

    /// A descriptor that becomes readable when the programs wake the reader (the ring is half full, or earlier).
    ///
    /// # Errors
    /// When the process cannot open a further descriptor.
    pub fn wake_fd(&self) -> io::Result<OwnedFd> {
        self.records.wake_fd()
    }

    /// Whether the rights of this thread suffice for all that the agent does after its start: reading and writing maps, opening
    /// the iterator, reading the programs' statistics.
    pub fn rehearse(&mut self) -> bool {
        let opened = self.iterator.as_ref().map(IteratorLink::open).transpose();
        let mut statistics = SourceStatistics::default();
        opened.is_ok()
            && self.records.write_control(0).is_ok()
            && self.network(boottime_ns()).is_ok()
            && self.requests().is_ok()
            && self.take_killed().is_ok()
            && self.watch_requests([], std::iter::empty()).is_ok()
            && self.describe(&mut statistics).is_ok()
    }

    /// Hands over all events since the last drain to `sink`, in their order. Returns `true` if records found the ring full, so
    /// that the next pass should come soon.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn drain(&mut self, sink: &mut impl FnMut(Found)) -> Result<bool, BpfError> {
        let Self {
            records,
            self_test,
            run_queue,
            ..
        } = self;
        let has_overflowed = records.drain(&mut |found| {
            if let Found::Event(event) = &found {
                self_test.check(event);
                if let Some(run_queue) = run_queue {
                    run_queue.note(event);
                }
            }
            sink(found);
        })?;
        if has_overflowed && let Some(run_queue) = run_queue {
            run_queue.forget_written();
        }
        self.attached.log_messages();
        Ok(has_overflowed)
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
        self.records
            .write_control(started_ns)
            .map_err(io::Error::other)
    }

    /// The on-CPU time of all processes in the map (switch tier).
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn run_times(&mut self) -> Result<RunTimes, BpfError> {
        self.switch.read()
    }

    /// Adds a process that the programs do not know to their map, with its use so far (switch tier on tracepoints). `false` if
    /// the map is full, the process is in it already, or this is another tier.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn adopt(&mut self, sample: &Sample) -> Result<bool, BpfError> {
        self.switch.adopt(sample)
    }

    /// Removes processes that are gone from the map of run times.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn forget(&mut self, gone: impl Iterator<Item = ProcessId>) -> Result<(), BpfError> {
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
    ) -> Result<(), BpfError> {
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
    pub fn self_test(&mut self, now_ns: u64) -> SelfTest {
        self.self_test.state(now_ns)
    }

    /// Whether the iterator's records lack `fact` on this kernel. The switch tier reads live processes from `/proc`, which has
    /// all facts that the iterator may lack, except the waits for a CPU.
    pub fn lacks(&self, fact: Fact) -> bool {
        self.attached.plan.tier == Tier::Iterator && self.carried.lacks(fact)
    }

    /// Fills in the statistics of programs and maps.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn describe(&self, statistics: &mut SourceStatistics) -> Result<(), BpfError> {
        let plan = self.attached.plan;
        statistics.tier = plan.tier;
        statistics.exit_hook = plan.exit_hook;
        let network = self.network.as_ref().map(Network::programs);
        let requests = self.requests.as_ref().map(Requests::programs);
        let others: Vec<_> = network.into_iter().chain(requests).collect();
        statistics.programs = self.attached.statistics(&others);
        statistics.maps = self.maps();
        let unwritten = self.attached.unwritten_records()?;
        self.records.describe(unwritten, statistics)?;
        statistics.lost_cpu_ns = self.lost.bound_ns();
        statistics.switch_map_full = self.switch.full()?;
        if plan.is_traced() {
            statistics.switch_unseen_ns = Some(self.switch.unseen_ns()?);
        }
        let run_queue = self.run_queue.as_ref();
        statistics.run_queue = run_queue.map(RunQueue::statistics).transpose()?;
        let network = self.network.as_ref();
        statistics.udp_missed = network.map(Network::udp_missed).transpose()?.flatten();
        Ok(())
    }

    fn maps(&self) -> Vec<MapStatistics> {
        let mut usages = self.records.usages().to_vec();
        if self.attached.plan.tier == Tier::Switch {
            usages.push(&self.switch.usage);
        }
        let own = usages.into_iter().map(MapUsage::statistics);
        own.chain(self.network.as_ref().map(Network::usage))
            .chain(self.requests.iter().flat_map(Requests::usages))
            .collect()
    }

    /// The programs' totals of the whole node.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn node_counts(&self) -> Result<NodeCounts, BpfError> {
        let node = self.records.node()?;
        let plan = self.attached.plan;
        let counts_threads = plan.is_traced() || self.attached.contains(KernelProgram::Thread);
        Ok(NodeCounts {
            processes: node.forks,
            threads: counts_threads.then_some(node.threads),
            lost_cpu_ns: self.lost.bound_ns(),
        })
    }

    /// Updates the bound of lost CPU time at the end of a pass that credited all live processes. Calls `online_cpus` only if
    /// there was a loss.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn end_pass(
        &mut self,
        started_ns: u64,
        online_cpus: impl FnOnce() -> Option<u64>,
    ) -> Result<(), BpfError> {
        let lifetimes_ns = self.records.node()?.lost_runtime_ns;
        let cpus = match self.lost.is_news(lifetimes_ns) {
            true => online_cpus(),
            false => None,
        };
        self.lost
            .end_pass(lifetimes_ns, (started_ns, boottime_ns()), cpus);
        Ok(())
    }
}

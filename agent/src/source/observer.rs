//! One interface to the node, the same for all tiers. The data show which facts are absent, so callers need not know which tier
//! runs.
//!
//! In: the kernel programs (if any), the reader of `/proc`, names, and the reader of proportional memory. Out: passes, events
//! of drains, facts of single processes, statistics. Keeping state about processes is left to the process table.

use std::io;
use std::os::fd::OwnedFd;

use super::bpf::{BpfError, Found, Kernel, Plan};
use super::hidden::Hidden;
use super::procfs::{self, Procfs, ProcfsError};
use super::split::SplitCorrection;
use super::switch::SwitchPass;
use super::{
    Fact, NamesById, NodeCounts, NodeReading, Origin, SelfTest, Smaps, SourceError,
    SourceStatistics, Tier,
};
use crate::process::{
    AccountId, Facts, Memory, NetworkReading, Pass, Probe, ProcessId, RequestReading,
};

/// How often the totals of the node are read again at most, because the programs counted something meanwhile.
const NODE_READINGS: u32 = 4;

/// The sources of this node, combined as the plan requires.
#[derive(Debug)]
pub struct Observer {
    kernel: Option<Kernel>,
    procfs: Procfs,
    names: NamesById,
    smaps: Option<Smaps>,
    switch: SwitchPass,
    hidden: Hidden,
    /// Set if the iterator's split of CPU time is unreliable (CPUs without a tick).
    split: Option<SplitCorrection>,
    /// Whether the collector of run-queue latency is on.
    wants_run_queue: bool,
    /// Whether the collector of network accounting is on.
    wants_network: bool,
    /// Whether it counts UDP, too.
    wants_udp: bool,
    /// Whether a group counts HTTP requests.
    wants_requests: bool,
    /// Number of failed passes through the kernel programs.
    failed: u64,
}

impl Observer {
    /// `kernel`: the programs, if the plan has any. `smaps`: the reader of proportional memory, if it is on.
    pub fn new(
        kernel: Option<Kernel>,
        procfs: Procfs,
        names: NamesById,
        smaps: Option<Smaps>,
    ) -> Self {
        let plan = kernel.as_ref().map_or(Plan::PROCFS, Kernel::plan);
        let tickless = procfs.host().nohz_full();
        let split = tickless
            .filter(|_| plan.tier == Tier::Iterator)
            .map(|cpus| {
                log::info!("CPUs {cpus} run without a tick; the agent takes the split of CPU time from /proc");
                SplitCorrection::default()
            });
        Self {
            kernel,
            procfs,
            names,
            smaps,
            switch: SwitchPass::default(),
            hidden: Hidden::default(),
            split,
            wants_run_queue: false,
            wants_network: false,
            wants_udp: false,
            wants_requests: false,
            failed: 0,
        }
    }

    /// Sets whether the collector of run-queue latency is on.
    pub fn with_run_queue(mut self, is_wanted: bool) -> Self {
        self.wants_run_queue = is_wanted;
        self
    }

    /// Sets whether the collector of network accounting is on, and whether it counts UDP, too.
    pub fn with_network(mut self, is_wanted: bool, wants_udp: bool) -> Self {
        self.wants_network = is_wanted;
        self.wants_udp = wants_udp;
        self
    }

    /// Sets whether a group counts HTTP requests.
    pub fn with_requests(mut self, is_wanted: bool) -> Self {
        self.wants_requests = is_wanted;
        self
    }

    /// Whether the request programs were to be loaded at the start.
    pub fn wants_requests(&self) -> bool {
        self.wants_requests
    }

    /// The plan that runs.
    pub fn plan(&self) -> Plan {
        self.kernel.as_ref().map_or(Plan::PROCFS, Kernel::plan)
    }

    /// A descriptor that becomes readable when records should be drained; `None` without kernel programs.
    ///
    /// # Errors
    /// When the process cannot open a further descriptor.
    pub fn wake_fd(&self) -> io::Result<Option<OwnedFd>> {
        self.kernel.as_ref().map(Kernel::wake_fd).transpose()
    }

    /// Begins the self-test of the kernel programs. `now_ns`: the current time, nanoseconds since boot, as everywhere here.
    pub fn begin_self_test(&mut self, now_ns: u64) {
        if let Some(kernel) = &mut self.kernel {
            kernel.begin_self_test(now_ns);
        }
    }

    /// The state of the self-test.
    pub fn self_test(&mut self, now_ns: u64) -> SelfTest {
        self.kernel
            .as_mut()
            .map_or(SelfTest::None, |kernel| kernel.self_test(now_ns))
    }

    /// Reads all live processes. `in_no_group` returns the start time of a process by its id, if the process is in no group and
    /// stays so; the procfs tier reads only `stat` of such a process.
    ///
    /// # Errors
    /// When the processes cannot be listed, or a kernel map cannot be read or written.
    pub fn pass(
        &mut self,
        now_ns: u64,
        in_no_group: impl Fn(u32) -> Option<u64>,
    ) -> Result<Pass, SourceError> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(self.procfs.pass_with(in_no_group)?);
        };
        self.procfs.begin_pass();
        let mut pass = if kernel.plan().tier == Tier::Switch {
            self.switch.pass(kernel, &mut self.procfs, now_ns)
        } else {
            kernel.pass(now_ns).map_err(SourceError::Iterator)
        };
        if let (Ok(pass), Some(split)) = (&mut pass, &mut self.split) {
            split.apply(pass, &mut self.procfs);
        }
        if let (Ok(pass), Tier::Iterator) = (&mut pass, kernel.plan().tier) {
            self.hidden.complete(pass, &mut self.procfs);
        }
        let pass = pass.and_then(|pass| {
            let procfs = &mut self.procfs;
            let online_cpus = || Some(procfs.read_node()?.cpus.len() as u64);
            kernel.end_pass(pass.started_ns, online_cpus)?;
            Ok(pass)
        });
        self.failed += u64::from(pass.is_err());
        pass
    }

    /// The totals of the node by `/proc` and by the kernel programs; `None` if either cannot be read. `/proc` is read again if
    /// the programs counted something meanwhile, so that both are of the same moment; on a node that creates processes all the
    /// time, a few readings must do.
    pub fn node(&mut self) -> Option<(NodeReading, Option<NodeCounts>)> {
        let mut before = self.node_counts().ok()?;
        let mut node = self.procfs.read_node()?;
        for _ in 0..NODE_READINGS {
            let after = self.node_counts().ok()?;
            if before == after {
                break;
            }
            before = after;
            node = self.procfs.read_node()?;
        }
        Some((node, before))
    }

    fn node_counts(&self) -> Result<Option<NodeCounts>, BpfError> {
        self.kernel.as_ref().map(Kernel::node_counts).transpose()
    }

    /// Hands over the events since the last drain. Returns `true` if records found the ring full, so that a pass should come
    /// soon.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn drain(&mut self, sink: &mut impl FnMut(Found)) -> Result<bool, SourceError> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(false);
        };
        let names = &mut self.names;
        names.begin_drain();
        let has_overflowed = kernel.drain(&mut |mut found| {
            if let Found::Event(event) = &mut found {
                names.complete(event);
            }
            sink(found);
        })?;
        Ok(has_overflowed)
    }

    /// The facts of a live process, from `/proc`, with at most `argv_bytes` bytes of arguments.
    ///
    /// # Errors
    /// When the process is gone, its id belongs to another process by now, or it cannot be read.
    pub fn facts(&mut self, id: ProcessId, argv_bytes: usize) -> Result<Facts, ProcfsError> {
        let shown = self.switch.shown(id);
        let facts = self
            .procfs
            .facts_within(id.tgid, Some(shown.start_ns), argv_bytes)?;
        Ok(Facts {
            start_ns: id.start_ns,
            ..facts
        })
    }

    /// The facts of a live process that can be read although some of its files do not answer; `None` if it is gone.
    pub fn brief_facts(&mut self, id: ProcessId) -> Option<Facts> {
        self.procfs.brief_facts(id)
    }

    /// Counts a live process that `/proc` does not show as a read error.
    pub fn count_concealed(&mut self, id: ProcessId) {
        self.procfs.count_concealed(id.tgid);
    }

    /// Begins an answer that shows single processes: slow command lines get a new time budget.
    pub fn begin_view(&mut self) {
        self.procfs.begin_view();
    }

    /// The facts of a live process that the page shows, from `/proc`.
    ///
    /// # Errors
    /// When the process is gone, its id belongs to another process by now, or it cannot be read.
    pub fn appearance(
        &mut self,
        id: ProcessId,
        wants_argv: bool,
    ) -> Result<procfs::Appearance, ProcfsError> {
        self.procfs.appearance(self.switch.shown(id), wants_argv)
    }

    /// Sets whether facts include the working directory, from now on.
    pub const fn want_cwd(&mut self, is_wanted: bool) {
        self.procfs.want_cwd(is_wanted);
    }

    /// Sets whether facts include the names of the pod, from now on.
    pub const fn want_pods(&mut self, is_wanted: bool) {
        self.procfs.want_pods(is_wanted);
    }

    /// Remembers the cgroup paths and the container of the cgroup `cgroup_id`, from the facts of a process that lives in it.
    pub fn learn(&mut self, cgroup_id: u64, facts: &Facts) {
        self.names.learn(cgroup_id, facts, self.procfs.node());
    }

    /// Like [`Self::learn`], for a process that may have been moved since its exec: the agent learns from it only if it knows
    /// nothing of the cgroup.
    pub fn learn_first(&mut self, cgroup_id: u64, facts: &Facts) {
        if self.names.is_unknown(cgroup_id) {
            self.learn(cgroup_id, facts);
        }
    }

    /// The kernel programs, if they count run-queue latency by groups.
    pub fn counts_by_group(&mut self) -> Option<&mut Kernel> {
        self.kernel
            .as_mut()
            .filter(|kernel| kernel.counts_by_group())
    }

    /// Looks at all sockets, and reads their traffic. `None` if the kernel programs do not count it.
    ///
    /// # Errors
    /// When a kernel map or an iterator cannot be read.
    pub fn network(&mut self, now_ns: u64) -> Result<Option<NetworkReading>, SourceError> {
        match &mut self.kernel {
            Some(kernel) => Ok(kernel.network(now_ns)?),
            None => Ok(None),
        }
    }

    /// Whether the kernel's map of the traffic of sockets may be full before the next scrape.
    pub fn is_network_crowded(&self) -> bool {
        let crowded = self.kernel.as_ref().map(Kernel::is_network_crowded);
        // If the map cannot be read, the next pass says so.
        crowded.is_some_and(|crowded| crowded.unwrap_or(false))
    }

    /// Removes the sums of these processes from the kernel's map. None of them may have a living socket.
    pub fn forget_network(&mut self, owners: Vec<ProcessId>) {
        if let Some(kernel) = &mut self.kernel
            && let Err(error) = kernel.forget_network(owners)
        {
            // They stay in the map until the next reading offers them again.
            log::warn!("sums of sockets could not be removed: {error}");
        }
    }

    /// Reads the HTTP requests that processes have served. `None` if the kernel programs do not count them.
    ///
    /// # Errors
    /// When a kernel map cannot be read.
    pub fn requests(&mut self) -> Result<Option<RequestReading>, SourceError> {
        match &mut self.kernel {
            Some(kernel) => Ok(kernel.requests()?),
            None => Ok(None),
        }
    }

    /// Takes the processes to which their parents have sent ABRT or KILL since the last call.
    ///
    /// # Errors
    /// When a kernel map cannot be read or written.
    pub fn take_killed(&mut self) -> Result<Vec<ProcessId>, SourceError> {
        match &mut self.kernel {
            Some(kernel) => Ok(kernel.take_killed()?),
            None => Ok(Vec::new()),
        }
    }

    /// Removes the counts of processes that are `gone`, and sets the processes whose requests are not counted.
    pub fn watch_requests(
        &mut self,
        gone: Vec<ProcessId>,
        outsiders: impl Iterator<Item = (ProcessId, AccountId)>,
    ) {
        if let Some(kernel) = &mut self.kernel
            && let Err(error) = kernel.watch_requests(gone, outsiders)
        {
            // They stay in the map, or are watched, until the next reading.
            log::warn!(
                "cannot set which processes the request programs watch: {error}; the next reading tries again"
            );
        }
    }

    /// Begins a scrape: the readers of proportional memory get a new budget.
    pub fn begin_scrape(&mut self) {
        if let Some(smaps) = &mut self.smaps {
            smaps.allow();
        }
    }

    /// The reader of proportional memory, if it is on.
    pub fn smaps(&mut self) -> Option<&mut Smaps> {
        self.smaps.as_mut()
    }

    /// The statistics of all sources.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn statistics(&mut self, now_ns: u64) -> Result<SourceStatistics, SourceError> {
        let mut statistics = self.procfs.statistics();
        statistics.scrape_errors += self.failed;
        if let Some(kernel) = &mut self.kernel {
            statistics.self_test = kernel.self_test(now_ns);
            let shows_all = kernel.plan().tier != Tier::Iterator;
            statistics.hidden = (!shows_all).then(|| self.hidden.statistics());
            kernel.describe(&mut statistics)?;
        }
        statistics.smaps = self.smaps.as_mut().map(Smaps::statistics);
        statistics.facts = self.origins(&statistics);
        Ok(statistics)
    }

    /// The origin of each fact.
    fn origins(&self, statistics: &SourceStatistics) -> Vec<(Fact, Origin)> {
        let network = self.kernel.as_ref().and_then(Kernel::network_origin);
        let is_lacking = |fact| match fact {
            Fact::CpuSplit => self.split.is_some(),
            Fact::Proportional => self.smaps.is_none(),
            Fact::RunQueueLatency => statistics.run_queue.is_none(),
            Fact::Network => network.is_none(),
            Fact::Udp => !self.kernel.as_ref().is_some_and(Kernel::counts_udp),
            Fact::Http => !self.kernel.as_ref().is_some_and(Kernel::counts_requests),
            Fact::HttpPipelines => !self.kernel.as_ref().is_some_and(Kernel::walks_responses),
            _ => self
                .kernel
                .as_ref()
                .is_some_and(|kernel| kernel.lacks(fact)),
        };
        let is_wanted = |fact: &Fact| match fact {
            Fact::RunQueueLatency => self.wants_run_queue,
            Fact::Network => self.wants_network,
            Fact::Udp => self.wants_udp,
            Fact::Http | Fact::HttpPipelines => self.wants_requests,
            _ => true,
        };
        let facts = Fact::ALL.iter().copied();
        facts
            .filter(is_wanted)
            .map(|fact| {
                let SourceStatistics {
                    tier, exit_hook, ..
                } = *statistics;
                let origin = fact.origin(tier, exit_hook, is_lacking(fact));
                let own = network.filter(|_| fact == Fact::Network);
                (fact, own.unwrap_or(origin))
            })
            .collect()
    }
}

impl Probe for Observer {
    fn open_files(&mut self, tgid: u32) -> Option<u64> {
        self.procfs.open_files(tgid).ok()
    }

    fn wchan(&mut self, tgid: u32, tid: u32) -> Option<String> {
        self.procfs.wchan(tgid, tid).ok().flatten()
    }

    fn memory(&mut self, tgid: u32) -> Option<Memory> {
        self.procfs.memory(tgid).ok()
    }
}

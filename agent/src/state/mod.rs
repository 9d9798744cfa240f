//! The agent's state, and the one thread that owns it.
//!
//! ```text
//! other threads                    thread headcount-state
//! Handle --Question(reply)--> actor --one at a time--> AgentState
//!        <------answer-------          ^
//!                   ring, slow timer --+
//!
//! AgentState: Pipeline --groups--> collectors --> a part of the exposition
//! Pipeline:   observer --passes, records--> table --bookings--> grouper
//! ```
//!
//! Nothing here runs by itself: questions from [`handle::Handle`], a half-full ring and a slow timer call it (`actor.rs`). This
//! file gives the order of the steps of a scrape (`AgentState::scrape`) and of a drain (`AgentState::drain`). What
//! a step does stands in the module that it calls.

pub(crate) mod actor;
mod balance;
mod budget;
mod candidates;
mod classification;
mod concealed;
mod crowded;
mod early;
mod gunicorn;
pub mod handle;
mod health;
mod network;
mod overview;
pub mod reload;
mod requests;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use balance::Balance;
use budget::Deferred;
use candidates::Publication;
use handle::{Health, Overview, Processes};
use health::{HealthNotes, PassNotes};
use reload::Configuration;

use crate::collector::{Build, CollectedPart, Collectors, ServingStatistics, View};
use crate::config::logging::Logger;
use crate::group::{Classifier, Group, Grouper};
use crate::gunicorn::GunicornWatch;
use crate::host::{Host, monotonic_ns};
use crate::process::{Pass, ProcessId, Table};
use crate::sandbox::Sandbox;
use crate::source::bpf::{Found, Plan};
use crate::source::{Observer, SelfTest, SourceError, SourceStatistics};
use crate::targets::board::Board;

/// All state of the agent.
pub(crate) struct AgentState {
    pipeline: Pipeline,
    configuration: Configuration,
    /// Processes with long arguments that wait for a later pass to get a group.
    deferred: Deferred<ProcessId>,
    /// `None` where `/proc` does not show all processes of this machine.
    balance: Option<Balance>,
    health: HealthNotes,
    options: Options,
    output: Output,
}

/// The sources of the node, and the agent's knowledge of its processes and groups.
struct Pipeline {
    host: Host,
    observer: Observer,
    table: Table,
    grouper: Grouper,
    publication: Publication,
    /// Follows Gunicorn; `None` if it is off, or no group counts HTTP requests.
    gunicorn: Option<GunicornWatch>,
    notes: PassNotes,
}

/// The settings of the flags for passes and the page.
pub(crate) struct Options {
    /// Whether metrics of threads by name are wanted.
    pub(crate) threads: bool,
    /// Age up to which processes in no group are checked again; `None`: never.
    pub(crate) recheck: Option<Duration>,
    /// Whether the applications of Gunicorn are wanted, where requests are counted.
    pub(crate) wants_gunicorn: bool,
    /// Whether the page may show command lines.
    pub(crate) shows_cmdline: bool,
    /// Where candidates for targets are published; `None` without a kind of target.
    pub(crate) board: Option<Arc<Board>>,
}

/// The writer of the state's part of an exposition, and the data that this part shows beside the state.
pub(crate) struct Output {
    pub(crate) collectors: Collectors,
    /// Counts the log lines that it suppresses.
    pub(crate) logger: &'static Logger,
    /// Records which rights the agent has given up.
    pub(crate) sandbox: Arc<Sandbox>,
}

/// Version and build of this binary.
pub(crate) const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    revision: env!("HEADCOUNT_REVISION"),
    rustversion: env!("HEADCOUNT_RUSTC"),
    target: env!("HEADCOUNT_TARGET"),
};

impl AgentState {
    /// Takes the first pass: the totals it reads are the baseline. `shortcomings`: why no better tier was chosen, if the
    /// operator left the choice to the agent.
    pub(crate) fn start(
        host: Host,
        observer: Observer,
        grouper: Grouper,
        configuration: Configuration,
        options: Options,
        output: Output,
        shortcomings: Vec<String>,
    ) -> Self {
        let mut pipeline = Pipeline::new(host, observer, grouper, &options);
        let scrapes = configuration.classifier.scrapes();
        pipeline.publication.scrape(scrapes);
        let mut state = Self {
            balance: Balance::of(&pipeline.host),
            pipeline,
            configuration,
            deferred: Deferred::default(),
            health: HealthNotes::new(shortcomings),
            options,
            output,
        };
        state.pipeline.observer.begin_scrape();
        state.observe();
        state
    }

    /// The tier by which processes are accounted for, and the hook that brings final totals.
    pub(crate) fn plan(&self) -> Plan {
        self.pipeline.observer.plan()
    }

    /// The descriptor that becomes readable when records should be drained.
    pub(crate) fn wake_fd(&self) -> io::Result<Option<OwnedFd>> {
        self.pipeline.observer.wake_fd()
    }

    /// Whether the self-test still waits for its record.
    pub(crate) fn is_self_test_pending(&mut self) -> bool {
        let now_ns = self.pipeline.host.now_ns();
        self.pipeline.observer.self_test(now_ns) == SelfTest::Pending
    }

    /// Takes a pass and writes the state's part of an exposition.
    pub(crate) fn scrape(&mut self) -> CollectedPart {
        self.pipeline.observer.begin_scrape();
        let is_seen = self.observe().is_some();
        if is_seen {
            let Pipeline { table, grouper, .. } = &mut self.pipeline;
            grouper.forget_empty(table.present());
        }
        let statistics = self.statistics();
        self.health.note_scrape(statistics);
        let Pipeline { table, grouper, .. } = &self.pipeline;
        // As in process-exporter: if the processes cannot be listed, no groups are shown.
        let groups: &[Group] = if is_seen { grouper.groups() } else { &[] };
        let view = View {
            groups,
            processes: &table.statistics(),
            source: self.health.last_scrape(),
            group_statistics: &grouper.statistics(),
            gunicorn: self.pipeline.gunicorn.as_ref().map(GunicornWatch::view),
            serving: &ServingStatistics::default(),
            reloads: &self.configuration.reloads.statistics(),
            sandbox: &self.output.sandbox.steps(),
            build: &BUILD,
            boot_time_seconds: self.pipeline.host.boot_time as f64,
            log_lines_suppressed: self.output.logger.suppressed(),
        };
        self.output.collectors.collect(&view)
    }

    /// Takes a pass. Returns `None` if it failed.
    fn observe(&mut self) -> Option<Pass> {
        let since_ns = match self.options.recheck {
            // Older processes are not checked again.
            Some(limit) => self.pipeline.notes.recheck_since_ns(limit),
            None => u64::MAX,
        };
        self.observe_since(since_ns)
    }

    /// As [`Self::observe`], but reads everything of those processes in no group that were born at `since_ns` or later.
    fn observe_since(&mut self, since_ns: u64) -> Option<Pass> {
        let pipeline = &mut self.pipeline;
        pipeline.notes.error = None;
        pipeline.follow_clock();
        // Before the pass: each process that has a sum here is known afterwards, because the pass sees it or its records are
        // drained.
        let network = pipeline.read_network();
        let requests = pipeline.read_requests();
        let pass = pipeline.pass(since_ns);
        // The node's reading belongs to this moment: processes were read just before, and the records up to it are drained
        // next.
        let node = self.balance.as_ref().and_then(|_| pipeline.observer.node());
        // The records drained now are older than the pass. None are drained before the first pass: the table knows no process
        // yet.
        if pipeline.notes.last_ns.is_some() {
            pipeline.drain();
        }
        let pass = match pass {
            Ok(pass) => pass,
            Err(error) => {
                log::error!("the pass over the processes failed: {error}");
                pipeline.notes.error = Some(error.to_string());
                return None;
            }
        };
        pipeline.notes.unread = pass.unread.len();
        let births = balance::births(node.as_ref(), pipeline);
        pipeline.table.observe(&pass, &mut pipeline.grouper);
        if let (Some(balance), Some(node)) = (&mut self.balance, &node) {
            balance.note(node, births, pipeline);
        }
        if let Some(limit) = self.options.recheck {
            // As in process-exporter: a process that matched nothing is remembered, and is not checked again once it is older
            // than the limit at a pass.
            let since_ns = pipeline.notes.recheck_since_ns(limit);
            pipeline.reconsider(since_ns);
        }
        pipeline.notes.last_ns = Some(pass.started_ns);
        classification::classify(pipeline, &mut self.deferred, &pass);
        pipeline.grouper.settle();
        if let Some(network) = network {
            pipeline.book_network(&network);
        }
        pipeline.book_requests(requests.as_ref());
        pipeline.follow_gunicorn(&pass, requests.as_ref());
        pipeline.refresh(&pass);
        pipeline.read_proportional();
        pipeline.grouper.measure(pipeline.table.live());
        if self.options.threads {
            pipeline
                .grouper
                .measure_threads(pipeline.table.live_threads(&pass));
        }
        pipeline.attribute();
        pipeline.publish();
        self.health.note_groups(&pipeline.grouper);
        self.configuration.log_template_failures();
        Some(pass)
    }

    /// Drains the waiting records, and reads processes with incomplete exec records. Takes a pass, too, if a record found the
    /// ring full, because the values of single processes may be old then, if the table has grown much, and if many processes have
    /// got a socket: the pass after it frees the places of those that have ended.
    pub(crate) fn drain(&mut self) {
        let needs_pass = self.pipeline.drain() || early::read_incomplete(&mut self.pipeline);
        if needs_pass || self.pipeline.observer.is_network_crowded() {
            self.observe();
        }
    }

    /// Reads the configuration file anew and regroups. On an error nothing changes; the error says why.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        let result = self.try_reload();
        self.configuration.reloads.note(result)
    }

    fn try_reload(&mut self) -> Result<(), String> {
        let Some(path) = self.configuration.reloads.path() else {
            return Ok(());
        };
        let loaded = reload::load_again(path)?;
        self.configuration.refuse_other_fan_in(&loaded)?;
        let classifier = loaded
            .classifier
            .with_all_requests(self.configuration.classifier.counts_all_requests());
        requests::refuse_late(&classifier, &self.pipeline)?;
        // Reads all processes in full: any process may get a group.
        let Some(pass) = self.observe_since(0) else {
            let cause = self.pipeline.notes.error.as_deref().unwrap_or_default();
            return Err(format!("the pass over the processes failed: {cause}"));
        };
        self.regroup(classifier, &pass);
        Ok(())
    }

    fn regroup(&mut self, classifier: Classifier, pass: &Pass) {
        let pipeline = &mut self.pipeline;
        self.configuration.replace(classifier, pipeline);
        let Pipeline { table, grouper, .. } = &mut *pipeline;
        for account in table.reclassify(|account| grouper.is_outdated(account)) {
            grouper.undecide(account);
        }
        classification::classify(pipeline, &mut self.deferred, pass);
        pipeline.grouper.settle();
        self.configuration.log_template_failures();
    }

    /// The answer for `/health`.
    pub(crate) fn health(&mut self) -> Health {
        let now = self.statistics();
        let grouper = &self.pipeline.grouper;
        self.health.note_groups(grouper);
        let mut reasons = self.health.shortcomings().to_vec();
        reasons.extend(self.pipeline.notes.reasons());
        reasons.extend(self.deferred.reason());
        reasons.extend(self.output.collectors.reason());
        reasons.extend(self.configuration.reloads.reason());
        reasons.extend(self.health.reasons(&now, grouper.is_full()));
        Health::of(reasons)
    }

    /// Takes a pass for the page. It is no scrape: no group is forgotten, and readings beside the pass get no new budget.
    pub(crate) fn overview(&mut self) -> Overview {
        self.observe();
        let statistics = self.statistics();
        let health = self.health();
        let shows_cmdline = self.options.shows_cmdline;
        overview::overview(&self.pipeline, &statistics, health, shows_cmdline)
    }

    /// The processes of a group as the last pass saw them; `None` if there is no such group.
    pub(crate) fn processes(&mut self, group: u64) -> Option<Processes> {
        let classifier = &self.configuration.classifier;
        let shows_cmdline = self.options.shows_cmdline;
        overview::processes(&mut self.pipeline, classifier, group, shows_cmdline)
    }

    /// The statistics of the sources; those of the last scrape if the kernel programs' counts cannot be read.
    fn statistics(&mut self) -> SourceStatistics {
        match self.pipeline.statistics() {
            Ok(mut statistics) => {
                if let Some(balance) = &self.balance {
                    statistics.balances = balance.sides();
                }
                statistics
            }
            Err(error) => {
                log::error!("the kernel programs' counts cannot be read: {error}");
                self.health.last_scrape().clone()
            }
        }
    }
}

impl Pipeline {
    /// Counting begins now.
    fn new(host: Host, mut observer: Observer, grouper: Grouper, options: &Options) -> Self {
        // The self-test runs before counting begins, so that its child processes do not count as load of this machine.
        observer.begin_self_test(host.now_ns());
        let began_ns = host.now_ns();
        let wants_gunicorn = options.wants_gunicorn && observer.wants_requests();
        Self {
            host,
            observer,
            gunicorn: wants_gunicorn.then(|| GunicornWatch::new(began_ns)),
            table: Table::new(began_ns),
            grouper,
            publication: Publication::on(options.board.clone()),
            notes: PassNotes::new(began_ns),
        }
    }

    /// Accounting uses monotonic clocks only; after a step of the wall clock only times of day move.
    fn follow_clock(&mut self) {
        match self.host.follow_clock() {
            Ok(false) => {}
            Ok(true) => {
                log::info!("the wall clock was set; start times follow the new time from now on")
            }
            Err(error) => log::warn!("the former boot time stays in use: {error}"),
        }
    }

    /// Reads all live processes.
    fn pass(&mut self, since_ns: u64) -> Result<Pass, SourceError> {
        let (table, grouper) = (&self.table, &self.grouper);
        let is_outside = |account| grouper.is_outside(account);
        let in_no_group = |tgid| table.in_no_group(tgid, since_ns, is_outside);
        self.observer.pass(self.host.now_ns(), in_no_group)
    }

    /// Drains the waiting records. Returns whether a pass should follow.
    fn drain(&mut self) -> bool {
        let Self {
            observer,
            table,
            grouper,
            gunicorn,
            ..
        } = self;
        let drained = observer.drain(&mut |found| match found {
            Found::Event(event) => {
                gunicorn.iter_mut().for_each(|one| one.apply(&event));
                table.apply(event, grouper);
            }
            Found::Coarse(coarse) => {
                table.note_sums();
                grouper.book_coarse(&coarse);
            }
        });
        grouper.settle();
        let has_outgrown = table.end_drain(grouper);
        let has_overflowed = drained.unwrap_or_else(|error| {
            log::error!("records of the kernel programs cannot be read: {error}");
            self.notes.error = Some(error.to_string());
            false
        });
        has_overflowed || has_outgrown
    }

    /// Reads open descriptors and wait channels of processes and threads that ran.
    fn refresh(&mut self, pass: &Pass) {
        let Self {
            table,
            grouper,
            observer,
            ..
        } = self;
        table.refresh(pass, observer, |account| grouper.is_outside(account));
    }

    /// Takes the readings of proportional memory, and selects the processes to read next. It never waits.
    fn read_proportional(&mut self) {
        let Some(smaps) = self.observer.smaps() else {
            return;
        };
        self.table.note_proportional(smaps.readings());
        let grouper = &self.grouper;
        let is_outside = |account| grouper.is_outside(account);
        smaps.offer(self.table.wanted_proportional(is_outside));
    }

    /// Sets, in the maps of the kernel programs, the group that each process counts for, if these programs count by group.
    fn attribute(&mut self) {
        let Self {
            observer,
            table,
            grouper,
            ..
        } = self;
        let Some(kernel) = observer.counts_by_group() else {
            return;
        };
        let folds = grouper.take_folds();
        let live = table.live();
        let processes = live.map(|one| (one.id(), grouper.attribution(one.account())));
        let groups = grouper.groups().iter().map(|group| group.id);
        if let Err(error) = kernel.attribute(groups, processes, grouper.comms(), &folds) {
            log::error!("cannot pass the groups to the kernel programs: {error}");
            self.notes.error = Some(error.to_string());
        }
    }

    /// Has the facts of those processes in no group read again that were born at `since_ns` or later.
    fn reconsider(&mut self, since_ns: u64) {
        let Self { table, grouper, .. } = self;
        for one in table.in_no_group_since(since_ns, |account| grouper.is_outside(account)) {
            if grouper.reopen(one.account) {
                table.reopened(one.id);
                let used = one.used.iter();
                used.for_each(|used| grouper.rebook(one.account, used));
            }
        }
    }

    /// Publishes the processes that the targets thread wants to know of.
    fn publish(&mut self) {
        self.publication
            .publish(&self.host, &self.table, &self.grouper);
    }

    fn statistics(&mut self) -> Result<SourceStatistics, SourceError> {
        let mut statistics = self.observer.statistics(self.host.now_ns())?;
        if let Some(smaps) = &mut statistics.smaps {
            let oldest_ns = self.table.oldest_proportional_ns();
            smaps.oldest_age_ns = oldest_ns.map(|ns| monotonic_ns().saturating_sub(ns));
        }
        Ok(statistics)
    }
}

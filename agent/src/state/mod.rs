//! The agent's state, and the one thread that owns it.
//!
//! ```text
//! other threads                    thread headcount-state
//! Handle --Question(reply)--> actor --one at a time--> Pipeline
//!        <------answer-------          ^
//!                   ring, slow timer --+
//!
//! Pipeline: observer --pass, records--> table --bookings--> grouper --groups--> collectors --> bytes
//! ```
//!
//! Nothing in `Pipeline` runs by itself: questions from [`handle::Handle`], a half-full ring and a slow timer call it
//! (`actor.rs`). It only connects the modules it calls; their rules stand there.

pub(crate) mod actor;
mod balance;
mod budget;
mod classification;
mod crowded;
mod early;
pub mod handle;
mod overview;
pub mod reload;

use crate::{
    collector::{Build, Collectors, ServingStatistics, View},
    config::logging::Logger,
    group::{Group, Grouper},
    host::{Host, monotonic_ns},
    process::{Pass, ProcessId, Table},
    sandbox::Sandbox,
    source::{
        Observer, SelfTest, Statistics,
        bpf::{Found, Plan},
    },
};
use balance::Balance;
use budget::Deferred;
use crowded::Crowded;
use handle::{Health, Status};
use reload::Configuration;
use std::{sync::Arc, time::Duration};

/// All state of the agent.
pub(crate) struct Pipeline {
    observer: Observer,
    table: Table,
    grouper: Grouper,
    configuration: Configuration,
    options: Options,
    output: Output,
    /// Why no better tier was chosen, if the operator left the choice to the agent.
    shortcomings: Vec<String>,
    passes: u64,
    /// When counting began, nanoseconds since boot.
    began_ns: u64,
    /// When the last pass began, nanoseconds since boot.
    looked_at_ns: u64,
    last_error: Option<String>,
    /// Live processes that the last pass could not read or name.
    unread: usize,
    /// `None` where `/proc` does not show all processes of this machine.
    balance: Option<Balance>,
    /// Processes with long arguments that wait for a later pass to get a group.
    deferred: Deferred<ProcessId>,
    /// Statistics of the last answered scrape; losses since then are found by comparison with it.
    last: Statistics,
    lost_lately: bool,
    crowded: Crowded,
    host: Host,
}

/// What the flags decide about passes and the page.
pub(crate) struct Options {
    /// Whether metrics of threads by name are wanted.
    pub(crate) threads: bool,
    /// Age up to which processes in no group are looked at again; `None`: never.
    pub(crate) recheck: Option<Duration>,
    /// Whether the page may show command lines.
    pub(crate) shows_cmdline: bool,
}

/// What writes an exposition, and what an exposition shows beside the state.
pub(crate) struct Output {
    pub(crate) collectors: Collectors,
    /// Reads the counts and limits of the HTTP server.
    pub(crate) serving: Box<dyn Fn() -> ServingStatistics>,
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

impl Pipeline {
    /// Takes the first pass: the totals it reads are the baseline.
    pub(crate) fn start(
        host: Host,
        mut observer: Observer,
        grouper: Grouper,
        configuration: Configuration,
        options: Options,
        output: Output,
        shortcomings: Vec<String>,
    ) -> Self {
        // The self-test runs before counting begins, so that its child processes do not count as load of this machine.
        observer.begin_self_test(host.now_ns());
        let began_ns = host.now_ns();
        let mut pipeline = Self {
            table: Table::new(began_ns),
            observer,
            grouper,
            configuration,
            options,
            output,
            shortcomings,
            passes: 0,
            began_ns,
            looked_at_ns: 0,
            last_error: None,
            unread: 0,
            balance: Balance::of(&host),
            deferred: Deferred::default(),
            last: Statistics::default(),
            lost_lately: false,
            crowded: Crowded::default(),
            host,
        };
        pipeline.observer.begin_scrape();
        pipeline.observe();
        pipeline
    }

    /// The tier by which processes are accounted for, and the hook that brings final totals.
    pub(crate) fn plan(&self) -> Plan {
        self.observer.plan()
    }

    /// The descriptor that becomes readable when records should be drained.
    pub(crate) fn wake_fd(&self) -> std::io::Result<Option<std::os::fd::OwnedFd>> {
        self.observer.wake_fd()
    }

    /// Takes a pass and writes its exposition.
    pub(crate) fn scrape(&mut self) -> Vec<u8> {
        self.observer.begin_scrape();
        let is_seen = self.observe().is_some();
        if is_seen {
            self.grouper.forget_empty(self.table.present());
        }
        let statistics = self.statistics();
        self.lost_lately = self.has_lost(&statistics);
        self.last = statistics;
        let serving = (self.output.serving)();
        // As in process-exporter: if the processes cannot be listed, no groups are shown.
        let groups: &[Group] = if is_seen { self.grouper.groups() } else { &[] };
        let view = View {
            groups,
            processes: &self.table.statistics(),
            source: &self.last,
            group_statistics: &self.grouper.statistics(),
            serving: &serving,
            reloads: &self.configuration.reloads.statistics(),
            sandbox: &self.output.sandbox.steps(),
            build: &BUILD,
            boot_time_seconds: self.host.boot_time as f64,
            log_lines_suppressed: self.output.logger.suppressed(),
        };
        self.output.collectors.collect(&view)
    }

    /// Takes a pass. Returns `None` if it failed.
    fn observe(&mut self) -> Option<Pass> {
        let since_ns = match self.options.recheck {
            // Older processes are not looked at again.
            Some(limit) => self.looked_at_ns.saturating_sub(nanoseconds(limit)),
            None => u64::MAX,
        };
        self.observe_since(since_ns)
    }

    /// As [`Self::observe`], but reads everything of those processes in no group that were born at `since_ns` or later.
    fn observe_since(&mut self, since_ns: u64) -> Option<Pass> {
        self.last_error = None;
        self.follow_clock();
        let (table, grouper) = (&self.table, &self.grouper);
        let is_outside = |account| grouper.is_outside(account);
        let in_no_group = |tgid| table.in_no_group(tgid, since_ns, is_outside);
        let pass = self.observer.pass(self.host.now_ns(), in_no_group);
        // The node's reading belongs to this moment: processes were read just before, and the records up to it are drained
        // next.
        let node = self.read_node();
        // The records drained now are older than the pass. None are drained before the first pass: the table knows no process
        // yet.
        if self.passes > 0 {
            self.drain();
        }
        let pass = match pass {
            Ok(pass) => pass,
            Err(error) => {
                log::error!("the pass over the processes failed: {error}");
                self.last_error = Some(error.to_string());
                return None;
            }
        };
        self.unread = pass.unread.len();
        let births = self.births(node.as_ref());
        self.table.observe(&pass, &mut self.grouper);
        self.balance(node.as_ref(), births);
        self.reconsider(pass.started_ns);
        self.classify(&pass);
        self.grouper.settle();
        let Self {
            table,
            grouper,
            observer,
            ..
        } = self;
        table.refresh(&pass, observer, |account| grouper.is_outside(account));
        self.read_proportional();
        self.grouper.measure(self.table.live());
        if self.options.threads {
            self.grouper.measure_threads(&mut self.table, &pass);
        }
        self.attribute();
        self.crowded
            .note(&self.grouper.statistics(), monotonic_ns());
        self.passes += 1;
        self.configuration.log_template_failures();
        Some(pass)
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

    /// Drains the waiting records. Takes a pass, too, if records were lost, because the values of single processes may be old
    /// then, and if the table has grown much.
    pub(crate) fn drain_and_heal(&mut self) {
        if self.drain() || self.look_early() {
            self.observe();
        }
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
            self.last_error = Some(error.to_string());
        }
    }

    /// Drains the waiting records. Returns whether a pass should follow.
    fn drain(&mut self) -> bool {
        let Self {
            observer,
            table,
            grouper,
            ..
        } = self;
        let drained = observer.drain(&mut |found| match found {
            Found::Event(event) => table.apply(event, grouper),
            Found::Coarse(coarse) => {
                table.note_sums();
                grouper.book_coarse(&coarse);
            }
        });
        grouper.settle();
        let has_outgrown = table.end_drain(grouper);
        let has_lost = drained.unwrap_or_else(|error| {
            log::error!("records of the kernel programs cannot be read: {error}");
            self.last_error = Some(error.to_string());
            false
        });
        has_lost || has_outgrown
    }

    /// As in process-exporter: a process that matched nothing is remembered, and is not looked at again once it is older than
    /// the limit at a pass.
    fn reconsider(&mut self, now_ns: u64) {
        let looked_at_ns = std::mem::replace(&mut self.looked_at_ns, now_ns);
        if let Some(limit) = self.options.recheck {
            let since_ns = looked_at_ns.saturating_sub(nanoseconds(limit));
            self.table.reconsider(since_ns, &mut self.grouper);
        }
    }

    fn statistics(&mut self) -> Statistics {
        match self.observer.statistics(self.host.now_ns()) {
            Ok(mut statistics) => {
                if let Some(balance) = &self.balance {
                    statistics.balances = balance.sides();
                }
                if let Some(smaps) = &mut statistics.smaps {
                    let oldest_ns = self.table.oldest_proportional_ns();
                    smaps.oldest_age_ns = oldest_ns.map(|ns| monotonic_ns().saturating_sub(ns));
                }
                statistics
            }
            Err(error) => {
                log::error!("the kernel programs' counts cannot be read: {error}");
                self.last.clone()
            }
        }
    }

    /// Whether `now` counts more losses than the last scrape.
    fn has_lost(&self, now: &Statistics) -> bool {
        now.events_lost > self.last.events_lost || now.events_coarse > self.last.events_coarse
    }

    /// The answer for `/health`.
    pub(crate) fn health(&mut self) -> Health {
        let now = self.statistics();
        let has_lost = self.lost_lately || self.has_lost(&now);
        let mut reasons = self.shortcomings.clone();
        reasons.extend(
            self.last_error
                .iter()
                .map(|error| format!("the last pass failed: {error}")),
        );
        if self.unread > 0 {
            reasons.push(format!(
                "{} processes could not be read at the last pass; namedprocess_scrape_procread_errors counts them, \
                 --debug names them",
                self.unread
            ));
        }
        if let Some(count) = self.deferred.persistent() {
            reasons.push(format!(
                "{count} processes with long arguments have waited for several passes to be grouped; their usage is kept \
                 for their groups; headcount_classifications_deferred_total counts these delays"
            ));
        }
        reasons.extend(self.output.collectors.reason());
        reasons.extend(self.configuration.reloads.reason());
        self.crowded
            .note(&self.grouper.statistics(), monotonic_ns());
        reasons.extend(self.crowded.reason(monotonic_ns(), self.grouper.is_full()));
        if has_lost {
            reasons.push(
                "kernel records were lost or only summed up before the last scrape or since; a larger \
                 --accounting.ring-bytes may help"
                    .to_owned(),
            );
        }
        if self.last.self_test == SelfTest::Failed {
            reasons.push("the start-up self-test of the kernel programs failed".to_owned());
        }
        let status = if reasons.is_empty() {
            Status::Ok
        } else {
            Status::Degraded
        };
        Health { status, reasons }
    }

    /// Whether the self-test still waits for its record.
    pub(crate) fn is_self_test_pending(&mut self) -> bool {
        let now_ns = self.host.now_ns();
        self.observer.self_test(now_ns) == SelfTest::Pending
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

//! The metric families of Passenger.
//!
//! In: the answers of the instances in one scrape ([`PassengerRound`]). Out: families, in an [`crate::exposition::Writer`]. It
//! keeps the totals, and the order in which it met the instances. Finding and asking instances is left to others, and so are the
//! metrics that every kind of target has (`headcount_target_*`).
//!
//! No two samples have the same labels, and no instance changes the series of another uid's instance:
//!
//! * Families with the label `passenger_instance` cannot meet, because those labels are unique.
//! * Of the original's families, which have only `name`, the first instance that has a name has the plain series. The others also
//!   have the label `passenger_instance`. Root's instances are first, then those that the agent has known for longer: an instance
//!   can claim any age, so its claim decides only between instances that the agent meets in the same scrape. An instance that was
//!   found but did not answer keeps the names of its last answer, so that no other takes its series for a scrape.
//! * Bounds are shared by uid ([`super::share`]).

mod application;
mod fitting;
mod instance;
mod metric;
#[cfg(test)]
mod neighbour_tests;
mod original;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

pub(super) use metric::Answered;
use metric::{INSTANCE, ShownApplication, ShownInstance};

use super::instance::InstanceIdentity;
use super::names;
use super::pool::{Application, Worker};
use super::share::shares;
use super::totals::PassengerTotals;
use crate::exposition::{Descriptor, Kind, Writer};
use crate::targets::handle::Applications;

/// Most processes that have series of their own in a scrape, those of all instances together.
const MOST_PROCESSES: usize = 500;
/// Bytes for the families that are not of instances.
const OWN_FAMILIES: usize = 1024;

static INSTANCES: Descriptor = Descriptor {
    name: "headcount_passenger_instances",
    kind: Kind::Gauge,
    help: "Running instances of Passenger that the agent found, whether they answered or not.",
    labels: &[],
    unit: "instances",
    source: "directories of instances whose lock is held",
    fallback: "-",
};

static LEFT_OUT: Descriptor = Descriptor {
    name: "headcount_passenger_processes_left_out_total",
    kind: Kind::Counter,
    help: "Processes without series `passenger_go_process_real_memory_bytes` and `passenger_go_process_processed`, added up over all scrapes, \
           because a scrape shows at most 500 processes.",
    labels: &[],
    unit: "processes",
    source: "agent",
    fallback: "left out until the first instance is found",
};

/// The answers of one scrape.
#[derive(Debug)]
pub(super) struct PassengerRound<'a> {
    /// The instances that answered.
    pub(super) answered: &'a [Answered<'a>],
    /// The instances that were found and did not answer.
    pub(super) silent: &'a [&'a InstanceIdentity],
    /// All instances that run, those included that were not asked because there are too many.
    pub(super) running: u64,
    /// Most bytes that the families may take before they are joined with others.
    pub(super) most_bytes: usize,
}

/// Writes the families of Passenger, scrape by scrape.
#[derive(Debug)]
pub(super) struct PassengerFamilies {
    totals: PassengerTotals,
    most_processes: usize,
    left_out: u64,
    has_met_any: bool,
    /// Those of the last scrape.
    applications: Applications,
}

impl PassengerFamilies {
    /// Keeps the totals of at most `most_instances`; `with_processes` says whether processes have series of their own.
    pub(super) fn new(most_instances: usize, with_processes: bool) -> Self {
        Self {
            totals: PassengerTotals::new(most_instances),
            most_processes: if with_processes { MOST_PROCESSES } else { 0 },
            left_out: 0,
            has_met_any: false,
            applications: Applications::default(),
        }
    }

    /// All families, in the order in which METRICS.md lists them.
    pub(super) fn descriptors() -> impl Iterator<Item = &'static Descriptor> {
        [&INSTANCES, &LEFT_OUT]
            .into_iter()
            .chain(fitting::descriptors())
    }

    /// Writes the families of a scrape. Returns the indexes of the answers that are left out because they do not fit into the
    /// bytes.
    pub(super) fn write(&mut self, round: &PassengerRound<'_>, out: &mut Writer) -> Vec<usize> {
        let mut shown = self.shown(round);
        self.choose_processes(&mut shown);
        self.applications = rows::applications(&shown, round.running);
        let most_bytes = round.most_bytes.saturating_sub(OWN_FAMILIES);
        let fits = fitting::write(&shown, most_bytes, out);

        let mut refused = Vec::new();
        for (one, fits) in shown.iter().zip(fits) {
            if !fits {
                refused.push(one.index);
            } else if self.most_processes > 0 {
                self.left_out = self.left_out.saturating_add(one.processes_left_out());
            }
        }
        out.family(&INSTANCES).sample(&[], round.running);
        self.has_met_any |= round.running > 0;
        if self.has_met_any {
            out.family(&LEFT_OUT).sample(&[], self.left_out);
        }
        refused
    }

    /// Adds the applications of the last scrape, for the page.
    pub(super) fn show(&self, page: &mut Applications) {
        page.instances += self.applications.instances;
        page.omitted += self.applications.omitted;
        page.rows.extend_from_slice(&self.applications.rows);
    }

    /// Adds the answers to the totals, and settles the name of each application. The instances come in the order of their rank.
    fn shown<'a>(&mut self, round: &PassengerRound<'a>) -> Vec<ShownInstance<'a>> {
        let answered = round.answered.iter().enumerate();
        let answered = answered.map(|(index, one)| (one.identity, Some((index, *one))));
        let silent = round.silent.iter().map(|identity| (*identity, None));
        let mut all: Vec<_> = answered.chain(silent).collect();
        all.sort_by_cached_key(|(identity, _)| {
            let rank = self.totals.rank(identity);
            (identity.uid != 0, rank, identity.since_ns, identity.place)
        });
        self.totals.begin(all.iter().map(|(identity, _)| *identity));

        let mut taken = HashSet::new();
        let mut shown = Vec::with_capacity(round.answered.len());
        for (identity, answer) in all {
            match answer {
                Some((index, answered)) => {
                    let mut one = self.shown_instance(index, answered);
                    for application in &mut one.applications {
                        application.is_second =
                            !taken.insert(self.totals.name_key(application.name));
                    }
                    shown.push(one);
                }
                None => taken.extend(self.totals.names(identity)),
            }
        }
        shown
    }

    fn shown_instance<'a>(&mut self, index: usize, answered: Answered<'a>) -> ShownInstance<'a> {
        let Answered {
            identity,
            pool,
            core,
            ..
        } = answered;
        let full_names: Vec<&str> = pool
            .applications
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        let names = names::within(&full_names);
        let totals = self.totals.add_pool(identity, pool, &names);
        let server = answered
            .server
            .and_then(|counts| self.totals.add_server(identity, counts, core));
        let applications = pool.applications.iter().zip(names).zip(totals);
        let applications = applications.filter_map(|((application, name), totals)| {
            Some(ShownApplication {
                application,
                name: name?,
                is_second: false,
                totals,
                workers: Vec::new(),
            })
        });
        let mut applications: Vec<_> = applications.collect();
        applications.sort_unstable_by_key(|one| one.name);
        ShownInstance {
            answered,
            index,
            applications,
            server,
            own_label: [(INSTANCE.into(), answered.label.to_owned())],
        }
    }

    /// Gives each instance as many processes with series of their own as its user's share of [`MOST_PROCESSES`] allows: those of
    /// the first names, and of each application the oldest.
    fn choose_processes(&self, shown: &mut [ShownInstance<'_>]) {
        if self.most_processes == 0 {
            return;
        }
        let mut wanted: BTreeMap<u32, usize> = BTreeMap::new();
        for one in shown.iter_mut() {
            for shown in &mut one.applications {
                shown.workers = workers(shown.application);
            }
            *wanted.entry(one.answered.identity.uid).or_default() += one.workers();
        }
        let mut left = shares(&wanted, self.most_processes);
        for one in shown {
            let left = left.entry(one.answered.identity.uid).or_default();
            for shown in &mut one.applications {
                shown.workers.truncate(*left);
                *left -= shown.workers.len();
            }
        }
    }
}

/// The workers of an application, oldest first, no two with the same pid.
fn workers(application: &Application) -> Vec<&Worker> {
    let mut pids = HashSet::with_capacity(application.workers.len());
    let mut workers: Vec<&Worker> = application.workers.iter().collect();
    workers.retain(|worker| pids.insert(worker.pid));
    workers.sort_unstable_by_key(|worker| (worker.spawned_us, worker.pid));
    workers
}

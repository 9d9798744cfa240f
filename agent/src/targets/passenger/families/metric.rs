//! The data of an instance that families show, and the rows of the tables of its families.

use std::collections::HashMap;
use std::sync::Arc;

use crate::exposition::{Descriptor, Family};
use crate::targets::board::GroupIdentity;
use crate::targets::passenger::instance::InstanceIdentity;
use crate::targets::passenger::pool::{AppPool, Application, Worker};
use crate::targets::passenger::server::ServerCounts;
use crate::targets::passenger::totals::ApplicationCounts;

/// The label with the name of the instance, unique in a scrape.
pub(super) const INSTANCE: &str = "passenger_instance";

/// An instance that answered.
#[derive(Debug, Clone, Copy)]
pub(in crate::targets::passenger) struct Answered<'a> {
    /// The value of the label `passenger_instance`. No two instances of a scrape have the same.
    pub(in crate::targets::passenger) label: &'a str,
    pub(in crate::targets::passenger) identity: &'a InstanceIdentity,
    /// The name of the user that owns the instance, or the uid.
    pub(in crate::targets::passenger) user: &'a str,
    pub(in crate::targets::passenger) pool: &'a AppPool,
    /// `None` if the instance did not report them in this scrape.
    pub(in crate::targets::passenger) server: Option<&'a ServerCounts>,
    /// The process id of its core, in any pid namespace; `None` if the agent does not know it.
    pub(in crate::targets::passenger) core: Option<u32>,
    /// The process group of each worker, by the pid that the pool shows. The caller has compared pid and start time.
    pub(in crate::targets::passenger) groups: &'a HashMap<u32, Arc<GroupIdentity>>,
}

/// An instance as it is shown.
#[derive(Debug)]
pub(super) struct ShownInstance<'a> {
    pub(super) answered: Answered<'a>,
    /// Its index among the instances that answered.
    pub(super) index: usize,
    /// Sorted by name.
    pub(super) applications: Vec<ShownApplication<'a>>,
    /// Totals of its web server part, beside the clients that are connected.
    pub(super) server: Option<ServerCounts>,
    /// The label [`INSTANCE`], for names that another instance has too.
    pub(super) own_label: [(Arc<str>, String); 1],
}

impl ShownInstance<'_> {
    /// Workers with series of their own.
    pub(super) fn workers(&self) -> usize {
        self.applications.iter().map(|one| one.workers.len()).sum()
    }

    /// Processes without.
    pub(super) fn processes_left_out(&self) -> u64 {
        let pool = self.answered.pool.applications.iter();
        let processes: usize = pool.map(|application| application.workers.len()).sum();
        processes.saturating_sub(self.workers()) as u64
    }
}

/// An application as it is shown.
#[derive(Debug)]
pub(super) struct ShownApplication<'a> {
    pub(super) application: &'a Application,
    pub(super) name: &'a str,
    /// Whether another instance has the same name, and the plain series.
    pub(super) is_second: bool,
    /// `None` if the totals of too many applications are kept already.
    pub(super) totals: Option<ApplicationCounts>,
    /// Workers with series of their own, oldest first; no two with the same pid.
    pub(super) workers: Vec<&'a Worker>,
}

/// A family and the function that writes its samples for one instance.
pub(super) struct InstanceMetric {
    pub(super) descriptor: Descriptor,
    pub(super) write: fn(&ShownInstance<'_>, &mut Family<'_>),
}

/// A family and the function that writes its samples for one application.
pub(super) struct ApplicationMetric {
    pub(super) descriptor: Descriptor,
    pub(super) write: fn(&Answered<'_>, &ShownApplication<'_>, &mut Family<'_>),
}

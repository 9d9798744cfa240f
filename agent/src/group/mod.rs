//! Groups: the processes of each, and its counters and gauges.
//!
//! In come facts of processes and bookings from the process table; out go groups with their counters and gauges. This module
//! does no I/O and cannot fail; [`Policy`] and a compiled configuration ([`Classifier`]) say how processes are grouped.

mod account;
mod booking;
mod boot_time;
mod bounded;
mod classifier;
mod comms;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gauges;
mod grouper;
mod groups;
mod name;
mod name_map;
mod network;
mod pattern;
mod pattern_length;
mod policy;
mod requests;
mod review;
mod room;
mod selector;
mod statistics;
#[cfg(test)]
mod tests;
mod text;
mod thread_budget;
mod threads;
mod user;

pub use boot_time::BootTime;
pub use bounded::MAX_NAME;
pub use classifier::{Classifier, Placement, TemplateFailure, Verdict};
pub use gauges::Gauges;
pub use grouper::{Grouper, Placer};
pub use network::{GroupNetwork, NetworkScope};
pub use policy::Policy;
pub use requests::ServerProcess;
pub use review::{Doubt, Review, finds_nothing, review};
pub use selector::Miss;
pub use statistics::GroupStatistics;
pub use threads::{ThreadNames, ThreadUse};
pub use user::{Filling, User};

/// The group of processes for which no more groups may be made; also the name for surplus names of threads and wait channels.
const REST: &str = "other";

/// Labels beside `groupname`: names and values, sorted by name; none is empty.
pub type Labels = Vec<(std::sync::Arc<str>, String)>;

/// One group. No other has the same name and labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Its number: counted from 1 in the order of creation; no later group of this run gets it again.
    pub id: u64,
    /// Its name: the label `groupname`. Valid UTF-8, otherwise any text that a template gives.
    pub name: String,
    /// Its labels beside the name.
    pub labels: Labels,
    /// The item that made it. `None` for the group `other`, and for a group that only a former configuration made.
    pub item: Option<usize>,
    /// The user that it was made for, and whether it is in use.
    pub filling: Filling,
    /// All that was ever booked to it. Never falls.
    pub total: crate::process::Tally,
    /// The gauges of its members now.
    pub gauges: Gauges,
    /// Threads of its members by name, if these are shown.
    pub threads: ThreadNames,
    /// The payload of the sockets of its members. `None` if no member ever had one. Boxed: many groups have none.
    pub network: Option<Box<GroupNetwork>>,
    /// Whether an item of the present configuration counts the requests that its members serve.
    pub counts_requests: bool,
    /// The requests that its members have served. `None` if there were none. Never falls.
    pub requests: Option<Box<crate::process::RequestTally>>,
    /// Requests in flight of the processes that belong to it now, also of those that have ended and whose sockets others have.
    pub requests_in_flight: u64,
    /// Whether an item of the present configuration shows the requests of each of its members.
    pub shows_servers: bool,
    /// Its live members that have served requests, if these are shown: in the order of their start.
    pub servers: Vec<ServerProcess>,
}

impl Group {
    /// Whether it is the group `other`, which takes processes that found no room.
    fn is_rest(&self) -> bool {
        self.name == REST && self.labels.is_empty()
    }

    /// Has the group count requests as the item of the placement says, or as another one did before.
    fn count_as(&mut self, placement: &Placement) {
        self.counts_requests |= placement.counts_requests;
        self.shows_servers |= placement.shows_servers;
    }

    /// Looks at `living`, which the records and the present pass have changed. The gauges are still those of the pass before.
    fn is_foldable(&self) -> bool {
        let filling = &self.filling;
        filling.living == 0 && !self.is_rest() && filling.maker != User::Configuration
    }

    /// The user that the group was made for.
    fn user(&self) -> User {
        self.filling.maker
    }
}

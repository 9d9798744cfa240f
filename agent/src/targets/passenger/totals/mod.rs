//! Totals that never fall while an instance lives, though workers end and cores are started again.
//!
//! In: the answers of an instance; an instance that does not answer changes nothing. Out: its totals. Kept, at most:
//!
//! | what | bound | when it is full |
//! | --- | --- | --- |
//! | instances | set by the caller | the instance that was not found for the longest time makes room |
//! | applications of an instance | 1,024 | the application that is out of the pool for the longest time makes room |
//! | workers of an instance | 2,048, those in the pool | a further worker is counted as soon as another has left |
//!
//! If everything kept is in use, new ones have no totals. Texts of instances are not kept, only their hashes (64 bits, with a
//! secret key): an application costs some 150 bytes, a worker some 20.

mod applications;
mod core;
mod recent;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, RandomState};

use recent::Recent;

pub(super) use self::applications::ApplicationCounts;
use self::applications::ApplicationTotals;
use self::core::CoreTotals;
use super::instance::InstanceIdentity;
use super::pool::AppPool;
use super::server::ServerCounts;

/// The totals of all instances.
#[derive(Debug)]
pub(super) struct PassengerTotals {
    instances: Recent<InstanceTotals>,
    hasher: RandomState,
    /// Scrapes so far.
    now: u64,
}

#[derive(Debug, Default)]
struct InstanceTotals {
    applications: ApplicationTotals,
    core: CoreTotals,
}

impl PassengerTotals {
    /// Keeps the totals of at most `most_instances`.
    pub(super) fn new(most_instances: usize) -> Self {
        Self {
            instances: Recent::new(most_instances),
            hasher: RandomState::new(),
            now: 0,
        }
    }

    /// Begins a scrape that found these instances, whether they answered or not.
    pub(super) fn begin<'i>(&mut self, found: impl Iterator<Item = &'i InstanceIdentity>) {
        self.now += 1;
        let hasher = &self.hasher;
        self.instances
            .see(found.map(|identity| key(hasher, identity)), self.now);
    }

    /// How many instances were known before this one; more than any of them for one that is not known.
    pub(super) fn rank(&self, identity: &InstanceIdentity) -> u64 {
        let rank = self.instances.rank(key(&self.hasher, identity));
        rank.unwrap_or(u64::MAX)
    }

    /// Adds the pool of an instance. `names` are the names of its applications, in the pool's order, `None` for those that are
    /// not shown; the result has the totals behind each name.
    pub(super) fn add_pool(
        &mut self,
        identity: &InstanceIdentity,
        pool: &AppPool,
        names: &[Option<&str>],
    ) -> Vec<Option<ApplicationCounts>> {
        match self.instances.find_mut(key(&self.hasher, identity)) {
            Some(totals) => totals.applications.add(pool, names, &self.hasher, self.now),
            None => vec![None; names.len()],
        }
    }

    /// Adds the counts of the core of an instance; `core` is its process id. Returns the totals.
    pub(super) fn add_server(
        &mut self,
        identity: &InstanceIdentity,
        counts: &ServerCounts,
        core: Option<u32>,
    ) -> Option<ServerCounts> {
        let totals = self.instances.find_mut(key(&self.hasher, identity))?;
        Some(totals.core.add(counts, core))
    }

    /// The keys of the names that the last answer of an instance had; see [`Self::name_key`].
    pub(super) fn names(&self, identity: &InstanceIdentity) -> impl Iterator<Item = u64> {
        let totals = self.instances.find(key(&self.hasher, identity));
        totals
            .into_iter()
            .flat_map(|totals| totals.applications.names())
    }

    /// The key of an application's name.
    pub(super) fn name_key(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }
}

fn key(hasher: &RandomState, identity: &InstanceIdentity) -> u64 {
    hasher.hash_one((identity.place, identity.name.as_str()))
}

//! Totals of the applications of one instance.
//!
//! An application is known by its full group name, a worker by the application and its `gupid`. The series have the label `name`,
//! and an application's name can change: while short names collide, both applications are shown in full, and if one of them
//! leaves the pool, the other has the short name. So each name has a total of its own ([`ShownTotal`]): it is the total of its
//! application; if another application takes the name over, it continues with the increases of that one.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::recent::Recent;
use crate::targets::passenger::pool::{AppPool, Application};

/// Most applications whose totals are kept. A new one takes the place of the application that is out of the pool for the longest
/// time; if all are in the pool, it has no totals.
const MOST_APPLICATIONS: usize = 1024;
/// Most workers whose last count is kept, all of them in the pool. A further one is counted as soon as another has left.
const MOST_WORKERS: usize = 2048;

/// The sums of the workers of an application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::targets::passenger) struct ApplicationCounts {
    /// Requests that they finished.
    pub(in crate::targets::passenger) requests: u64,
    /// Workers seen.
    pub(in crate::targets::passenger) spawned: u64,
}

/// The total behind one name.
#[derive(Debug, Default)]
struct ShownTotal {
    /// The application that had the name last.
    owner: Option<u64>,
    /// By how much the name is ahead of that application.
    ahead: ApplicationCounts,
    shown: ApplicationCounts,
}

impl ApplicationCounts {
    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            spawned: self.spawned.saturating_add(other.spawned),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            spawned: self.spawned.saturating_sub(other.spawned),
        }
    }
}

impl ShownTotal {
    /// The total after an answer: `counts` of the application that has the name, of which `increase` is new.
    fn advance(
        &mut self,
        owner: u64,
        counts: ApplicationCounts,
        increase: ApplicationCounts,
    ) -> ApplicationCounts {
        if self.owner != Some(owner) {
            self.owner = Some(owner);
            self.ahead = self.shown.plus(increase).minus(counts);
        }
        self.shown = counts.plus(self.ahead);
        self.shown
    }
}

/// The totals of one instance.
#[derive(Debug)]
pub(super) struct ApplicationTotals {
    /// By full group name.
    applications: Recent<ApplicationCounts>,
    /// By the name that is shown.
    names: Recent<ShownTotal>,
    /// The last `processed` of each worker in the last answer.
    workers: HashMap<u64, u64>,
    /// When the instance answered last.
    answered: u64,
}

impl Default for ApplicationTotals {
    fn default() -> Self {
        Self {
            applications: Recent::new(MOST_APPLICATIONS),
            names: Recent::new(MOST_APPLICATIONS),
            workers: HashMap::new(),
            answered: 0,
        }
    }
}

/// An application in an answer: keys of its full name and of the name that is shown.
#[derive(Debug, Clone, Copy)]
struct Keys {
    full: u64,
    name: u64,
}

impl ApplicationTotals {
    /// Adds an answer of the instance. `names` are the names of the pool's applications, in its order; the result has the totals
    /// of each.
    pub(super) fn add(
        &mut self,
        pool: &AppPool,
        names: &[Option<&str>],
        hasher: &RandomState,
        now: u64,
    ) -> Vec<Option<ApplicationCounts>> {
        let keys = pool
            .applications
            .iter()
            .zip(names)
            .map(|(application, name)| {
                name.map(|name| Keys {
                    full: hasher.hash_one(&application.name),
                    name: hasher.hash_one(name),
                })
            });
        let keys: Vec<Option<Keys>> = keys.collect();
        self.applications
            .see(keys.iter().flatten().map(|keys| keys.full), now);
        self.names
            .see(keys.iter().flatten().map(|keys| keys.name), now);
        self.answered = now;
        let before: Vec<ApplicationCounts> = keys.iter().map(|keys| self.counts(*keys)).collect();
        self.count(&pool.applications, &keys, hasher);
        let advance = |(keys, before): (Option<Keys>, _)| {
            let keys = keys?;
            let counts = *self.applications.find(keys.full)?;
            let total = self.names.find_mut(keys.name)?;
            Some(total.advance(keys.full, counts, counts.minus(before)))
        };
        keys.into_iter().zip(before).map(advance).collect()
    }

    fn counts(&self, keys: Option<Keys>) -> ApplicationCounts {
        let counts = keys.and_then(|keys| self.applications.find(keys.full));
        counts.copied().unwrap_or_default()
    }

    /// Keys of the names that the last answer had.
    pub(super) fn names(&self) -> impl Iterator<Item = u64> {
        self.names.seen_at(self.answered)
    }

    /// Adds the requests of the workers since the answer before, and forgets workers that have ended.
    fn count(&mut self, applications: &[Application], keys: &[Option<Keys>], hasher: &RandomState) {
        let workers = applications
            .iter()
            .zip(keys)
            .flat_map(|(application, keys)| {
                let keys = keys.map(|keys| keys.full);
                application.workers.iter().filter_map(move |worker| {
                    let full = keys?;
                    Some((
                        full,
                        hasher.hash_one((full, &worker.gupid)),
                        worker.processed,
                    ))
                })
            });
        let workers: Vec<(u64, u64, u64)> = workers.collect();
        let known = workers
            .iter()
            .filter(|(_, key, _)| self.workers.contains_key(key));
        let mut room = MOST_WORKERS.saturating_sub(known.count());
        let mut present = HashMap::with_capacity(workers.len().min(MOST_WORKERS));
        for (application, key, processed) in workers {
            let Some(counts) = self.applications.find_mut(application) else {
                continue;
            };
            if present.contains_key(&key) {
                continue;
            }
            let last = match self.workers.get(&key) {
                Some(last) => *last,
                None if room == 0 => continue,
                None => {
                    room -= 1;
                    counts.spawned = counts.spawned.saturating_add(1);
                    0
                }
            };
            counts.requests = counts
                .requests
                .saturating_add(processed.saturating_sub(last));
            present.insert(key, processed.max(last));
        }
        self.workers = present;
    }
}

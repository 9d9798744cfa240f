//! The threads of one group by name.
//!
//! In come, at each pass, the name of each live thread and its use since the pass before. Out go two values by name: the number
//! of live threads that have it now (a gauge), and the use of threads while they had it (counters).
//!
//! ```text
//! no place --a thread has the name, and there is room--> named --its last thread ends--> unused --a thread has it again--> named
//!                                                           \__ room is needed: fold __/ --> added to `other`
//! ```
//!
//! The counters of an unused name stay here and go on when the name returns, so they never fall; only names of live threads are
//! shown. Memory is bounded: a group has at most [`NAMES`] names, fewer if the [budget](super::thread_budget) of all groups is
//! short. A name without a place counts as `other`; so does, from then on, a name that is folded to make room. Folds are
//! counted.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::REST;
use crate::go::text::decode;
use crate::process::{Delta, TaskName};

/// One group has at most this many names.
pub(super) const NAMES: u64 = 128;

/// Threads of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadUse {
    /// Live threads at the last pass.
    pub threads: u64,
    /// The use of threads while they had the name. Never falls.
    pub used: Delta,
}

impl ThreadUse {
    fn add(&mut self, more: &Self) {
        self.threads += more.threads;
        self.used.add(&more.used);
    }
}

/// One name that has a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Named {
    shown: ThreadUse,
    /// Number of the pass that gave it the place.
    since: u64,
    /// Number of the last pass that saw a thread with it.
    seen: u64,
}

/// The names of one group's threads, with the counts of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadNames {
    /// By name: valid UTF-8, bad bytes are U+FFFD.
    by_name: BTreeMap<String, Named>,
    /// The name `other`: threads whose name has no place, and folded names.
    rest: Option<ThreadUse>,
    /// Live threads in `rest` because there was no room for their names.
    pub(super) overflowed: u64,
    /// Names folded at this pass.
    pub(super) folded: u64,
    /// Number of passes so far.
    pass: u64,
    /// The cost of one name, in units of the budget of all groups.
    pub(super) cost: u64,
    /// The number of names allowed; `None`: [`NAMES`].
    pub(super) limit: Option<u64>,
    /// Whether this pass found no unused name that can make room.
    is_full: bool,
}

impl ThreadNames {
    /// An empty set, in which each name costs `cost`.
    pub(super) fn costing(cost: u64) -> Self {
        Self {
            cost,
            ..Self::default()
        }
    }

    /// Begins a pass, in which no thread was seen yet.
    pub(super) fn begin(&mut self) {
        self.pass += 1;
        self.overflowed = 0;
        self.folded = 0;
        self.is_full = false;
        let names = self.by_name.values_mut().map(|named| &mut named.shown);
        for named in names.chain(&mut self.rest) {
            named.threads = 0;
        }
    }

    /// Adds one live thread, with its use since the pass before. `room`: units left for new names of all groups.
    pub(super) fn add(&mut self, name: &TaskName, used: &Delta, room: &mut u64) {
        let bytes = name.split(|byte| *byte == 0).next().unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(name) => self.add_named(name, used, room),
            Err(_) => {
                let mut name = String::new();
                decode(bytes, &mut name);
                self.add_named(&name, used, room);
            }
        }
    }

    fn add_named(&mut self, name: &str, used: &Delta, room: &mut u64) {
        let pass = self.pass;
        let one = ThreadUse {
            threads: 1,
            used: *used,
        };
        if let Some(named) = self.by_name.get_mut(name) {
            named.seen = pass;
            named.shown.add(&one);
        } else if name == REST {
            self.add_to_rest(&one);
        } else if self.make_room(room) {
            let named = Named {
                shown: one,
                since: pass,
                seen: pass,
            };
            self.by_name.insert(name.to_owned(), named);
        } else {
            self.overflowed += 1;
            self.add_to_rest(&one);
        }
    }

    fn add_to_rest(&mut self, more: &ThreadUse) {
        self.rest.get_or_insert_default().add(more);
    }

    /// Whether one more name gets a place. If there is no room, folds the longest unused name. Only a name that no thread had
    /// in the whole pass before may be folded: any other may still appear in this pass.
    fn make_room(&mut self, room: &mut u64) -> bool {
        if self.is_full {
            return false;
        }
        let cost = self.cost.max(1);
        if self.held() < self.limit() && *room >= cost {
            *room -= cost;
            return true;
        }
        let names = self.by_name.iter();
        let unused = names.filter(|(_, named)| named.seen + 1 < self.pass);
        let longest = unused.min_by_key(|(_, named)| named.seen);
        let longest = longest.map(|(name, _)| name.clone());
        if let Some(name) = &longest {
            self.fold(name);
        }
        self.is_full = longest.is_none();
        longest.is_some() && self.held() < self.limit()
    }

    /// Removes a name, and adds its counts to `other`.
    fn fold(&mut self, name: &str) {
        let Some(Named { shown, since, .. }) = self.by_name.remove(name) else {
            return;
        };
        // A name that got its place at this pass was never shown, so its fold does not count.
        self.folded += u64::from(since < self.pass);
        self.overflowed += shown.threads;
        self.add_to_rest(&shown);
    }

    /// Folds the names beyond the limit: the longest unused first, then the newest of those in use.
    pub(super) fn trim(&mut self) {
        let excess = self.held().saturating_sub(self.limit());
        if excess == 0 {
            return;
        }
        let mut names: Vec<_> = self.by_name.iter().collect();
        names.sort_by_key(|(_, named)| (named.seen, Reverse(named.since)));
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        let folded: Vec<String> = names
            .into_iter()
            .take(excess)
            .map(|(n, _)| n.clone())
            .collect();
        folded.iter().for_each(|name| self.fold(name));
    }

    /// Adds everything that another group has counted, as `other`.
    pub(super) fn absorb(&mut self, gone: &Self) {
        let names = gone.by_name.values().map(|named| &named.shown);
        for ThreadUse { used, .. } in names.chain(&gone.rest) {
            self.add_to_rest(&ThreadUse {
                threads: 0,
                used: *used,
            });
        }
    }

    fn limit(&self) -> u64 {
        self.limit.unwrap_or(NAMES).min(NAMES)
    }

    /// Number of names that have a place.
    pub(super) fn held(&self) -> u64 {
        self.by_name.len() as u64
    }

    /// Number of names that have a place or would take one.
    pub(super) fn wanted(&self) -> u64 {
        self.held().saturating_add(self.overflowed).min(NAMES)
    }

    /// The names to show: those of live threads, and `other` beside them if anything was ever counted there.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &ThreadUse)> {
        let names = self.by_name.iter();
        let live = names.filter(|(_, named)| named.shown.threads > 0);
        let live = live.map(|(name, named)| (name.as_str(), &named.shown));
        let is_live = self.by_name.values().any(|named| named.shown.threads > 0);
        let rest = self.rest.iter();
        let rest = rest.filter(move |rest| rest.threads > 0 || is_live);
        live.chain(rest.map(|rest| (REST, rest)))
    }
}

#[cfg(test)]
impl FromIterator<(String, ThreadUse)> for ThreadNames {
    fn from_iter<I: IntoIterator<Item = (String, ThreadUse)>>(names: I) -> Self {
        let named = |(name, shown)| {
            let named = Named {
                shown,
                ..Named::default()
            };
            (name, named)
        };
        Self {
            by_name: names.into_iter().map(named).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
#[path = "tests/threads.rs"]
mod tests;

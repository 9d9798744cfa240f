//! Limits how much of a pass goes into processes with long arguments, and shares it fairly among users.
//!
//! Reading and matching 64 KiB of arguments costs a thousand times what an ordinary process costs, and any user may start
//! thousands of such processes. So each pass decides every ordinary process, and long ones within a budget. The others wait for
//! the next pass, with their use in their accounts. Users take turns: a user with thousands of such processes does not delay a
//! user with few. Pure: the caller reads the clock.

use std::collections::HashMap;
use std::hash::Hash;

/// A process with at most this many bytes of arguments is ordinary.
pub(super) const ORDINARY_BYTES: usize = 1 << 10;
/// A pass may read this many bytes of arguments of the other processes...
const MAX_BYTES: usize = 32 << 20;
/// ...and may take this long for them, nanoseconds.
const MAX_NS: u64 = 250_000_000;
/// After this many passes in a row that left processes out, `/health` reports it.
const PASSES_UNTIL_REPORTED: u64 = 3;

/// The rest of the budget for this pass.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    began_ns: u64,
}

impl Budget {
    /// The full budget, for a pass that begins now.
    pub(super) const fn begin(now_ns: u64) -> Self {
        Self {
            bytes: MAX_BYTES,
            began_ns: now_ns,
        }
    }

    /// Whether time and bytes are left for one more process.
    pub(super) const fn allows_more(&self, now_ns: u64) -> bool {
        self.bytes > 0 && now_ns.saturating_sub(self.began_ns) < MAX_NS
    }

    /// Spends the argument bytes of one process.
    pub(super) const fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Orders processes round-robin by user: the first of each user, then the second of each, and so on. Processes of one user keep
/// their order.
pub(super) fn in_turns<T>(some: Vec<T>, user: impl Fn(&T) -> u32) -> Vec<T> {
    let mut counts: HashMap<u32, u32> = HashMap::new();
    let mut ranked: Vec<(u32, T)> = some
        .into_iter()
        .map(|one| {
            let rank = counts.entry(user(&one)).or_default();
            *rank += 1;
            (*rank, one)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, one)| one).collect()
}

/// Processes with long arguments that wait for a later pass, with their users.
#[derive(Debug)]
pub(super) struct Deferred<K> {
    users: HashMap<K, u32>,
    /// Passes in a row that have left processes out.
    passes: u64,
}

impl<K> Default for Deferred<K> {
    fn default() -> Self {
        Self {
            users: HashMap::new(),
            passes: 0,
        }
    }
}

impl<K: Eq + Hash> Deferred<K> {
    /// The user of a process that the last pass left out; `None` for any other process.
    pub(super) fn user(&self, id: &K) -> Option<u32> {
        self.users.get(id).copied()
    }

    /// Notes the processes that this pass has left out. No more are kept than there are processes.
    pub(super) fn note(&mut self, left_out: impl Iterator<Item = (K, u32)>) {
        self.users.clear();
        self.users.extend(left_out);
        self.passes = match self.users.is_empty() {
            true => 0,
            false => self.passes + 1,
        };
    }

    /// Number of waiting processes, if several passes in a row have left some out.
    fn persistent(&self) -> Option<usize> {
        (self.passes >= PASSES_UNTIL_REPORTED).then_some(self.users.len())
    }

    /// The reason for a degraded health.
    pub(super) fn reason(&self) -> Option<String> {
        let count = self.persistent()?;
        Some(format!(
            "{count} processes with long arguments have waited for several passes to be grouped; their usage is kept for their \
             groups; headcount_classifications_deferred_total counts these delays"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_with_many_and_few_processes_take_turns() {
        let some = [(7, 'a'), (7, 'b'), (7, 'c'), (0, 'd'), (9, 'e'), (0, 'f')];
        let order = in_turns(some.to_vec(), |(user, _)| *user);
        let order: String = order.into_iter().map(|(_, name)| name).collect();
        assert_eq!(order, "adebfc");
    }

    #[test]
    fn budget_ends_with_its_bytes_or_its_time() {
        let mut budget = Budget::begin(5);
        assert!(budget.allows_more(5) && budget.allows_more(4));
        assert!(!budget.allows_more(5 + MAX_NS));
        budget.spend(MAX_BYTES - 1);
        assert!(budget.allows_more(5));
        budget.spend(64 << 10);
        assert!(!budget.allows_more(5));
    }

    #[test]
    fn processes_left_out_by_several_passes_are_reported() {
        let mut deferred = Deferred::default();
        for _ in 1..PASSES_UNTIL_REPORTED {
            deferred.note([(1, 7), (2, 7)].into_iter());
            assert_eq!(deferred.persistent(), None);
        }
        deferred.note([(2, 8)].into_iter());
        assert_eq!(deferred.persistent(), Some(1));
        assert_eq!((deferred.user(&1), deferred.user(&2)), (None, Some(8)));
        deferred.note(std::iter::empty());
        assert_eq!(deferred.persistent(), None);
    }
}

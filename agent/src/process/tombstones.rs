//! The recently closed: keeps a late or repeated record from being credited twice.
//!
//! Bounded. The oldest is forgotten first; a record of a forgotten process is ignored and counted by the table. Order
//! matters only within one drain, and 8,192 is more than the records of finished processes that one holds.

use super::{AccountId, ProcessId, booked::Booked, id::Map};
use std::collections::VecDeque;

/// How many are remembered.
const CAPACITY: usize = 8192;

/// What is remembered of a closed process.
#[derive(Debug)]
pub(super) struct Tombstone {
    /// Where its use was booked; the tombstone keeps the account open.
    pub(super) account: AccountId,
    /// What was booked.
    pub(super) booked: Booked,
    /// Whether its end was counted.
    pub(super) exit_booked: bool,
    /// Whether its birth was counted.
    pub(super) announced: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    by_id: Map<ProcessId, Tombstone>,
    order: VecDeque<ProcessId>,
}

impl Tombstones {
    pub(super) fn entry_mut(&mut self, id: ProcessId) -> Option<&mut Tombstone> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn contains(&self, id: ProcessId) -> bool {
        self.by_id.contains_key(&id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Takes `id` out again.
    pub(super) fn exhume(&mut self, id: ProcessId) -> Option<Tombstone> {
        let tombstone = self.by_id.remove(&id)?;
        self.order.retain(|other| *other != id);
        Some(tombstone)
    }

    /// Remembers `id`, and gives back the one that had to be forgotten for it.
    pub(super) fn bury(
        &mut self,
        id: ProcessId,
        tombstone: Tombstone,
    ) -> Option<(ProcessId, Tombstone)> {
        if let Some(old) = self.by_id.insert(id, tombstone) {
            return Some((id, old));
        }
        self.order.push_back(id);
        if self.order.len() <= CAPACITY {
            return None;
        }
        let oldest = self.order.pop_front()?;
        self.by_id
            .remove(&oldest)
            .map(|tombstone| (oldest, tombstone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first_and_handed_back() {
        let mut graves = Tombstones::default();
        let id = |n: usize| ProcessId {
            tgid: 1,
            start_ns: n as u64,
        };
        let tombstone = || Tombstone {
            account: AccountId(0),
            booked: Booked::default(),
            exit_booked: false,
            announced: false,
        };
        for n in 0..CAPACITY {
            assert!(graves.bury(id(n), tombstone()).is_none());
        }
        let forgotten = graves.bury(id(CAPACITY), tombstone());
        assert_eq!(forgotten.map(|(id, _)| id.start_ns), Some(0));
        assert_eq!(graves.len(), CAPACITY);
    }
}

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

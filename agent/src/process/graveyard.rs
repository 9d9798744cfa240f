//! The tombstones of all closed processes.

use super::tombstones::{Tombstone, Tombstones};
use super::{Booking, Ledger, ProcessId};

/// Tombstones in two queues, so that many processes that end as they should do not displace those that still miss a record.
#[derive(Debug, Default)]
pub(super) struct Graveyard {
    /// Of processes closed with final totals.
    pub(super) finals: Tombstones,
    /// Of processes closed without final totals.
    unconfirmed: Tombstones,
    /// Start of the youngest process whose tombstone was dropped before its final record came.
    forgotten_ns: Option<u64>,
}

impl Graveyard {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.finals.len() + self.unconfirmed.len()
    }

    pub(super) fn contains(&self, id: ProcessId) -> bool {
        self.finals.contains(id) || self.unconfirmed.contains(id)
    }

    pub(super) fn entry_mut(&mut self, id: ProcessId) -> Option<&mut Tombstone> {
        let finals = self.finals.entry_mut(id);
        finals.or_else(|| self.unconfirmed.entry_mut(id))
    }

    /// Whether the process may have had a tombstone that was dropped for newer ones.
    pub(super) fn may_have_forgotten(&self, id: ProcessId) -> bool {
        let forgotten_ns = self.forgotten_ns;
        forgotten_ns.is_some_and(|forgotten_ns| id.start_ns <= forgotten_ns)
    }

    /// Adds the tombstone of `id`. `confirmed`: its totals are final.
    pub(super) fn bury(
        &mut self,
        id: ProcessId,
        tombstone: Tombstone,
        confirmed: bool,
        ledger: &mut impl Ledger,
    ) {
        let graves = match confirmed {
            true => &mut self.finals,
            false => &mut self.unconfirmed,
        };
        if let Some(earlier) = graves.bury(id, tombstone) {
            ledger.take(Booking::Closed(earlier.account));
        }
    }

    /// To be called at the end of a drain: drops the oldest tombstones (tombstones.rs).
    pub(super) fn trim(&mut self, ledger: &mut impl Ledger) {
        let Self {
            finals,
            unconfirmed,
            forgotten_ns,
        } = self;
        finals.trim(|_, tombstone| ledger.take(Booking::Closed(tombstone.account)));
        unconfirmed.trim(|id, tombstone| {
            ledger.take(Booking::Closed(tombstone.account));
            *forgotten_ns = (*forgotten_ns).max(Some(id.start_ns));
        });
    }
}

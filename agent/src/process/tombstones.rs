//! Tombstones of recently closed processes: they keep a late or repeated record from being credited twice.
//!
//! Their number is bounded at the end of each drain: 8,192 stay, or all that were added since the drain before, if those are
//! more. A record repeats another one of the same drain, or of the drain before. During a drain there are those that stayed,
//! and one more for each process with a record in the ring or the overflow hash; a pass in between adds one for each process it
//! misses. The oldest are dropped first. If one without final totals is dropped, the table ignores and counts the final record
//! that comes later.

use std::collections::VecDeque;

use super::booked::Booked;
use super::id::Map;
use super::phase::Counted;
use super::{AccountId, ProcessId};

/// At least this many tombstones stay.
pub(super) const CAPACITY: usize = 8192;

/// The facts that the table keeps of a closed process.
#[derive(Debug)]
pub(super) struct Tombstone {
    /// The account of its use; the tombstone keeps the account open.
    pub(super) account: AccountId,
    /// The totals that were booked.
    pub(super) booked: Booked,
    pub(super) counted: Counted,
}

/// Tombstones by identity, with the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Numbers in the order of burial. The tombstones themselves are in `order`: a hash table of them would have twice as many
    /// places as the queue, and would double once more when removals have used up its empty places.
    by_id: Map<ProcessId, u64>,
    /// In the order of burial; `None`: the tombstone was removed before its turn.
    order: VecDeque<Option<(ProcessId, Tombstone)>>,
    /// Number of places removed from the front of `order`.
    forgotten: u64,
    /// Burials since the last trim.
    fresh: usize,
}

impl Tombstones {
    pub(super) fn entry_mut(&mut self, id: ProcessId) -> Option<&mut Tombstone> {
        let nth = *self.by_id.get(&id)?;
        let (_, tombstone) = self.place(nth)?.as_mut()?;
        Some(tombstone)
    }

    pub(super) fn contains(&self, id: ProcessId) -> bool {
        self.by_id.contains_key(&id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Removes and returns the tombstone of `id`.
    pub(super) fn exhume(&mut self, id: ProcessId) -> Option<Tombstone> {
        let nth = self.by_id.remove(&id)?;
        let (_, tombstone) = self.place(nth)?.take()?;
        Some(tombstone)
    }

    fn place(&mut self, nth: u64) -> Option<&mut Option<(ProcessId, Tombstone)>> {
        let place = usize::try_from(nth.checked_sub(self.forgotten)?).ok()?;
        self.order.get_mut(place)
    }

    /// Adds a tombstone for `id`. Returns an earlier one of the same process.
    pub(super) fn bury(&mut self, id: ProcessId, tombstone: Tombstone) -> Option<Tombstone> {
        let earlier = self.exhume(id);
        let nth = self.forgotten + self.order.len() as u64;
        self.by_id.insert(id, nth);
        self.order.push_back(Some((id, tombstone)));
        self.fresh += 1;
        earlier
    }

    /// To be called at the end of a drain: removes surplus tombstones and passes them to `forget`.
    pub(super) fn trim(&mut self, mut forget: impl FnMut(ProcessId, Tombstone)) {
        let kept = CAPACITY.max(std::mem::take(&mut self.fresh));
        let excess = self.order.len().saturating_sub(kept);
        self.forgotten += excess as u64;
        for (id, tombstone) in self.order.drain(..excess).flatten() {
            self.by_id.remove(&id);
            forget(id, tombstone);
        }
        // Gives back the memory that one large drain needed.
        if excess > CAPACITY {
            self.order.shrink_to(kept);
            self.by_id.shrink_to(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ProcessId {
        ProcessId {
            tgid: 1,
            start_ns: n as u64,
        }
    }

    fn bury(graves: &mut Tombstones, ids: std::ops::Range<usize>) {
        for n in ids {
            let tombstone = Tombstone {
                account: AccountId(0),
                booked: Booked::default(),
                counted: Counted::default(),
            };
            assert!(graves.bury(id(n), tombstone).is_none());
        }
    }

    fn trim(graves: &mut Tombstones) -> Vec<usize> {
        let mut forgotten = Vec::new();
        graves.trim(|id, _| forgotten.push(usize::try_from(id.start_ns).unwrap()));
        forgotten
    }

    #[test]
    fn oldest_tombstones_are_forgotten_at_the_end_of_a_drain() {
        let mut graves = Tombstones::default();
        bury(&mut graves, 0..CAPACITY);
        assert!(trim(&mut graves).is_empty());
        bury(&mut graves, CAPACITY..CAPACITY + 2);
        assert_eq!(graves.len(), CAPACITY + 2);
        assert_eq!(trim(&mut graves), [0, 1]);
        assert_eq!(graves.len(), CAPACITY);
    }

    #[test]
    fn tombstones_of_a_large_drain_stay_until_the_end_of_the_next_one() {
        let mut graves = Tombstones::default();
        bury(&mut graves, 0..3 * CAPACITY);
        assert!(trim(&mut graves).is_empty());
        bury(&mut graves, 3 * CAPACITY..3 * CAPACITY + 1);
        assert_eq!(trim(&mut graves).len(), 2 * CAPACITY + 1);
        assert!(graves.contains(id(3 * CAPACITY)));
    }

    #[test]
    fn many_drains_take_no_more_room_than_the_first_ones() {
        let mut graves = Tombstones::default();
        for drain in 0..1000 {
            bury(&mut graves, drain * 4000..(drain + 1) * 4000);
            trim(&mut graves);
        }
        assert!(graves.order.capacity() <= 2 * CAPACITY);
        assert!(graves.by_id.capacity() <= 4 * CAPACITY);
    }

    #[test]
    fn exhumed_tombstone_keeps_its_place_but_not_another_one_for_its_process() {
        let mut graves = Tombstones::default();
        bury(&mut graves, 0..CAPACITY);
        assert!(graves.exhume(id(0)).is_some());
        assert!(graves.exhume(id(0)).is_none());
        bury(&mut graves, 0..1);
        assert!(trim(&mut graves).is_empty());
        bury(&mut graves, CAPACITY..CAPACITY + 1);
        assert_eq!(trim(&mut graves), [1]);
        assert!(graves.contains(id(0)));
    }
}

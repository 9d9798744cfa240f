//! Storage of the process table's entries: a few hundred bytes each, side by side, with an index from identity to place.
//!
//! A pass comes in the order of process ids, and most entries were inserted in that order: crediting a pass walks the memory
//! from one end to the other. A hash map of whole entries would scatter them, and would keep a third of its room empty.
//!
//! The store also numbers the passes: an entry that bears the number of the last pass is that of a live process.

use super::entry::Entry;
use super::id::Map;
use super::{AccountId, Live, ProcessId};

/// The number of entries by which the store may grow beyond its size after the last pass, at the end of a drain. An entry takes
/// some 600 bytes.
pub(super) const GROWTH: usize = 4096;

/// Entries in slots; `free` holds the numbers of empty slots, which later entries reuse.
#[derive(Debug, Default)]
pub(super) struct Store {
    places: Map<ProcessId, u32>,
    slots: Vec<Option<(ProcessId, Entry)>>,
    free: Vec<u32>,
    /// Start of the latest process with each process id.
    latest: Map<u32, u64>,
    /// Number of passes so far.
    pub(super) passes: u64,
    /// Number of entries after the last pass.
    len_after_pass: usize,
}

impl Store {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn contains(&self, id: ProcessId) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn get(&self, id: ProcessId) -> Option<&Entry> {
        let place = *self.places.get(&id)?;
        let (_, entry) = self.slots.get(place as usize)?.as_ref()?;
        Some(entry)
    }

    pub(super) fn entry_mut(&mut self, id: ProcessId) -> Option<&mut Entry> {
        let place = *self.places.get(&id)?;
        let (_, entry) = self.slots.get_mut(place as usize)?.as_mut()?;
        Some(entry)
    }

    /// Stores `entry` and drops an earlier entry of the same identity.
    pub(super) fn insert(&mut self, id: ProcessId, entry: Entry) {
        self.remove(id);
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // There are never more entries than 32 bits can number: the kernel has fewer process ids.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.slots[place as usize] = Some((id, entry));
        self.places.insert(id, place);
        let latest = self.latest.entry(id.tgid).or_default();
        *latest = (*latest).max(id.start_ns);
    }

    pub(super) fn remove(&mut self, id: ProcessId) -> Option<Entry> {
        let place = self.places.remove(&id)?;
        self.free.push(place);
        if self.latest.get(&id.tgid) == Some(&id.start_ns) {
            self.latest.remove(&id.tgid);
        }
        let (_, entry) = self.slots.get_mut(place as usize)?.take()?;
        Some(entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ProcessId, &Entry)> {
        let taken = self.slots.iter().flatten();
        taken.map(|(id, entry)| (*id, entry))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ProcessId, &mut Entry)> {
        let taken = self.slots.iter_mut().flatten();
        taken.map(|(id, entry)| (*id, entry))
    }

    /// The latest process with this process id.
    pub(super) fn latest(&self, tgid: u32) -> Option<ProcessId> {
        let start_ns = *self.latest.get(&tgid)?;
        Some(ProcessId { tgid, start_ns })
    }

    /// The account of the latest process with this process id.
    pub(super) fn account_of(&self, tgid: u32) -> Option<AccountId> {
        self.get(self.latest(tgid)?).map(Entry::account)
    }

    /// The process, if the last pass saw it.
    pub(super) fn live_one(&self, id: ProcessId) -> Option<Live<'_>> {
        Live::at(id, self.get(id)?, self.passes)
    }

    /// Processes that the last pass saw.
    pub(super) fn live(&self) -> impl Iterator<Item = Live<'_>> {
        let passes = self.passes;
        self.iter()
            .filter_map(move |(id, entry)| Live::at(id, entry, passes))
    }

    /// To be called at the end of a pass.
    pub(super) fn end_pass(&mut self) {
        self.len_after_pass = self.len();
    }

    /// Whether the store has grown by more than [`GROWTH`] entries since the last pass.
    pub(super) fn has_outgrown(&self) -> bool {
        self.len() > self.len_after_pass + GROWTH
    }
}

#[cfg(test)]
mod tests {
    use super::super::membership::Membership;
    use super::super::phase::ImageOrigin;
    use super::*;

    fn entry(n: u32) -> Entry {
        Entry::new(Membership::own(AccountId(n)), ImageOrigin::Forked)
    }

    #[test]
    fn places_are_used_again_and_never_mixed_up() {
        let id = |tgid| ProcessId { tgid, start_ns: 1 };
        let mut store = Store::default();
        for n in 0..4 {
            store.insert(id(n), entry(n));
        }
        assert!(store.remove(id(1)).is_some());
        assert!(store.remove(id(1)).is_none());
        store.insert(id(9), entry(9));
        store.insert(id(2), entry(7));
        let account = |n| store.get(id(n)).map(|entry| entry.account().0);
        assert_eq!([0, 1, 2, 9].map(account), [Some(0), None, Some(7), Some(9)]);
        assert_eq!((store.len(), store.iter().count()), (4, 4));
        assert_eq!(store.slots.len(), 4);
    }
}

//! A map of bounded size. An entry that was not seen for the longest time makes room for a new one.

use std::collections::HashMap;

/// Values by key, at most `most` of them.
#[derive(Debug)]
pub(super) struct Recent<V> {
    most: usize,
    added: u64,
    entries: HashMap<u64, RecentEntry<V>>,
}

#[derive(Debug)]
struct RecentEntry<V> {
    /// When it was seen last.
    seen: u64,
    /// Entries added before it.
    rank: u64,
    value: V,
}

impl<V: Default> Recent<V> {
    /// An empty map for at most `most` values.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            added: 0,
            entries: HashMap::new(),
        }
    }

    /// Sees all `keys` at `now`, which is later than at the call before. Keys that are new begin with the default, as long as
    /// there is room or an entry that is not among `keys`.
    pub(super) fn see(&mut self, keys: impl Iterator<Item = u64>, now: u64) {
        let mut new = Vec::new();
        for key in keys {
            match self.entries.get_mut(&key) {
                Some(entry) => entry.seen = now,
                None => new.push(key),
            }
        }
        for key in new {
            if self.entries.len() >= self.most && !self.forget_one(now) {
                return;
            }
            let rank = self.added;
            self.added += 1;
            self.entries.entry(key).or_insert_with(|| RecentEntry {
                seen: now,
                rank,
                value: V::default(),
            });
        }
    }

    /// Forgets the entry that was not seen for the longest time; `false` if all were seen at `now`.
    fn forget_one(&mut self, now: u64) -> bool {
        let unseen = self.entries.iter().filter(|(_, entry)| entry.seen < now);
        let oldest = unseen.min_by_key(|(_, entry)| (entry.seen, entry.rank));
        let Some(key) = oldest.map(|(key, _)| *key) else {
            return false;
        };
        self.entries.remove(&key).is_some()
    }

    /// The value of a key.
    pub(super) fn find_mut(&mut self, key: u64) -> Option<&mut V> {
        Some(&mut self.entries.get_mut(&key)?.value)
    }

    /// The value of a key.
    pub(super) fn find(&self, key: u64) -> Option<&V> {
        Some(&self.entries.get(&key)?.value)
    }

    /// Entries that were added before that of this key, since the start.
    pub(super) fn rank(&self, key: u64) -> Option<u64> {
        Some(self.entries.get(&key)?.rank)
    }

    /// The keys that were seen last at `then`.
    pub(super) fn seen_at(&self, then: u64) -> impl Iterator<Item = u64> {
        let seen = self
            .entries
            .iter()
            .filter(move |(_, entry)| entry.seen == then);
        seen.map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_that_was_not_seen_for_the_longest_time_makes_room() {
        let mut recent = Recent::<u32>::new(3);
        for (now, keys) in [(1, [1, 2]), (2, [1, 3])] {
            recent.see(keys.into_iter(), now);
        }
        *recent.find_mut(1).unwrap() = 7;
        recent.see([4, 1].into_iter(), 3);
        assert_eq!(recent.find(2), None, "not seen since 1");
        assert_eq!(
            (recent.find(1), recent.find(3), recent.find(4)),
            (Some(&7), Some(&0), Some(&0))
        );
        assert_eq!((recent.rank(1), recent.rank(4)), (Some(0), Some(3)));
        let mut seen: Vec<u64> = recent.seen_at(3).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 4]);
    }

    #[test]
    fn entries_that_are_in_use_never_make_room() {
        let mut recent = Recent::<u32>::new(2);
        recent.see([1, 2].into_iter(), 1);
        *recent.find_mut(2).unwrap() = 7;
        // New ones stand before those that are known.
        recent.see([5, 6, 2, 1].into_iter(), 2);
        assert_eq!(
            (recent.find(1), recent.find(2), recent.find(5)),
            (Some(&0), Some(&7), None)
        );
    }
}

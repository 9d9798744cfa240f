//! Reclassification after a reload: the new configuration decides every process that a scrape still shows.

use std::collections::HashSet;

use super::entry::Entry;
use super::{AccountId, State, Table};

impl Table {
    /// To be called after a pass: then all use so far is booked, and it stays where it is. All living processes become
    /// [unclassified](Table::unclassified); until a process is decided anew, its old decision holds.
    ///
    /// So does a process that has ended but that the pass still saw (mostly a zombie), if the new configuration may decide
    /// otherwise: `is_outdated` selects such accounts. A process that no pass will see again keeps its group, for all records
    /// that still come.
    ///
    /// Returns the accounts that become undecided, in the order in which the grouper has to learn of it.
    pub fn reclassify(&mut self, is_outdated: impl Fn(AccountId) -> bool) -> Vec<AccountId> {
        let mut undecided = Vec::new();
        let mut decided_by_living: HashSet<AccountId> = HashSet::new();
        for (id, entry) in self.processes.iter_mut() {
            entry.is_use_fixed = true;
            // A process that runs its parent's image gets the group of that image.
            if !entry.membership.is_own() || is_ending(entry) {
                continue;
            }
            decided_by_living.insert(entry.account());
            entry.membership.undecide();
            undecided.push(entry.account());
            self.waiting.insert(id);
            // Nothing was read of it while it was in no group.
            entry.sight.probed = None;
        }
        for (id, entry) in self.processes.iter_mut() {
            let is_shown = entry.sight.seen == self.passes && is_ending(entry);
            if is_shown
                && !decided_by_living.contains(&entry.account())
                && is_outdated(entry.account())
            {
                // Zombies that share an image without a living process are decided by the first of them.
                entry.membership.undecide();
                undecided.push(entry.account());
                self.waiting.insert(id);
            }
        }
        undecided
    }
}

fn is_ending(entry: &Entry) -> bool {
    let is_zombie = entry
        .sight
        .held
        .is_some_and(|held| matches!(held.state, State::Zombie));
    entry.has_ended() || is_zombie
}

//! After a reload, every process that a scrape still shows is decided by the new configuration.

use super::{
    AccountId, Ledger, State, Table,
    entry::{Entry, Naming},
};
use std::collections::HashSet;

impl Table {
    /// To be called after a pass: what was used so far is booked then, and stays where it is. Whoever lives is
    /// [unclassified](Table::unclassified) from now on; until it is decided anew, the old decision holds.
    ///
    /// So is a process that has ended and that the pass still saw, a zombie mostly, if the new configuration may decide
    /// otherwise. A process that no pass will see again stays where it was, with everything that is still told of it.
    pub fn reclassify(&mut self, ledger: &mut impl Ledger) {
        let mut decided_by_living: HashSet<AccountId> = HashSet::new();
        for (id, entry) in self.processes.iter_mut() {
            entry.reclassified = true;
            // One that runs its parent's image goes where that goes.
            if !entry.own || has_ended(entry) {
                continue;
            }
            decided_by_living.insert(entry.account);
            ledger.undecide(entry.account);
            if matches!(entry.naming, Naming::Done) {
                entry.naming = Naming::Waiting(None);
            }
            self.waiting.insert(id);
            // What was in no group was not read.
            entry.probed = None;
        }
        for (id, entry) in self.processes.iter_mut() {
            let is_shown = entry.seen == self.passes && has_ended(entry);
            if is_shown
                && !decided_by_living.contains(&entry.account)
                && ledger.is_outdated(entry.account)
            {
                // Zombies that share an image without a living process are decided by the first of them.
                ledger.undecide(entry.account);
                if matches!(entry.naming, Naming::Done) {
                    entry.naming = Naming::Waiting(None);
                }
                self.waiting.insert(id);
            }
        }
    }
}

fn has_ended(entry: &Entry) -> bool {
    let is_zombie = entry
        .held
        .is_some_and(|held| matches!(held.state, State::Zombie));
    entry.exit_booked || entry.projected || entry.absent_since_ns.is_some() || is_zombie
}

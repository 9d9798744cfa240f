//! Everybody is looked at again, because the configuration has changed.

use super::{
    Ledger, State, Table,
    entry::{Entry, Naming},
};

impl Table {
    /// To be called after a pass: what was used so far is booked then, and stays where it is. Whoever lives is
    /// [unclassified](Table::unclassified) from now on; until it is decided anew, the old decision holds. Who has ended is
    /// not looked at any more, and stays where it was, with all that is still told of it.
    pub fn reclassify(&mut self, ledger: &mut impl Ledger) {
        for (id, entry) in self.processes.iter_mut() {
            entry.reclassified = true;
            // One that runs its parent's image goes where that goes.
            if !entry.own || has_ended(entry) {
                continue;
            }
            ledger.undecide(entry.account);
            if matches!(entry.naming, Naming::Done) {
                entry.naming = Naming::Waiting(None);
            }
            self.waiting.insert(id);
            // What was in no group was not read.
            entry.probed = None;
        }
    }
}

fn has_ended(entry: &Entry) -> bool {
    let is_zombie = entry
        .held
        .is_some_and(|held| matches!(held.state, State::Zombie));
    entry.exit_booked || entry.projected || entry.absent_since_ns.is_some() || is_zombie
}

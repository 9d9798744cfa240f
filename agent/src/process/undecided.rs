//! The processes whose account waits for a decision, and the arguments they hold meanwhile.
//!
//! Reclassification after a reload: the new configuration decides every process that a scrape still shows.

use std::collections::HashSet;

use super::held_arguments::{HeldArguments, SHORT};
use super::id::Set;
use super::membership::Naming;
use super::store::Store;
use super::{AccountId, IncompleteExec, Ledger, Live, ProcessId, Unclassified};

/// Processes whose account waits for a decision.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    ids: Set<ProcessId>,
    /// Bounds the long arguments that these processes hold.
    arguments: HeldArguments,
}

impl Undecided {
    pub(super) fn insert(&mut self, id: ProcessId) {
        self.ids.insert(id);
    }

    pub(super) fn remove(&mut self, id: ProcessId) {
        self.ids.remove(&id);
    }

    pub(super) fn contains(&self, id: ProcessId) -> bool {
        self.ids.contains(&id)
    }

    /// The process `former` has the identity `id` from now on.
    pub(super) fn rename(&mut self, former: ProcessId, id: ProcessId) {
        if self.ids.remove(&former) {
            self.ids.insert(id);
        }
    }

    /// The live ones, parents before children.
    pub(super) fn live(&self, processes: &Store) -> Vec<Unclassified> {
        let ids = self.ids.iter();
        let mut found: Vec<_> = ids.filter_map(|id| unclassified(*id, processes)).collect();
        found.sort_unstable_by_key(|one| (one.id.start_ns, one.id.tgid));
        found
    }

    /// The present state of `one`. `None` if it is decided or gone by now, or runs another program.
    pub(super) fn still(&self, one: &Unclassified, processes: &Store) -> Option<Unclassified> {
        let waits = self.contains(one.id);
        let now = waits.then(|| unclassified(one.id, processes)).flatten();
        now.filter(|now| now.account == one.account)
    }

    /// Counts the argument bytes of `id`, and makes the oldest processes give way.
    pub(super) fn hold_arguments(
        &mut self,
        id: ProcessId,
        bytes: usize,
        processes: &mut Store,
        ledger: &mut impl Ledger,
    ) {
        for oldest in self.arguments.add(id, bytes) {
            let Some(entry) = processes.entry_mut(oldest) else {
                continue;
            };
            let Naming::Waiting(Some(facts)) = &mut entry.membership.naming else {
                continue;
            };
            if facts.incomplete || facts.cgroups.is_empty() {
                facts.argv = facts.argv.shortened(SHORT);
                facts.incomplete = true;
            } else {
                entry.membership.name_by_events(None, ledger);
                self.ids.remove(&oldest);
            }
        }
    }

    /// Queues a process whose exec record could not hold all facts.
    pub(super) fn note_incomplete(&mut self, one: IncompleteExec) {
        self.arguments.note_incomplete(one);
    }

    /// The processes queued since the last call.
    pub(super) fn take_incomplete(&mut self) -> Vec<IncompleteExec> {
        std::mem::take(&mut self.arguments.incomplete)
    }

    /// As [`Table::reclassify`](super::Table::reclassify).
    pub(super) fn reclassify(
        &mut self,
        processes: &mut Store,
        is_outdated: impl Fn(AccountId) -> bool,
    ) -> Vec<AccountId> {
        let passes = processes.passes;
        let mut undecided = Vec::new();
        let mut decided_by_living: HashSet<AccountId> = HashSet::new();
        for (id, entry) in processes.iter_mut() {
            entry.is_use_fixed = true;
            // A process that runs its parent's image gets the group of that image.
            if !entry.membership.is_own() || entry.is_ending() {
                continue;
            }
            decided_by_living.insert(entry.account());
            entry.membership.undecide();
            undecided.push(entry.account());
            self.ids.insert(id);
            // Nothing was read of it while it was in no group.
            entry.sight.probed = None;
        }
        for (id, entry) in processes.iter_mut() {
            let account = entry.account();
            let is_shown = entry.sight.seen == passes && entry.is_ending();
            if is_shown && !decided_by_living.contains(&account) && is_outdated(account) {
                // Zombies that share an image without a living process are decided by the first of them.
                entry.membership.undecide();
                undecided.push(account);
                self.ids.insert(id);
            }
        }
        undecided
    }
}

/// The process, if the last pass saw it.
fn unclassified(id: ProcessId, processes: &Store) -> Option<Unclassified> {
    let Live { held, entry, .. } = processes.live_one(id)?;
    let account = entry.account();
    let membership = &entry.membership;
    let facts = membership.waiting_facts();
    Some(Unclassified {
        id,
        account,
        parent: processes.account_of(held.parent),
        // A zombie may get the group of the image it was born into.
        birth: membership.birth.filter(|birth| *birth != account),
        cgroup_id: facts.and_then(|facts| facts.cgroup_id),
    })
}

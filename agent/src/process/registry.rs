//! The effect of a record of the kernel programs: it opens, ends and closes the entries of processes.

use super::entry::{Entry, book, exit_tally};
use super::graveyard::Graveyard;
use super::membership::Membership;
use super::owners::FoundAccount;
use super::phase::{AtExit, ImageOrigin, Phase};
use super::store::Store;
use super::threads::Threads;
use super::tombstones::Tombstone;
use super::undecided::Undecided;
use super::{
    AccountId, Booking, Counters, Event, ExitStatus, Facts, Former, IncompleteExec, Ledger,
    Lifecycle, ProcessId, Released, TableStatistics, Tally,
};

/// All known processes by identity, those without a decision, and the tombstones of those that are closed.
#[derive(Debug, Default)]
pub(super) struct ProcessRegistry {
    /// When the source began to watch, nanoseconds since boot.
    pub(super) since_ns: u64,
    pub(super) processes: Store,
    pub(super) undecided: Undecided,
    pub(super) graves: Graveyard,
    pub(super) statistics: TableStatistics,
}

impl ProcessRegistry {
    /// Takes one record.
    pub(super) fn apply(&mut self, event: Event, ledger: &mut impl Ledger) {
        match event {
            Event::Forked { child, parent } => {
                let (child, parent) = (self.known_as(child), self.known_as(parent));
                self.forked(child, parent, ledger);
            }
            Event::Execed {
                id,
                facts,
                parent,
                counters,
                former,
            } => {
                let id = self.known_as(id);
                let parent = self.processes.account_of(parent);
                self.execed(id, facts, parent, (counters, former), ledger);
            }
            Event::Exited {
                id,
                counters,
                status,
                oom_killed,
            } => {
                let id = self.known_as(id);
                self.exited(id, counters, status, oom_killed, ledger);
            }
            Event::Released(released) => self.released(&released, ledger),
        }
    }

    fn forked(&mut self, child: ProcessId, parent: ProcessId, ledger: &mut impl Ledger) {
        let fork = Tally::from(Lifecycle {
            forks: 1,
            ..Lifecycle::default()
        });
        let inherited = self.image_of(parent, ledger);
        let is_young_count = u64::from(child.start_ns >= self.since_ns);
        if let Some(entry) = self.processes.entry_mut(child) {
            // A pass, or another record, came first.
            if !std::mem::replace(&mut entry.counted.fork, true) {
                self.statistics.announced_late += is_young_count;
                book(ledger, inherited.unwrap_or(entry.account()), fork);
            }
            return;
        }
        if let Some(tombstone) = self.graves.entry_mut(child) {
            if !std::mem::replace(&mut tombstone.counted.fork, true) {
                let account = inherited.unwrap_or(tombstone.account);
                book(ledger, account, fork);
                self.statistics.announced_late += is_young_count;
            }
            return;
        }
        let membership = match inherited {
            Some(account) => {
                // Twice: the child uses it as its own account and as the one it was born into.
                ledger.take(Booking::Shared(account));
                ledger.take(Booking::Shared(account));
                Membership::inherited(account)
            }
            None => {
                self.undecided.insert(child);
                Membership::own(ledger.open(None))
            }
        };
        let mut entry = Entry::new(membership, ImageOrigin::Forked);
        entry.counted.fork = true;
        book(ledger, entry.account(), fork);
        self.insert(child, entry, ledger);
    }

    /// The account of a process that forks. If its own fork record was lost, this record is the first sign of it, and it gets an
    /// entry: its children share its image, in any group. `None` if its tombstone may have been dropped.
    fn image_of(&mut self, parent: ProcessId, ledger: &mut impl Ledger) -> Option<AccountId> {
        if let Some(parent) = self.processes.get(parent) {
            return Some(parent.account());
        }
        // The programs on tracepoints do not know the start of a process that was born before they were attached.
        if parent.start_ns == 0 {
            return self.processes.account_of(parent.tgid);
        }
        // The record may be late, and the parent closed already.
        if let Some(tombstone) = self.graves.entry_mut(parent) {
            return Some(tombstone.account);
        }
        if self.graves.may_have_forgotten(parent) {
            return None;
        }
        self.add_unannounced(parent, None, true, ledger);
        self.processes.get(parent).map(Entry::account)
    }

    fn execed(
        &mut self,
        id: ProcessId,
        facts: Box<Facts>,
        parent: Option<AccountId>,
        (counters, former): (Counters, Former),
        ledger: &mut impl Ledger,
    ) {
        let exec = Tally::from(Lifecycle {
            execs: former.execs(),
            ..Lifecycle::default()
        });
        if self.graves.contains(id) {
            // The final record overtook the exec: its totals are booked already, but the exec still counts.
            let account = ledger.open(parent);
            ledger.take(Booking::Named(account, Some(&facts)));
            book(ledger, account, exec);
            ledger.take(Booking::Closed(account));
            return;
        }
        if !self.processes.contains(id) {
            self.add_unannounced(id, parent, true, ledger);
        }
        let is_young = self.is_young(id);
        let Some(entry) = self.processes.entry_mut(id) else {
            return;
        };
        entry.trust_if_young(is_young);
        let account = ledger.open(entry.membership.birth.or(parent));
        let argument_bytes = facts.argv.bytes();
        let incomplete = facts.incomplete.then(|| IncompleteExec {
            id,
            account,
            uid: facts.uid.unwrap_or_default(),
        });
        entry.begin_image(account, facts, counters, &former, ledger);
        book(ledger, account, exec);
        self.undecided.insert(id);
        self.undecided
            .hold_arguments(id, argument_bytes, &mut self.processes, ledger);
        if let Some(incomplete) = incomplete {
            self.undecided.note_incomplete(incomplete);
        }
    }

    fn exited(
        &mut self,
        id: ProcessId,
        counters: Counters,
        status: ExitStatus,
        oom_killed: bool,
        ledger: &mut impl Ledger,
    ) {
        let passes = self.processes.passes;
        if let Some(tombstone) = self.graves.entry_mut(id) {
            if !std::mem::replace(&mut tombstone.counted.exit, true) {
                let account = tombstone.account;
                book(ledger, account, exit_tally(status, oom_killed));
            }
            return;
        }
        if !self.processes.contains(id) {
            self.add_unannounced(id, None, true, ledger);
        }
        if let Some(entry) = self.processes.entry_mut(id) {
            entry.membership.leave(ledger);
            // Its final totals may come late, but its name cannot change any more.
            if entry.membership.name_at_exit(ledger) {
                self.undecided.remove(id);
            }
            entry.book_exit(status, oom_killed, ledger);
            if !matches!(entry.phase, Phase::Projected) {
                entry.phase = Phase::Exited(Box::new(AtExit { counters, passes }));
            }
        }
    }

    /// Takes final totals. They do not count the exit: the exit record reaches the agent once, whole, merged or in a sum, and
    /// counts it.
    fn released(&mut self, released: &Released, ledger: &mut impl Ledger) {
        let id = self.known_as(released.id);
        if let Some(tombstone) = self.graves.entry_mut(id) {
            let delta = tombstone.booked.raise(&released.counters);
            book(ledger, tombstone.account, delta.into());
            return;
        }
        if !self.processes.contains(id) {
            // Earlier totals of this process may be booked, and its tombstone dropped.
            if released.repeated || self.graves.may_have_forgotten(id) {
                self.statistics.late_ignored += 1;
                return;
            }
            let parent = self.processes.account_of(released.parent);
            self.add_unannounced(id, parent, true, ledger);
        }
        let is_young = self.is_young(id);
        let Some(entry) = self.processes.entry_mut(id) else {
            return;
        };
        let dropped_ns = entry.release(released, is_young, ledger);
        self.statistics.drop_cpu(dropped_ns);
        if !released.projected {
            self.close(id, true, ledger);
        }
    }

    /// Whether the process was born after the agent began to watch: then all its use counts.
    pub(super) const fn is_young(&self, id: ProcessId) -> bool {
        id.start_ns >= self.since_ns
    }

    /// Adds a process that was first seen without a fork record. `reports_forks`: the source does, so the record was lost or is
    /// late.
    pub(super) fn add_unannounced(
        &mut self,
        id: ProcessId,
        parent: Option<AccountId>,
        reports_forks: bool,
        ledger: &mut impl Ledger,
    ) {
        let is_older = !self.is_young(id);
        self.statistics.unannounced += u64::from(reports_forks && !is_older);
        let origin = match is_older {
            true => ImageOrigin::Older,
            false => ImageOrigin::Forked,
        };
        let entry = Entry::new(Membership::own(ledger.open(parent)), origin);
        self.insert(id, entry, ledger);
        self.undecided.insert(id);
    }

    /// The account of a process that owns sockets: as it is now, or as it was at its end.
    pub(super) fn owner_account(&mut self, id: ProcessId) -> Option<FoundAccount> {
        let id = self.known_as(id);
        if let Some(entry) = self.processes.get(id) {
            return Some(FoundAccount {
                account: entry.account(),
                is_ended: entry.has_ended(),
            });
        }
        let tombstone = self.graves.entry_mut(id)?;
        Some(FoundAccount {
            account: tombstone.account,
            is_ended: true,
        })
    }

    /// The identity by which the table knows a process. One source may give the start in nanoseconds, and another, which has
    /// not seen the process run, in ticks of 10 ms. The finer one is kept.
    pub(super) fn known_as(&mut self, id: ProcessId) -> ProcessId {
        let Some(known) = self.processes.latest(id.tgid) else {
            return id;
        };
        if known == id || known.tick() != id.tick() {
            return id;
        }
        if id.is_of_tick() {
            return known;
        }
        if known.is_of_tick()
            && !self.processes.contains(id)
            && let Some(entry) = self.processes.remove(known)
        {
            self.processes.insert(id, entry);
            self.undecided.rename(known, id);
        }
        id
    }

    fn insert(&mut self, id: ProcessId, mut entry: Entry, ledger: &mut impl Ledger) {
        entry.membership.enter(ledger);
        self.processes.insert(id, entry);
    }

    /// Reopens a process that a pass missed. Without final records such a process is closed at once. When it shows up again,
    /// booking goes on from the booked totals, and it waits for a decision as if it were new: its group may be forgotten.
    pub(super) fn exhume(&mut self, id: ProcessId, parent: u32, ledger: &mut impl Ledger) {
        if let Some(tombstone) = self.graves.finals.exhume(id) {
            let parent = self.processes.account_of(parent);
            let membership = Membership::own(ledger.open(parent));
            let mut entry = Entry::new(membership, ImageOrigin::Known);
            entry.booked = tombstone.booked;
            entry.sight.threads = Threads::of_reappeared(tombstone.booked);
            ledger.take(Booking::Closed(tombstone.account));
            self.insert(id, entry, ledger);
            self.undecided.insert(id);
        }
    }

    /// Removes a process and leaves a tombstone. `confirmed`: its totals are final.
    pub(super) fn close(&mut self, id: ProcessId, confirmed: bool, ledger: &mut impl Ledger) {
        let Some(mut entry) = self.processes.remove(id) else {
            return;
        };
        self.undecided.remove(id);
        entry.membership.leave(ledger);
        entry.membership.name_by_events(None, ledger);
        entry.release_former(ledger);
        let tombstone = Tombstone {
            account: entry.account(),
            booked: entry.booked,
            counted: entry.counted,
        };
        self.graves.bury(id, tombstone, confirmed, ledger);
    }
}

//! The process table: every process that the agent knows, the use that is booked for it, and the account it is booked to.
//!
//! ```text
//! fork record       the child shares its parent's account
//! first exec        the process gets its own account; its use since the fork goes with it (exceptions: launch.rs)
//! later exec        the old image keeps its share (a split); of too many between two passes the smallest are dropped
//! pass              what the process has used is booked; a process without its own account gets one
//! absent from pass  pending, until its final record comes, or unconfirmed after 60 s;
//!                   the totals of its exit record are booked, unless a sum by comm may hold them
//! final record      its totals are booked; the entry closes and leaves a tombstone, or stays while the process is a
//!                   zombie (projected). A repeated record adds only what it has more
//! unconfirmed       the entry closes and leaves a tombstone
//! ```
//!
//! Bookings are differences of absolute totals, so duplicated, lost and reordered records do no harm. What a process used
//! before the agent started is not booked. The table holds at most the processes after the last pass, a bounded number of those
//! born since (drained.rs) and the bounded tombstones. After a drain that found records lost, the caller takes a pass.

use std::collections::HashSet;
use std::sync::Arc;

use super::entry::{AtExit, Entry, Origin, Phase, book, exit_tally};
use super::held_arguments::{HeldArguments, IncompleteExec, SHORT};
use super::id::{Map, Set};
use super::membership::{Membership, Naming};
use super::proportional::KnownProportional;
use super::store::Store;
use super::threads::Threads;
use super::tombstones::{Tombstone, Tombstones};
use super::{
    AccountId, Booking, Counters, Event, ExitStatus, Facts, Former, Ledger, Lifecycle, ProcessId,
    Released, Tally,
};

/// Counts about the table itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStatistics {
    /// Processes that the last pass saw.
    pub live: u64,
    /// Processes absent from the last pass whose final totals have not come yet.
    pub pending: u64,
    /// Processes closed without final totals, because none came within 60 s. Their last totals from a pass or an exit record
    /// stand.
    pub unconfirmed: u64,
    /// CPU time booked to no group, because the image that used it is unknown or its share was dropped, nanoseconds.
    pub dropped_cpu_ns: u64,
    /// Final records that came after the table had forgotten the process, and were ignored.
    pub late_ignored: u64,
    /// Processes first known from a pass or a record other than their fork, because the fork record was lost or late.
    pub unannounced: u64,
    /// Of these, processes whose fork record came later.
    pub announced_late: u64,
}

impl TableStatistics {
    /// Saturates, as all sums of CPU time do: the kernel's records may hold any value.
    pub(super) const fn drop_cpu(&mut self, ns: u64) {
        self.dropped_cpu_ns = self.dropped_cpu_ns.saturating_add(ns);
    }
}

/// All known processes by identity, and the tombstones of those that are closed.
#[derive(Debug)]
pub struct Table {
    pub(super) since_ns: u64,
    pub(super) processes: Store,
    /// Start of the latest process with each process id.
    pub(super) by_tgid: Map<u32, u64>,
    pub(super) waiting: Set<ProcessId>,
    /// Bounds the long arguments that the waiting processes hold.
    pub(super) held_arguments: HeldArguments,
    /// Processes that ran before the last pass saw them: [`Table::refresh`] reads what a pass does not carry for them.
    pub(super) ran: Vec<ProcessId>,
    pub(super) finals: Tombstones,
    pub(super) unconfirmed: Tombstones,
    /// Start of the youngest process whose tombstone was dropped before its final record came.
    pub(super) forgotten_ns: Option<u64>,
    pub(super) passes: u64,
    /// Number of entries after the last pass.
    pub(super) len_after_pass: usize,
    /// Number of passes when the last sums by comm came.
    pub(super) summed: Option<u64>,
    pub(super) statistics: TableStatistics,
    /// Names of wait channels, each kept once; at most as many as the kernel has functions that wait.
    pub(super) wchans: HashSet<Arc<str>>,
}

impl Table {
    /// A table for a source that watches since `since_ns` (nanoseconds since boot). What processes born earlier used before
    /// their first reading is not booked.
    pub fn new(since_ns: u64) -> Self {
        Self {
            since_ns,
            processes: Store::default(),
            by_tgid: Map::default(),
            waiting: Set::default(),
            held_arguments: HeldArguments::default(),
            ran: Vec::new(),
            finals: Tombstones::default(),
            unconfirmed: Tombstones::default(),
            forgotten_ns: None,
            passes: 0,
            len_after_pass: 0,
            summed: None,
            statistics: TableStatistics::default(),
            wchans: HashSet::new(),
        }
    }

    /// Counts about the table itself.
    pub fn statistics(&self) -> TableStatistics {
        self.statistics
    }

    /// Takes one record.
    pub fn apply(&mut self, event: Event, ledger: &mut impl Ledger) {
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
                let parent = self.account_of(parent);
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

    /// Sums by comm came: the use of some process whose exit record is here may be in them.
    pub fn note_sums(&mut self) {
        self.summed = Some(self.passes);
    }

    fn forked(&mut self, child: ProcessId, parent: ProcessId, ledger: &mut impl Ledger) {
        let fork = Tally {
            lifecycle: Lifecycle {
                forks: 1,
                ..Lifecycle::default()
            },
            ..Tally::default()
        };
        let inherited = self.image_of(parent, ledger);
        let was_counted = u64::from(child.start_ns >= self.since_ns);
        if let Some(entry) = self.processes.entry_mut(child) {
            // A pass, or another record, came first.
            if !std::mem::replace(&mut entry.counted.fork, true) {
                self.statistics.announced_late += was_counted;
                book(ledger, inherited.unwrap_or(entry.account()), fork);
            }
            return;
        }
        if let Some(tombstone) = self.tombstone(child) {
            if !std::mem::replace(&mut tombstone.counted.fork, true) {
                let account = inherited.unwrap_or(tombstone.account);
                book(ledger, account, fork);
                self.statistics.announced_late += was_counted;
            }
            return;
        }
        let membership = match inherited {
            Some(account) => {
                ledger.take(Booking::Shared(account));
                ledger.take(Booking::Shared(account));
                Membership::inherited(account)
            }
            None => {
                self.waiting.insert(child);
                Membership::own(ledger.open(None))
            }
        };
        let mut entry = Entry::new(membership, Origin::Forked);
        entry.counted.fork = true;
        book(ledger, entry.account(), fork);
        self.insert(child, entry, ledger);
    }

    /// The account of a process that forks. If its own fork record was lost, this record is the first sign of it, and it gets
    /// an entry: its children share its image, whatever group that gets. `None` if its tombstone may have been dropped.
    fn image_of(&mut self, parent: ProcessId, ledger: &mut impl Ledger) -> Option<AccountId> {
        if let Some(parent) = self.processes.get(parent) {
            return Some(parent.account());
        }
        // The programs on tracepoints do not know the start of a process that was born before they were attached.
        if parent.start_ns == 0 {
            return self.account_of(parent.tgid);
        }
        // The record may be late, and the parent closed already.
        if let Some(tombstone) = self.tombstone(parent) {
            return Some(tombstone.account);
        }
        if self.may_be_forgotten(parent) {
            return None;
        }
        self.unheard(parent, None, true, ledger);
        self.processes.get(parent).map(Entry::account)
    }

    /// Whether the process may have had a tombstone that was dropped for newer ones.
    fn may_be_forgotten(&self, id: ProcessId) -> bool {
        let forgotten_ns = self.forgotten_ns;
        forgotten_ns.is_some_and(|forgotten_ns| id.start_ns <= forgotten_ns)
    }

    fn execed(
        &mut self,
        id: ProcessId,
        facts: Box<Facts>,
        parent: Option<AccountId>,
        (counters, former): (Counters, Former),
        ledger: &mut impl Ledger,
    ) {
        let exec = Tally {
            lifecycle: Lifecycle {
                execs: former.execs(),
                ..Lifecycle::default()
            },
            ..Tally::default()
        };
        if self.is_buried(id) {
            // The final record overtook the exec: its totals are booked already, but the exec still counts.
            let account = ledger.open(parent);
            ledger.take(Booking::Named(account, Some(&facts)));
            book(ledger, account, exec);
            ledger.take(Booking::Closed(account));
            return;
        }
        if !self.processes.contains(id) {
            self.unheard(id, parent, true, ledger);
        }
        let is_young = self.is_young(id);
        let Some(entry) = self.processes.entry_mut(id) else {
            return;
        };
        if is_young {
            entry.booked.trust_records();
        }
        let account = ledger.open(entry.membership.birth.or(parent));
        entry.membership.leave(ledger);
        // The old image's command line cannot be read any more.
        entry.membership.name_by_events(None, ledger);
        entry.end_image(counters, &former, ledger);
        entry.membership.account = account;
        entry.membership.enter(ledger);
        let argument_bytes = facts.argv.bytes();
        let uid = facts.uid.unwrap_or_default();
        let is_incomplete = facts.incomplete;
        entry.membership.naming = Naming::Waiting(Some(facts));
        // The memory that was read is the old image's.
        entry.sight.proportional = KnownProportional::default();
        book(ledger, account, exec);
        self.waiting.insert(id);
        self.hold_arguments(id, argument_bytes, ledger);
        if is_incomplete {
            self.held_arguments
                .note_incomplete(IncompleteExec { id, account, uid });
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
        let passes = self.passes;
        if let Some(tombstone) = self.tombstone(id) {
            if !std::mem::replace(&mut tombstone.counted.exit, true) {
                let account = tombstone.account;
                book(ledger, account, exit_tally(status, oom_killed));
            }
            return;
        }
        if !self.processes.contains(id) {
            self.unheard(id, None, true, ledger);
        }
        if let Some(entry) = self.processes.entry_mut(id) {
            entry.membership.leave(ledger);
            // Its final totals may come late, but its name cannot change any more.
            if entry.membership.name_at_exit(ledger) {
                self.waiting.remove(&id);
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
        if let Some(tombstone) = self.tombstone(id) {
            let delta = tombstone.booked.raise(&released.counters);
            let account = tombstone.account;
            book(
                ledger,
                account,
                Tally {
                    delta,
                    ..Tally::default()
                },
            );
            return;
        }
        if !self.processes.contains(id) {
            // Earlier totals of this process may be booked, and its tombstone dropped.
            if released.repeated || self.may_be_forgotten(id) {
                self.statistics.late_ignored += 1;
                return;
            }
            let parent = self.account_of(released.parent);
            self.unheard(id, parent, true, ledger);
        }
        let is_young = self.is_young(id);
        let Some(entry) = self.processes.entry_mut(id) else {
            return;
        };
        if is_young {
            entry.booked.trust_records();
        }
        entry.membership.leave(ledger);
        // A fork that never called exec gets the group of its image.
        let is_fork_only = entry.counted.fork && entry.origin == Origin::Forked;
        let facts = Some(&released.facts).filter(|_| !is_fork_only);
        entry.membership.name_by_events(facts, ledger);
        // The final totals hold the switches of all threads, dead ones included.
        let counters = entry.sight.threads.complete(released.counters, false);
        let dropped_ns = entry.credit(&counters, ledger);
        self.statistics.drop_cpu(dropped_ns);
        entry.phase = Phase::Projected;
        if !released.projected {
            self.close(id, true, ledger);
        }
    }

    /// Whether the process was born after the agent began to watch: then all its use counts.
    pub(super) const fn is_young(&self, id: ProcessId) -> bool {
        id.start_ns >= self.since_ns
    }

    /// Adds a process that was first seen without a fork record. `reports_forks`: the source does, so the record was lost or
    /// is late.
    pub(super) fn unheard(
        &mut self,
        id: ProcessId,
        parent: Option<AccountId>,
        reports_forks: bool,
        ledger: &mut impl Ledger,
    ) {
        let is_older = !self.is_young(id);
        self.statistics.unannounced += u64::from(reports_forks && !is_older);
        let origin = match is_older {
            true => Origin::Older,
            false => Origin::Forked,
        };
        let entry = Entry::new(Membership::own(ledger.open(parent)), origin);
        self.insert(id, entry, ledger);
        self.waiting.insert(id);
    }

    /// The identity by which the table knows a process. One source may give the start in nanoseconds, and another, which has
    /// not seen the process run, in ticks of 10 ms. The finer one is kept.
    pub(super) fn known_as(&mut self, id: ProcessId) -> ProcessId {
        let Some(start_ns) = self.by_tgid.get(&id.tgid).copied() else {
            return id;
        };
        let known = ProcessId { start_ns, ..id };
        if known == id || known.tick() != id.tick() {
            return id;
        }
        if id.is_of_tick() {
            return known;
        }
        if known.is_of_tick() && !self.processes.contains(id) {
            self.rename(known, id);
        }
        id
    }

    fn rename(&mut self, former: ProcessId, id: ProcessId) {
        if let Some(entry) = self.processes.remove(former) {
            self.by_tgid.insert(id.tgid, id.start_ns);
            self.processes.insert(id, entry);
            if self.waiting.remove(&former) {
                self.waiting.insert(id);
            }
        }
    }

    fn insert(&mut self, id: ProcessId, mut entry: Entry, ledger: &mut impl Ledger) {
        entry.membership.enter(ledger);
        let latest = self.by_tgid.entry(id.tgid).or_default();
        *latest = (*latest).max(id.start_ns);
        self.processes.insert(id, entry);
    }

    /// The account of the latest process with this process id.
    pub(super) fn account_of(&self, tgid: u32) -> Option<AccountId> {
        let start_ns = *self.by_tgid.get(&tgid)?;
        self.processes
            .get(ProcessId { tgid, start_ns })
            .map(Entry::account)
    }

    fn tombstone(&mut self, id: ProcessId) -> Option<&mut Tombstone> {
        self.finals
            .entry_mut(id)
            .or_else(|| self.unconfirmed.entry_mut(id))
    }

    /// Reopens a process that a pass missed. Without final records such a process is closed at once. When it shows up again,
    /// booking goes on from what was booked, and it waits for a decision as if it were new: its group may be forgotten.
    pub(super) fn exhume(&mut self, id: ProcessId, parent: u32, ledger: &mut impl Ledger) {
        if let Some(tombstone) = self.finals.exhume(id) {
            let parent = self.account_of(parent);
            let membership = Membership::own(ledger.open(parent));
            let mut entry = Entry::new(membership, Origin::Execed);
            entry.booked = tombstone.booked;
            entry.sight.threads = Threads::of_reappeared(tombstone.booked);
            ledger.take(Booking::Closed(tombstone.account));
            self.insert(id, entry, ledger);
            self.waiting.insert(id);
        }
    }

    pub(super) fn is_buried(&self, id: ProcessId) -> bool {
        self.finals.contains(id) || self.unconfirmed.contains(id)
    }

    /// Removes a process and leaves a tombstone. `confirmed`: its totals are final.
    pub(super) fn close(&mut self, id: ProcessId, confirmed: bool, ledger: &mut impl Ledger) {
        let Some(mut entry) = self.processes.remove(id) else {
            return;
        };
        if self.by_tgid.get(&id.tgid) == Some(&id.start_ns) {
            self.by_tgid.remove(&id.tgid);
        }
        self.waiting.remove(&id);
        entry.membership.leave(ledger);
        entry.membership.name_by_events(None, ledger);
        entry.release_former(ledger);
        let tombstone = Tombstone {
            account: entry.account(),
            booked: entry.booked,
            counted: entry.counted,
        };
        let graves = if confirmed {
            &mut self.finals
        } else {
            &mut self.unconfirmed
        };
        if let Some(earlier) = graves.bury(id, tombstone) {
            ledger.take(Booking::Closed(earlier.account));
        }
    }

    /// Counts the argument bytes from the exec record of `id`, and makes the oldest processes give way.
    pub(super) fn hold_arguments(&mut self, id: ProcessId, bytes: usize, ledger: &mut impl Ledger) {
        for oldest in self.held_arguments.add(id, bytes) {
            let Some(entry) = self.processes.entry_mut(oldest) else {
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
                self.waiting.remove(&oldest);
            }
        }
    }
}

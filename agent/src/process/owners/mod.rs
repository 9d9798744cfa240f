//! The processes that own sockets: the account of each, and its booked sums.
//!
//! ```text
//! first reading         the account of its process: live, or closed a short time ago (tombstone)
//! later readings        its present account, because an exec changes it; earlier bookings stay
//! process is forgotten  the account that it had last; this table keeps it open
//! never known           the first reading waits for records of the process; from the second on its payload is unattributed
//! ended, no socket,     the kernel may forget its sums
//!   no rise
//! not in the reading    the kernel has forgotten its sums; the entry closes
//! ```
//!
//! In: readings, and a function that finds the account of a process. Out: bookings, and owners that the kernel may forget.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry as Place;

use super::id::Map;
use super::network::{payload, raise};
use super::{
    AccountId, Booking, Ledger, NETWORK_OWNERS, NetworkBooks, NetworkCounters, NetworkGauges,
    NetworkReading, NetworkTotals, OwnerReading, Payload, ProcessId, SCOPES,
};

/// The account of an owner, as the process table knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundAccount {
    pub(super) account: AccountId,
    /// The process has ended: it opens no more sockets.
    pub(super) is_ended: bool,
}

impl FoundAccount {
    /// Has `known`, an account that its holder keeps open, be the account of the process from now on. If the process table does
    /// not know the process, `known` stays.
    pub(super) fn follow(
        found: Option<Self>,
        known: &mut Option<AccountId>,
        ledger: &mut impl Ledger,
    ) {
        let Some(Self { account, .. }) = found else {
            return;
        };
        if *known != Some(account) {
            ledger.take(Booking::Shared(account));
            if let Some(former) = known.replace(account) {
                ledger.take(Booking::Closed(former));
            }
        }
    }
}

/// One process that owns sockets, or did.
#[derive(Debug, Default)]
struct SocketOwner {
    /// Its account; the entry keeps it open. `None`: the process table does not know the process.
    account: Option<AccountId>,
    booked: [NetworkCounters; SCOPES],
    /// Number of the first reading and of the last reading with an entry of it.
    first: u64,
    last: u64,
    /// At the last reading it could still get use: the process lives, a socket does, or something was booked.
    is_active: bool,
}

/// All processes with sums in the kernel's map: at most [`NETWORK_OWNERS`], as in that map, and as many of the reading before.
#[derive(Debug, Default)]
pub(super) struct SocketOwners {
    owners: Map<ProcessId, SocketOwner>,
    unknown: [NetworkCounters; SCOPES],
    books: NetworkBooks,
    /// Number of readings so far.
    readings: u64,
}

impl SocketOwners {
    /// Sums that belong to no account; `None` before the first reading.
    pub(super) fn books(&self) -> Option<NetworkBooks> {
        (self.readings > 0).then_some(self.books)
    }

    /// Books a reading. Returns the owners whose sums the kernel need not keep: their process has ended, they have no living
    /// socket, and nothing has risen since the reading before.
    pub(super) fn take(
        &mut self,
        reading: &NetworkReading,
        mut find: impl FnMut(ProcessId) -> Option<FoundAccount>,
        ledger: &mut impl Ledger,
    ) -> Vec<ProcessId> {
        self.readings += 1;
        (self.books.owners, self.books.omitted) = (0, 0);
        for entry in &reading.owners {
            self.book(entry, reading.look, &mut find, ledger);
        }
        for (booked, now) in self.unknown.iter_mut().zip(&reading.unknown) {
            self.books.unattributed.add(payload(&raise(booked, now)));
        }
        self.take_totals(&reading.totals);
        rise(&mut self.books.missed, reading.missed);
        self.close_absent(ledger);
        let (owners, readings) = (self.owners.iter(), self.readings);
        let idle = owners.filter(|(_, owner)| !owner.is_active && owner.first < readings);
        idle.map(|(id, _)| *id).collect()
    }

    /// The gauges of the owners with living sockets, as of this reading, which was taken last.
    pub(super) fn living<'a>(
        &'a self,
        reading: &'a NetworkReading,
    ) -> impl Iterator<Item = (AccountId, usize, &'a NetworkGauges)> {
        let living = reading
            .owners
            .iter()
            .filter(|entry| entry.lives(reading.look));
        living.filter_map(|entry| {
            let account = self.owners.get(&entry.id)?.account?;
            Some((account, entry.scope, &entry.sums.gauges))
        })
    }

    fn book(
        &mut self,
        entry: &OwnerReading,
        look: u64,
        find: &mut impl FnMut(ProcessId) -> Option<FoundAccount>,
        ledger: &mut impl Ledger,
    ) {
        const MOST: usize = NETWORK_OWNERS as usize;
        let readings = self.readings;
        // Those of the reading before may still be here, and all of them may have been replaced.
        let is_full = self.books.owners >= MOST as u64 || self.owners.len() >= 2 * MOST;
        let owner = match self.owners.entry(entry.id) {
            _ if entry.scope >= SCOPES => {
                self.books.omitted += 1;
                return;
            }
            Place::Occupied(known) => known.into_mut(),
            Place::Vacant(_) if is_full => {
                self.books.omitted += 1;
                return;
            }
            Place::Vacant(place) => place.insert(SocketOwner {
                first: readings,
                ..SocketOwner::default()
            }),
        };
        if owner.last != readings {
            owner.last = readings;
            self.books.owners += 1;
            let found = find(entry.id);
            owner.is_active = found.is_some_and(|found| !found.is_ended);
            FoundAccount::follow(found, &mut owner.account, ledger);
        }
        let Some(booked) = owner.booked.get_mut(entry.scope) else {
            return;
        };
        owner.is_active |= entry.lives(look);
        if owner.account.is_none() && owner.first == readings {
            return;
        }
        let rise = raise(booked, &entry.sums.counters);
        if rise == NetworkCounters::default() {
            return;
        }
        owner.is_active = true;
        match owner.account {
            Some(account) => ledger.take(Booking::Network(account, entry.scope, &rise)),
            None => self.books.unattributed.add(payload(&rise)),
        }
    }

    /// Takes the sums of the node. Payload that found the kernel's map of owners full is unattributed.
    fn take_totals(&mut self, now: &NetworkTotals) {
        let totals = &mut self.books.totals;
        self.books.unattributed.add(Payload {
            sent_bytes: rise(&mut totals.unowned_sent_bytes, now.unowned_sent_bytes),
            received_bytes: rise(
                &mut totals.unowned_received_bytes,
                now.unowned_received_bytes,
            ),
        });
        rise(&mut totals.sent_bytes, now.sent_bytes);
        rise(&mut totals.received_bytes, now.received_bytes);
        rise(&mut totals.owners_full, now.owners_full);
        rise(&mut totals.storage_full, now.storage_full);
    }

    /// Closes the owners that the reading does not have.
    fn close_absent(&mut self, ledger: &mut impl Ledger) {
        let readings = self.readings;
        self.owners.retain(|_, owner| {
            let is_listed = owner.last == readings;
            if let Some(account) = owner.account.filter(|_| !is_listed) {
                ledger.take(Booking::Closed(account));
            }
            is_listed
        });
    }
}

impl OwnerReading {
    /// Whether look number `look` saw a socket of this entry.
    const fn lives(&self, look: u64) -> bool {
        look > 0 && self.sums.gauges.look == look
    }
}

/// Raises `booked` to `now`. Returns the rise.
fn rise(booked: &mut u64, now: u64) -> u64 {
    let rise = now.saturating_sub(*booked);
    *booked += rise;
    rise
}

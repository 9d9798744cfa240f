//! The processes that have served requests: the account of each, and its booked counts.
//!
//! ```text
//! first reading         the account of its process: live, or closed a short time ago (tombstone)
//! later readings        its present account, because an exec changes it; earlier bookings stay
//! never known           the first reading waits for records of the process; from the second on its exchanges are unattributed
//! ended, no rise        if nothing is in flight, the kernel may forget the counts; else another process may have the socket, and answer
//! not in the reading    the kernel has forgotten its counts; the entry closes
//! ```
//!
//! In: readings, and a function that finds the account of a process. Out: bookings, and processes that the kernel may forget.

use super::id::Map;
use super::owners::FoundAccount;
use super::{
    AccountId, Booking, Ledger, ProcessId, REQUEST_OWNERS, RequestBooks, RequestCounters,
    RequestReading, RequestTally, ServedReading,
};

/// One process that has served requests.
#[derive(Debug, Default)]
struct Served {
    /// Its account; the entry keeps it open. `None`: the process table does not know the process.
    account: Option<AccountId>,
    booked: RequestTally,
    /// Up to when its busy time is booked, nanoseconds since boot: at first its start, or the reading before the first one with it.
    read_ns: u64,
    /// Number of the first and of the last reading with an entry of it.
    first: u64,
    last: u64,
    /// It lived at the last reading.
    is_live: bool,
}

/// All processes with counts in the kernel's map: at most [`REQUEST_OWNERS`], as in that map, and as many of the reading before. An
/// entry that finds no room is booked at a later reading.
#[derive(Debug, Default)]
pub(super) struct RequestOwners {
    owners: Map<ProcessId, Served>,
    books: RequestBooks,
    readings: u64,
    /// Time of the last reading.
    read_ns: u64,
}

impl RequestOwners {
    /// Counts that belong to no account; `None` before the first reading.
    pub(super) fn books(&self) -> Option<RequestBooks> {
        (self.readings > 0).then_some(self.books)
    }

    /// Books a reading. Returns the processes whose counts the kernel need not keep: they have ended, nothing is in
    /// flight, and nothing has risen since the reading before.
    pub(super) fn take(
        &mut self,
        reading: &RequestReading,
        mut find: impl FnMut(ProcessId) -> Option<FoundAccount>,
        ledger: &mut impl Ledger,
    ) -> Vec<ProcessId> {
        self.readings += 1;
        self.books.totals = reading.totals;
        self.books.missed_runs = reading.missed_runs;
        let mut gone = Vec::new();
        for entry in &reading.owners {
            if self.book(entry, reading.now_ns, find(entry.id), ledger) {
                gone.push(entry.id);
            }
        }
        self.read_ns = reading.now_ns;
        let readings = self.readings;
        self.owners.retain(|_, owner| {
            let is_listed = owner.last == readings;
            if let Some(account) = owner.account.filter(|_| !is_listed) {
                ledger.take(Booking::Closed(account));
            }
            is_listed
        });
        gone
    }

    /// The account of each process, live or not, and the requests that it has served since it is watched.
    pub(super) fn all(&self) -> impl Iterator<Item = (AccountId, &RequestTally)> {
        let owners = self.owners.values();
        owners.filter_map(|owner| Some((owner.account?, &owner.booked)))
    }

    /// The processes that live, their accounts, and the requests that they have served since they are watched.
    pub(super) fn living(&self) -> impl Iterator<Item = (ProcessId, AccountId, &RequestTally)> {
        let living = self.owners.iter().filter(|(_, owner)| owner.is_live);
        living.filter_map(|(id, owner)| Some((*id, owner.account?, &owner.booked)))
    }

    /// Books one entry. Returns whether the kernel need not keep it.
    fn book(
        &mut self,
        entry: &ServedReading,
        now_ns: u64,
        found: Option<FoundAccount>,
        ledger: &mut impl Ledger,
    ) -> bool {
        let readings = self.readings;
        let is_full = self.owners.len() >= 2 * REQUEST_OWNERS as usize;
        if is_full && !self.owners.contains_key(&entry.id) {
            return false;
        }
        let owner = self.owners.entry(entry.id).or_default();
        if owner.first == 0 {
            owner.first = readings;
            owner.read_ns = self.read_ns.max(entry.id.start_ns);
        }
        owner.last = readings;
        FoundAccount::follow(found, &mut owner.account, ledger);
        if owner.account.is_none() && owner.first == readings {
            return false;
        }
        let elapsed_ns = now_ns.saturating_sub(owner.read_ns);
        let rise = owner.booked.raise(&entry.counters, elapsed_ns);
        owner.read_ns = now_ns.max(owner.read_ns);
        let is_ended = found.is_none_or(|found| found.is_ended);
        owner.is_live = !is_ended;
        // Its busy time goes on rising if the kernel has left out the program that notes its end.
        let only_busy = RequestCounters {
            busy_ns: rise.busy_ns,
            ..RequestCounters::default()
        };
        let is_gone = is_ended && rise == only_busy && owner.booked.in_flight() == 0;
        match owner.account {
            _ if rise == RequestCounters::default() => {}
            Some(account) => ledger.take(Booking::Requests(account, &rise)),
            None => {
                for ended in rise.ended.iter().flatten() {
                    self.books.unattributed = self.books.unattributed.saturating_add(*ended);
                }
            }
        }
        is_gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{METHOD_GET, RequestTally};

    #[derive(Debug, Default)]
    struct Kept {
        served: RequestCounters,
        users: i32,
    }

    impl Ledger for Kept {
        fn open(&mut self, _: Option<AccountId>) -> AccountId {
            AccountId(0)
        }

        fn take(&mut self, booking: Booking<'_>) {
            match booking {
                Booking::Requests(_, more) => {
                    let mut tally = RequestTally::default();
                    tally.add(&self.served);
                    tally.add(more);
                    self.served = *tally.counters();
                }
                Booking::Shared(_) => self.users += 1,
                Booking::Closed(_) => self.users -= 1,
                other => panic!("{other:?}"),
            }
        }

        fn is_kept_open(&self, _: AccountId) -> bool {
            false
        }
    }

    const ID: ProcessId = ProcessId {
        tgid: 7,
        start_ns: 70,
    };

    fn reading(begun: u64, ended: u64) -> RequestReading {
        let mut counters = RequestCounters::default();
        counters.begun[METHOD_GET] = begun;
        counters.ended[METHOD_GET][1] = ended;
        RequestReading {
            owners: vec![ServedReading { id: ID, counters }],
            ..RequestReading::default()
        }
    }

    fn found(is_ended: bool) -> Option<FoundAccount> {
        Some(FoundAccount {
            account: AccountId(0),
            is_ended,
        })
    }

    #[test]
    fn ended_process_with_request_in_flight_is_kept_until_it_ends() {
        let (mut owners, mut ledger) = (RequestOwners::default(), Kept::default());
        let mut gone = |begun, ended, is_ended| {
            let reading = reading(begun, ended);
            owners.take(&reading, |_| found(is_ended), &mut ledger)
        };
        assert_eq!(gone(3, 1, false), []);
        for _ in 0..3 {
            assert_eq!(gone(5, 3, true), []);
        }
        assert_eq!(gone(5, 5, true), []);
        for _ in 0..2 {
            assert_eq!(gone(5, 5, true), [ID]);
        }
        let served = &ledger.served;
        assert_eq!(
            (served.begun[METHOD_GET], served.ended[METHOD_GET][1]),
            (5, 5)
        );
        owners.take(&RequestReading::default(), |_| found(true), &mut ledger);
        assert_eq!(ledger.users, 0);
    }

    #[test]
    fn unknown_process_waits_a_reading_and_is_unattributed_then() {
        let (mut owners, mut ledger) = (RequestOwners::default(), Kept::default());
        owners.take(&reading(2, 2), |_| None, &mut ledger);
        assert_eq!(owners.books().unwrap().unattributed, 0);
        owners.take(&reading(2, 2), |_| None, &mut ledger);
        assert_eq!(owners.books().unwrap().unattributed, 2);
        assert_eq!(ledger.served, RequestCounters::default());
    }

    #[test]
    fn busy_time_rises_with_the_clock_at_most_and_never_falls() {
        let (mut owners, mut ledger) = (RequestOwners::default(), Kept::default());
        let mut booked_at = |now_ns, busy_ns, begun| {
            let mut reading = reading(begun, 1);
            reading.now_ns = now_ns;
            reading.owners[0].counters.busy_ns = busy_ns;
            owners.take(&reading, |_| found(false), &mut ledger);
            ledger.served.busy_ns
        };
        // The process began at 70.
        assert_eq!(booked_at(100, u64::MAX / 2, 1), 30);
        assert_eq!(booked_at(120, 20, 1), 30);
        assert_eq!(booked_at(140, 35, 1), 35);
        assert_eq!(booked_at(150, 0, 1), 35);
        // The kernel has begun anew.
        assert_eq!(booked_at(160, 8, 0), 43);
    }

    #[test]
    fn counts_that_the_kernel_began_anew_are_added() {
        let (mut owners, mut ledger) = (RequestOwners::default(), Kept::default());
        for count in [3, 1] {
            owners.take(&reading(count, count), |_| found(false), &mut ledger);
        }
        assert_eq!(ledger.served.ended[METHOD_GET][1], 4);
    }
}

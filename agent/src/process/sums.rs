//! A ledger for tests: it adds up all bookings and checks that no account is used after its last user has closed it.

use std::collections::BTreeMap;

use super::{AccountId, Booking, Ledger, NetworkTally, RequestTally, Tally};

/// Bookings in total and by account; users and live processes of each account.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    next: u32,
    pub(crate) total: Tally,
    pub(super) by_account: BTreeMap<AccountId, Tally>,
    pub(crate) network: BTreeMap<AccountId, NetworkTally>,
    pub(super) requests: RequestTally,
    pub(super) users: BTreeMap<AccountId, i64>,
    pub(super) living: BTreeMap<AccountId, i64>,
}

impl Ledger for Sums {
    fn open(&mut self, _: Option<AccountId>) -> AccountId {
        self.next += 1;
        self.users.insert(AccountId(self.next), 1);
        AccountId(self.next)
    }
    fn take(&mut self, booking: Booking<'_>) {
        match booking {
            Booking::Inherits(_) | Booking::Named(..) => {}
            Booking::Shared(account) => *self.users.entry(account).or_default() += 1,
            Booking::Entered(account) => self.enter(account),
            Booking::Left(account) => self.leave(account),
            Booking::Closed(account) => self.close(account),
            Booking::Used(account, tally) => self.book(account, tally),
            Booking::Requests(account, counters) => {
                self.assert_open(account);
                self.requests.add(counters);
            }
            Booking::Network(account, scope, counters) => {
                self.assert_open(account);
                let network = self.network.entry(account).or_default();
                network.put(scope, counters);
            }
        }
    }

    fn is_kept_open(&self, _: AccountId) -> bool {
        false
    }
}

impl Sums {
    fn enter(&mut self, account: AccountId) {
        let users = self.users.get(&account).copied().unwrap_or_default();
        assert!(users > 0, "{account:?} is closed");
        *self.living.entry(account).or_default() += 1;
    }
    fn leave(&mut self, account: AccountId) {
        let users = self.users.get(&account).copied().unwrap_or_default();
        let living = self.living.entry(account).or_default();
        *living -= 1;
        assert!(
            *living >= 0 && users > 0,
            "{account:?} was left too often, or too late"
        );
    }
    fn close(&mut self, account: AccountId) {
        let users = self.users.entry(account).or_default();
        *users -= 1;
        assert!(
            *users >= 0,
            "{account:?} was closed more often than it was opened"
        );
    }
    fn book(&mut self, account: AccountId, tally: &Tally) {
        self.assert_open(account);
        self.total.add(tally);
        self.by_account.entry(account).or_default().add(tally);
    }
    fn assert_open(&self, account: AccountId) {
        assert!(
            self.users.get(&account).is_some_and(|users| *users > 0),
            "a closed account"
        );
    }
}

//! A ledger for tests: it adds up all bookings and checks that no account is used after its last user has closed it.

use super::{AccountId, Facts, Ledger, Tally};
use std::collections::BTreeMap;

/// Bookings in total and by account; users and live processes of each account.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    next: u32,
    pub(crate) total: Tally,
    pub(super) by_account: BTreeMap<AccountId, Tally>,
    pub(super) users: BTreeMap<AccountId, i64>,
    pub(super) living: BTreeMap<AccountId, i64>,
}

impl Ledger for Sums {
    fn open(&mut self, _: Option<AccountId>) -> AccountId {
        self.next += 1;
        self.users.insert(AccountId(self.next), 1);
        AccountId(self.next)
    }
    fn open_fork(&mut self, image: AccountId) -> AccountId {
        self.open(Some(image))
    }
    fn share(&mut self, account: AccountId) {
        *self.users.entry(account).or_default() += 1;
    }
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
    fn identify(&mut self, _: AccountId, _: &Facts) {}
    fn follow(&mut self, _: AccountId) {}
    fn reopen(&mut self, _: AccountId) -> bool {
        false
    }
    fn undecide(&mut self, _: AccountId) {}
    fn confirm(&mut self, _: AccountId) -> bool {
        false
    }
    fn is_outdated(&self, _: AccountId) -> bool {
        false
    }
    fn rebook(&mut self, account: AccountId, tally: &Tally) {
        self.book(account, tally);
    }
    fn book(&mut self, account: AccountId, tally: &Tally) {
        assert!(
            self.users.get(&account).is_some_and(|users| *users > 0),
            "a closed account"
        );
        self.total.add(tally);
        self.by_account.entry(account).or_default().add(tally);
    }
}

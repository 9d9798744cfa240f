//! Which processes' requests count, and what happens to bookings of requests.

use super::Group;
use super::account::{Decision, GroupIndex};
use super::grouper::Grouper;
use crate::process::{AccountId, RequestCounters, RequestTally};

impl Group {
    /// What its members have served; `None` if their requests are not counted.
    pub fn served(&self) -> Option<RequestTally> {
        let served = self.requests.as_deref().copied();
        served.or_else(|| self.counts_requests.then(RequestTally::default))
    }
}

impl Grouper {
    /// Books what a process has served. It is kept only for groups that count requests, and while the group is not known.
    pub(super) fn book_requests(&mut self, id: AccountId, more: &RequestCounters) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        match account.present() {
            Decision::Open | Decision::Unmatched => {
                account.waiting.get_or_insert_default().add_requests(more);
            }
            Decision::Member(group) => self.add_requests(group, more),
            Decision::Nowhere => {}
        }
    }

    pub(super) fn add_requests(&mut self, group: GroupIndex, more: &RequestCounters) {
        let group = &mut self.groups.all[group.0];
        if group.counts_requests {
            group.requests.get_or_insert_default().add(more);
        }
    }

    /// Whether it is decided that no group counts the requests of this account.
    pub fn is_unwatched(&self, id: AccountId) -> bool {
        let account = self.accounts.get(id);
        match account.map(super::account::Account::present) {
            Some(Decision::Member(group)) => !self.groups.all[group.0].counts_requests,
            Some(Decision::Nowhere) => true,
            Some(Decision::Open | Decision::Unmatched) | None => false,
        }
    }
}

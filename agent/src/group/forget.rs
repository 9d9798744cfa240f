//! Forgetting groups, and the change to another configuration.

use super::account::Decision;
use super::comms::Comms;
use super::grouper::{Placer, REST};
use super::user::User;
use super::{Grouper, Placement};
use crate::process::AccountId;

impl Grouper {
    /// If the policy says so, forgets the groups that none of the `present` accounts is in. Later bookings of their former
    /// members are in no group.
    pub fn forget_empty(&mut self, present: impl Iterator<Item = AccountId>) {
        if !self.policy.remove_empty {
            return;
        }
        let mut is_kept = vec![false; self.groups.len()];
        for group in present.filter_map(|id| self.accounts.group_of(id)) {
            is_kept[group.0] = true;
        }
        self.keep(&is_kept, None);
    }

    /// Keeps an account undecided that was decided by a part of its process's facts: the decision holds until all facts decide.
    pub fn keep_open(&mut self, id: AccountId) {
        let account = self.accounts.account_mut(id);
        if let Some(account) = account.filter(|account| account.decision.is_final()) {
            account.former = Some(std::mem::replace(&mut account.decision, Decision::Open));
        }
    }

    /// Returns `false` if no decision of a former configuration holds.
    pub(super) fn confirm(&mut self, id: AccountId) -> bool {
        let former = self.accounts.get(id).and_then(|account| account.former);
        let Some(decision) = former else {
            return false;
        };
        self.decide(id, decision);
        if let Some(account) = self.accounts.account_mut(id) {
            account.is_outdated = true;
        }
        true
    }

    /// Makes an account in no group undecided again. Returns `false` for any other account.
    pub fn reopen(&mut self, id: AccountId) -> bool {
        let account = self.accounts.account_mut(id);
        let account = account.filter(|account| account.decision == Decision::Nowhere);
        account
            .map(|account| account.decision = Decision::Open)
            .is_some()
    }

    /// The configuration has changed: the old decision holds until the account is decided anew.
    pub fn undecide(&mut self, id: AccountId) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        match std::mem::replace(&mut account.decision, Decision::Open) {
            Decision::Open => {}
            Decision::Unmatched => self.unmatched.retain(|other| *other != id),
            decided => account.former = Some(decided),
        }
    }

    /// Whether a former configuration made the decision, and the present one might decide otherwise.
    pub fn is_outdated(&self, id: AccountId) -> bool {
        self.accounts
            .get(id)
            .is_some_and(|account| account.is_outdated)
    }

    /// Takes another configuration: `placer` decides accounts that are [undecided](Self::undecide), and
    /// `known` holds the groups that exist before any process. All groups stay, with what was booked to them, except announced
    /// groups that never had a member. `keeps` returns whether the new configuration decides an item as the former one did;
    /// `None` stands for the processes that no item matches.
    pub fn reconfigure(
        &mut self,
        placer: Placer,
        known: Vec<Placement>,
        keeps: impl Fn(Option<usize>) -> bool,
    ) {
        self.placer = placer;
        self.comms = self.comms.take().map(|_| Comms::default());
        let mut is_kept: Vec<bool> = self
            .groups
            .iter()
            .map(|group| !group.total.is_empty())
            .collect();
        for account in self.accounts.iter_mut() {
            if let Decision::Member(group) = account.present() {
                is_kept[group.0] = true;
            }
            let item = account.item.and_then(|item| usize::try_from(item).ok());
            let is_decided = matches!(account.present(), Decision::Member(_) | Decision::Nowhere);
            account.is_outdated |= is_decided && !keeps(item);
            account.item = account.item.filter(|_| keeps(item));
        }
        self.keep(&is_kept, None);
        for group in &mut self.groups {
            // Item numbers have changed: the item that next puts a process into the group becomes its item.
            group.item = None;
            if group.filling.maker == User::Configuration {
                group.filling.maker = User::Unknown;
            }
        }
        self.announce(known);
    }

    /// Whether the account is in the group `other`, which takes processes that found no room.
    pub fn is_in_rest(&self, account: AccountId) -> bool {
        let group = self.accounts.group_of(account);
        group.is_some_and(|group| self.groups[group.0].name == REST)
    }
}

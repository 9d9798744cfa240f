//! Accounts, and how they get a group.
//!
//! ```text
//! Open --own facts match--> Member
//! Open --own facts match nothing--> Unmatched --an ancestor is decided--> Member | Nowhere
//! Open --no ancestor--> Nowhere
//! Nowhere --looked at again--> Open
//! any --another configuration, or only a part of its facts could be read--> Open; the old decision holds until the next one
//! ```
//!
//! Bookings before the decision wait in the account. An account lives while a process, a tombstone or an undecided descendant
//! uses it. An unmatched account without users leaves its waiting bookings to its ancestor, whose decision would have been its
//! own. So there are never more accounts than users of accounts.

use super::user::User;
use crate::process::{AccountId, NetworkTally, RequestCounters, RequestTally, Tally};

/// Index of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupIndex(pub(super) usize);

/// The decision about an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Undecided: its facts were not looked at.
    Open,
    /// Its facts match nothing; it follows its ancestor.
    Unmatched,
    /// In this group.
    Member(GroupIndex),
    /// In no group.
    Nowhere,
}

impl Decision {
    /// Whether no further decision is awaited.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Member(_) | Self::Nowhere)
    }
}

/// One account: its decision, its users, and the bookings that wait.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) decision: Decision,
    /// The decision of a former configuration, while the present one has none: `Member` or `Nowhere`.
    pub(super) former: Option<Decision>,
    /// A former configuration made the decision, and the present one might decide otherwise.
    pub(super) is_outdated: bool,
    /// The item that its own facts match, from 0; `None` if there is none, and if it follows its ancestor.
    pub(super) item: Option<u32>,
    pub(super) ancestor: Option<AccountId>,
    /// It was opened for a fork that runs its ancestor's image.
    pub(super) is_fork: bool,
    pub(super) users: u32,
    /// Number of live processes that run its image.
    pub(super) living: u32,
    /// The effective user of the process whose facts identified it.
    pub(super) user: Option<User>,
    /// Boxed: of thousands of accounts few have waiting bookings, and not for long.
    pub(super) waiting: Option<Box<Waiting>>,
}

/// Bookings that wait for the decision of their account.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) used: Tally,
    /// Boxed: few processes have sockets.
    pub(super) network: Option<Box<NetworkTally>>,
    pub(super) requests: Option<Box<RequestTally>>,
}

impl Waiting {
    pub(super) fn add_network(&mut self, more: &NetworkTally) {
        self.network.get_or_insert_default().add(more);
    }

    pub(super) fn add_requests(&mut self, more: &RequestCounters) {
        self.requests.get_or_insert_default().add(more);
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.used.add(&more.used);
        if let Some(network) = &more.network {
            self.add_network(network);
        }
        if let Some(requests) = &more.requests {
            self.add_requests(requests.counters());
        }
    }
}

impl Account {
    /// The decision that holds now, even if another one is to follow.
    pub(super) fn present(&self) -> Decision {
        self.former.unwrap_or(self.decision)
    }

    /// Its group, if it is in one now.
    pub(super) fn group(&self) -> Option<GroupIndex> {
        match self.present() {
            Decision::Member(group) => Some(group),
            _ => None,
        }
    }
}

/// All accounts by number. The number of a closed account is reused.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    slots: Vec<Option<Account>>,
    free: Vec<u32>,
}

impl Accounts {
    pub(super) fn open(&mut self, ancestor: Option<AccountId>) -> AccountId {
        let account = Account {
            decision: Decision::Open,
            former: None,
            is_outdated: false,
            item: None,
            ancestor,
            is_fork: false,
            users: 1,
            living: 0,
            user: None,
            waiting: None,
        };
        if let Some(ancestor) = ancestor {
            self.share(ancestor);
        }
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(account);
            return AccountId(slot);
        }
        self.slots.push(Some(account));
        // To exceed 32 bits there would have to be more accounts than processes can exist.
        AccountId(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
    }

    pub(super) fn get(&self, id: AccountId) -> Option<&Account> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    /// Whether the account is there and undecided.
    pub(super) fn is_open(&self, id: AccountId) -> bool {
        let account = self.get(id);
        account.is_some_and(|account| account.decision == Decision::Open)
    }

    /// The group that an account is in.
    pub(super) fn group_of(&self, id: AccountId) -> Option<GroupIndex> {
        self.get(id)?.group()
    }

    pub(super) fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    pub(super) fn share(&mut self, id: AccountId) {
        if let Some(account) = self.account_mut(id) {
            account.users += 1;
        }
    }

    /// The account was opened for a fork that runs its ancestor's image.
    pub(super) fn inherit(&mut self, id: AccountId) {
        if let Some(account) = self.account_mut(id) {
            account.is_fork = true;
        }
    }

    /// Gives an account another ancestor. Returns the former one: the caller closes it, since this account used it.
    pub(super) fn replace_ancestor(
        &mut self,
        id: AccountId,
        ancestor: Option<AccountId>,
    ) -> Option<AccountId> {
        let account = self.account_mut(id)?;
        let former = std::mem::replace(&mut account.ancestor, ancestor);
        if let Some(ancestor) = ancestor {
            self.share(ancestor);
        }
        former
    }

    /// The nearest ancestor that does not itself follow one.
    pub(super) fn nearest(&self, id: AccountId) -> Option<AccountId> {
        let mut above = self.get(id)?.ancestor?;
        // Two reparented processes could be each other's ancestor. No real chain is longer than the number of accounts.
        for _ in 0..=self.len() {
            let account = self.get(above)?;
            if above == id {
                return None;
            }
            if account.decision != Decision::Unmatched {
                return Some(above);
            }
            above = account.ancestor?;
        }
        None
    }

    /// Keeps an account undecided that was decided by a part of its process's facts: the decision holds until all facts decide.
    pub(super) fn keep_open(&mut self, id: AccountId) {
        let account = self.account_mut(id);
        if let Some(account) = account.filter(|account| account.decision.is_final()) {
            account.former = Some(std::mem::replace(&mut account.decision, Decision::Open));
        }
    }

    /// Makes an account in no group undecided again. Returns `false` for any other account.
    pub(super) fn reopen(&mut self, id: AccountId) -> bool {
        let account = self.account_mut(id);
        let account = account.filter(|account| account.decision == Decision::Nowhere);
        account
            .map(|account| account.decision = Decision::Open)
            .is_some()
    }

    /// The old decision holds until the account is decided anew. Returns whether the account waited for its ancestor's decision.
    pub(super) fn undecide(&mut self, id: AccountId) -> bool {
        let Some(account) = self.account_mut(id) else {
            return false;
        };
        let decision = std::mem::replace(&mut account.decision, Decision::Open);
        if decision.is_final() {
            account.former = Some(decision);
        }
        decision == Decision::Unmatched
    }

    /// Marks the accounts that the new configuration might decide otherwise, and in `is_kept` the groups that accounts are in.
    pub(super) fn outdate(&mut self, is_kept: &mut [bool], keeps: impl Fn(Option<usize>) -> bool) {
        for account in self.iter_mut() {
            if let Decision::Member(group) = account.present() {
                is_kept[group.0] = true;
            }
            let item = account.item.and_then(|item| usize::try_from(item).ok());
            let is_decided = matches!(account.present(), Decision::Member(_) | Decision::Nowhere);
            account.is_outdated |= is_decided && !keeps(item);
            account.item = account.item.filter(|_| keeps(item));
        }
    }

    /// Removes the account; its number is reused.
    pub(super) fn remove(&mut self, id: AccountId) -> Option<Account> {
        let account = self.slots.get_mut(id.0 as usize)?.take()?;
        self.free.push(id.0);
        Some(account)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.slots.iter_mut().flatten()
    }

    /// Number of accounts in use.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

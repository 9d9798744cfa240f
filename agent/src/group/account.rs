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
use crate::process::{AccountId, Tally};

/// Index of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupIndex(pub(super) usize);

/// What is decided about an account.
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
    pub(super) waiting: Option<Box<Tally>>,
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

//! Accounts and their way to a group.
//!
//! ```text
//! Open --own facts match--> Member
//! Open --they match nothing--> Unmatched --an ancestor is decided--> Member | Nowhere
//! Open --no ancestor--> Nowhere
//! Nowhere --looked at again--> Open
//! any --another configuration, or only a part of its facts could be read--> Open, but what was decided holds until it is decided anew
//! ```
//!
//! What is booked before the decision waits in the account. An account lives while a process, a tombstone or an
//! undecided descendant uses it; an unmatched one that nobody uses any more leaves what waits to its ancestor, whose
//! decision would have been its own. So there are never more accounts than users of accounts.

use super::user::User;
use crate::process::{AccountId, Tally};

/// Index of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupIndex(pub(super) usize);

/// Where an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nobody has looked at its facts.
    Open,
    /// Its facts match nothing; it follows its ancestor.
    Unmatched,
    /// In this group.
    Member(GroupIndex),
    /// In no group.
    Nowhere,
}

impl Decision {
    /// Whether nothing is awaited any more.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Member(_) | Self::Nowhere)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) decision: Decision,
    /// What a former configuration has decided, while the present one has not: `Member` or `Nowhere`.
    pub(super) former: Option<Decision>,
    /// A former configuration made the decision, and the present one might decide otherwise.
    pub(super) is_outdated: bool,
    /// The item that its own facts match, from 0; `None` while there is none, and where it follows its ancestor.
    pub(super) item: Option<u32>,
    pub(super) ancestor: Option<AccountId>,
    /// It is of one image with its ancestor.
    pub(super) is_fork: bool,
    pub(super) users: u32,
    /// Live processes that run what it stands for.
    pub(super) living: u32,
    /// The effective user of the process by whose facts it was identified.
    pub(super) user: Option<User>,
    /// Boxed: of thousands of accounts few wait, and not for long.
    pub(super) waiting: Option<Box<Tally>>,
}

impl Account {
    /// What holds now, though it may be open.
    pub(super) fn present(&self) -> Decision {
        self.former.unwrap_or(self.decision)
    }

    /// The group that it is in.
    pub(super) fn group(&self) -> Option<GroupIndex> {
        match self.present() {
            Decision::Member(group) => Some(group),
            _ => None,
        }
    }
}

/// All accounts, by a number that is used again when an account is closed.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    slots: Vec<Option<Account>>,
    free: Vec<u32>,
}

impl Accounts {
    pub(super) fn open(&mut self, ancestor: Option<AccountId>, is_fork: bool) -> AccountId {
        let account = Account {
            decision: Decision::Open,
            former: None,
            is_outdated: false,
            item: None,
            ancestor,
            is_fork,
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
        // More accounts than processes can exist would be needed to leave 32 bits.
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

    /// Takes the account out; its number is used again.
    pub(super) fn remove(&mut self, id: AccountId) -> Option<Account> {
        let account = self.slots.get_mut(id.0 as usize)?.take()?;
        self.free.push(id.0);
        Some(account)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.slots.iter_mut().flatten()
    }

    /// Accounts in use.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

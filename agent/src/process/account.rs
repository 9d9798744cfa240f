//! Accounts and bookings: the process table books all use to accounts, even while their groups are not decided.

use super::{Facts, NetworkCounters, RequestCounters, Tally};

/// Number of an account. It stands for one image (shared by the processes forked from it until they are classified themselves),
/// or for one process that was classified by its own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// One change of an account. The table hands bookings out in the order in which they take effect.
#[derive(Debug, Clone, Copy)]
pub enum Booking<'a> {
    /// The account was opened for a process that was forked with the image of the account's ancestor and still runs it. If its
    /// own facts are never read, it has those of that image.
    Inherits(AccountId),
    /// One more process uses the account.
    Shared(AccountId),
    /// A live process now runs the image of the account: its group is in use.
    Entered(AccountId),
    /// A process that entered has ended, or runs another image. It may still use the account, for late records.
    Left(AccountId),
    /// One process less uses the account. The last one closes it.
    Closed(AccountId),
    /// The account, if undecided, is to be decided now, because its process cannot be read any more: the decision of a former
    /// configuration stays; otherwise these facts decide, or the ancestor if there are none.
    Named(AccountId, Option<&'a Facts>),
    /// Use, or events, of a process. If the account is undecided, they wait for the decision.
    Used(AccountId, &'a Tally),
    /// The payload of the sockets of a process in this scope ([`SCOPES`](super::SCOPES)) since the booking before. It waits as
    /// use does.
    Network(AccountId, usize, &'a NetworkCounters),
    /// The requests that a process has served since the booking before. It waits as use does.
    Requests(AccountId, &'a RequestCounters),
}

/// Takes the bookings of the table. They are handed over one by one and by reference: nothing is copied or kept between them.
pub trait Ledger {
    /// Opens an account for one process. It joins the group of `ancestor` if its own facts match nothing.
    fn open(&mut self, ancestor: Option<AccountId>) -> AccountId;
    /// Takes one booking.
    fn take(&mut self, booking: Booking<'_>);
    /// Whether the account has a decision that holds only until the next one.
    fn is_kept_open(&self, account: AccountId) -> bool;
}

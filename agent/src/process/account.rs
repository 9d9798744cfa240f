//! Accounts: the process table books all use to them, even while their groups are not decided.

use super::{Facts, Tally};

/// Number of an account. It stands for one image (shared by the processes forked from it until they are classified themselves),
/// or for one process that was classified by its own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// Takes the bookings of the table. The grouper implements it; the tests have an implementation of their own.
pub trait Ledger {
    /// Opens an account for one process. It joins the group of `ancestor` if its own facts match nothing.
    fn open(&mut self, ancestor: Option<AccountId>) -> AccountId;
    /// Opens an account for one process that was forked with the image of account `image` and still runs it. If its own facts
    /// are never read, it has those of that image.
    fn open_fork(&mut self, image: AccountId) -> AccountId;
    /// Counts one more process that uses the account.
    fn share(&mut self, account: AccountId);
    /// A live process now runs the image of the account: its group is in use.
    fn enter(&mut self, account: AccountId);
    /// A process that entered has ended, or runs another image. It may still use the account, for late records.
    fn leave(&mut self, account: AccountId);
    /// Counts one process less that uses the account. The last one closes it.
    fn close(&mut self, account: AccountId);
    /// Decides an undecided account by these facts; a decided one stays as it is.
    fn identify(&mut self, account: AccountId, facts: &Facts);
    /// Gives an undecided account the group of its ancestor, because its own facts will never be read.
    fn follow(&mut self, account: AccountId);
    /// Makes an account in no group undecided again. Returns `false` for any other account.
    fn reopen(&mut self, account: AccountId) -> bool;
    /// The configuration has changed: the old decision holds until the account is decided anew.
    fn undecide(&mut self, account: AccountId);
    /// The account will not be decided anew: the decision before [`Self::undecide`] stays. Returns `false` if there is none.
    fn confirm(&mut self, account: AccountId) -> bool;
    /// Whether a former configuration made the decision, and the present one might decide otherwise.
    fn is_outdated(&self, account: AccountId) -> bool;
    /// Books `tally`; if the account is undecided, the booking waits for the decision.
    fn book(&mut self, account: AccountId, tally: &Tally);
    /// Books `tally` again: it was booked to this account while it was in no group, and now counts for its group.
    fn rebook(&mut self, account: AccountId, tally: &Tally);
}

//! Accounts: what bookings are made to, before it is known which group they belong to.

use super::{Facts, Tally};

/// One program image (shared by the processes forked from it until they are looked at themselves), or one process
/// that was classified by its own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// Where the table books what it finds. The grouper is one; tests have another.
pub trait Ledger {
    /// Opens an account for one process. `ancestor` is whose group it joins where its own facts match nothing.
    fn open(&mut self, ancestor: Option<AccountId>) -> AccountId;
    /// Opens an account for one process that was forked with the image of account `image` and runs it still: where nobody
    /// gets to see its own facts, it has that image's.
    fn open_fork(&mut self, image: AccountId) -> AccountId;
    /// One more process uses the account.
    fn share(&mut self, account: AccountId);
    /// A live process runs what the account stands for: what it is in is in use.
    fn enter(&mut self, account: AccountId);
    /// One of those that entered has ended, or runs something else. It may use the account still, for what is told late.
    fn leave(&mut self, account: AccountId);
    /// One process less uses it. The last one closes it.
    fn close(&mut self, account: AccountId);
    /// Decides an undecided account by these facts; a decided one stays as it is.
    fn identify(&mut self, account: AccountId, facts: &Facts);
    /// Nobody will see facts of its own: an undecided account goes where its ancestor is.
    fn follow(&mut self, account: AccountId);
    /// Takes back that an account is in no group: it is undecided again. `false` for any other one.
    fn reopen(&mut self, account: AccountId) -> bool;
    /// The configuration has changed: what was decided holds until it is decided anew.
    fn undecide(&mut self, account: AccountId);
    /// Nobody will decide it anew: what was decided before [`Self::undecide`] stays. `false` where there is no such thing.
    fn confirm(&mut self, account: AccountId) -> bool;
    /// Whether a former configuration made the decision, and the present one might decide otherwise.
    fn is_outdated(&self, account: AccountId) -> bool;
    /// Books `tally`; on an undecided account it waits for the decision.
    fn book(&mut self, account: AccountId, tally: &Tally);
    /// The same for what was booked to this account before, when it was in no group, and counts for its group now.
    fn rebook(&mut self, account: AccountId, tally: &Tally);
}

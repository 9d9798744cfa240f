//! The grouper: the group of each account, and the counters and gauges of each group.
//!
//! In come bookings from the process table and decisions from a placer (selectors and name templates); out go groups. Group
//! counters never fall. Groups are bounded, all together and for each item with `max_groups`. At the bound, empty groups are
//! added to the group `other` (see [`super::room`]); if there are none, the processes of a new name or of new labels go there.
//! Both are counted.
//!
//! An account is *open* until it has a decision:
//!
//! ```text
//! open ----place, name: the facts match-----------------> in a group
//! open ----follow, or no item matches-------------------> as its ancestor, or in no group; `settle` decides those that wait
//! decided -undecide (reload), keep_open (partial facts)-> open; the former decision holds until the next one, or `confirm`
//! in none -reopen (-recheck)----------------------------> open
//! ```

use super::account::{Account, Accounts, Decision, GroupIndex};
use super::comms::{Comms, of_comm};
use super::groups::Groups;
use super::policy::Policy;
use super::statistics::GroupStatistics;
use super::user::User;
use super::{Group, Placement, REST, Verdict, thread_budget};
use crate::process::{AccountId, Attribution, Booking, Facts, Folds, Ledger, Live, LiveThreads};

/// Decides the group of a process.
pub type Placer = Box<dyn Fn(&Facts) -> Verdict + Send>;

/// All groups and accounts, and the rules by which accounts get a group.
pub struct Grouper {
    pub(super) placer: Placer,
    pub(super) policy: Policy,
    pub(super) accounts: Accounts,
    /// Accounts that wait for the decision of an ancestor.
    unmatched: Vec<AccountId>,
    pub(super) groups: Groups,
    pub(super) statistics: GroupStatistics,
    /// Predictions by comm; `None` if the kernel programs do not count by group.
    comms: Option<Comms>,
}

impl std::fmt::Debug for Grouper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Grouper")
            .field("groups", &self.groups.all)
            .finish_non_exhaustive()
    }
}

impl Ledger for Grouper {
    fn open(&mut self, ancestor: Option<AccountId>) -> AccountId {
        self.accounts.open(ancestor)
    }

    #[inline]
    fn take(&mut self, booking: Booking<'_>) {
        match booking {
            Booking::Inherits(id) => self.accounts.inherit(id),
            Booking::Shared(id) => self.accounts.share(id),
            Booking::Entered(id) => self.enter(id),
            Booking::Left(id) => self.leave(id),
            Booking::Closed(id) => self.close(id),
            Booking::Named(id, facts) => self.name(id, facts),
            Booking::Used(id, tally) => self.book(id, tally),
            Booking::Network(id, scope, counters) => self.book_network(id, scope, counters),
            Booking::Requests(id, counters) => self.book_requests(id, counters),
        }
    }

    fn is_kept_open(&self, id: AccountId) -> bool {
        let account = self.accounts.get(id);
        account.is_some_and(|account| account.former.is_some())
    }
}

impl Grouper {
    /// A grouper without groups.
    pub fn new(placer: Placer, policy: Policy) -> Self {
        Self {
            placer,
            policy,
            accounts: Accounts::default(),
            unmatched: Vec::new(),
            groups: Groups::default(),
            statistics: GroupStatistics::default(),
            comms: None,
        }
    }

    /// Whether [`Self::comms`] gives predictions.
    pub fn with_comms(mut self, is_wanted: bool) -> Self {
        self.comms = is_wanted.then(Comms::default);
        self
    }

    /// Makes groups that exist before any process, as far as there is room; none if empty groups are to be forgotten.
    pub fn announce(&mut self, known: Vec<Placement>) {
        for placement in known {
            if !self.policy.remove_empty && !self.is_full() {
                self.group(placement, User::Configuration);
            }
        }
    }

    /// All groups that are not forgotten, in the order of creation.
    pub fn groups(&self) -> &[Group] {
        &self.groups.all
    }

    /// Counts about the grouper itself.
    pub fn statistics(&self) -> GroupStatistics {
        GroupStatistics {
            accounts: self.accounts.len() as u64,
            overflowed: self.groups.overflowed,
            folded_groups: self.groups.folded,
            ..self.statistics
        }
    }

    /// Whether the account is decided to be in no group.
    pub fn is_outside(&self, account: AccountId) -> bool {
        let account = self.accounts.get(account);
        account.is_some_and(|account| account.decision == Decision::Nowhere)
    }

    /// The group of an account, once it is decided.
    pub fn group_of(&self, account: AccountId) -> Option<&Group> {
        self.groups.all.get(self.accounts.group_of(account)?.0)
    }

    /// The item that put the account into its group, from 0; `None` if it follows its ancestor.
    pub fn item_of(&self, account: AccountId) -> Option<usize> {
        let item = self.accounts.get(account)?.item?;
        usize::try_from(item).ok()
    }

    /// Decides the account of a living process by its own facts; if they match nothing, it follows its present parent.
    pub fn place(&mut self, id: AccountId, parent: Option<AccountId>, facts: &Facts) {
        if self.accounts.is_open(id) && parent != Some(id) {
            let former = self.accounts.replace_ancestor(id, parent);
            former.into_iter().for_each(|former| self.close(former));
        }
        self.identify(id, facts);
    }

    /// Counts processes with long arguments that are left for a later pass.
    pub fn note_deferred(&mut self, count: usize) {
        self.statistics.deferred += count as u64;
    }

    /// Sums up the gauges of the live members of each group.
    pub fn measure<'a>(&mut self, live: impl Iterator<Item = Live<'a>>) {
        self.groups.measure(&self.accounts, live);
    }

    /// Counts the threads of each group by name. To be called after [`Self::measure`] with the same pass.
    pub fn measure_threads<'a>(&mut self, live: impl Iterator<Item = LiveThreads<'a>>) {
        let groups = &mut self.groups.all;
        thread_budget::measure(groups, &self.accounts, live);
        let names = groups.iter().map(|group| &group.threads);
        self.statistics.threads_overflowed = names.clone().map(|names| names.overflowed).sum();
        self.statistics.folded_threads += names.map(|names| names.folded).sum::<u64>();
    }

    /// Comms, with the attribution of any process that runs such a program.
    pub fn comms(&self) -> impl Iterator<Item = (&[u8], Attribution)> {
        self.comms.iter().flat_map(Comms::iter)
    }

    /// The attribution of an account's values.
    pub fn attribution(&self, account: AccountId) -> Attribution {
        self.groups.attribution(self.accounts.get(account))
    }

    /// Groups folded since the last call, as far as they existed at that call.
    pub fn take_folds(&mut self) -> Folds {
        self.groups.take_folds()
    }

    /// Whether there are as many groups as are allowed.
    pub fn is_full(&self) -> bool {
        self.groups.all.len() >= self.policy.max_groups
    }

    /// Whether the account is in the group `other`, which takes processes that found no room.
    pub fn is_in_rest(&self, account: AccountId) -> bool {
        let group = self.group_of(account);
        group.is_some_and(|group| group.name == REST)
    }

    /// If the policy says so, forgets the groups that none of the `present` accounts is in. Later bookings of their former
    /// members are in no group, and are not counted as lost.
    pub fn forget_empty(&mut self, present: impl Iterator<Item = AccountId>) {
        if !self.policy.remove_empty {
            return;
        }
        let mut is_kept = vec![false; self.groups.all.len()];
        for group in present.filter_map(|id| self.accounts.group_of(id)) {
            is_kept[group.0] = true;
        }
        self.keep(&is_kept);
    }

    /// Keeps an account undecided that was decided by a part of its process's facts: the decision holds until all facts decide.
    pub fn keep_open(&mut self, id: AccountId) {
        self.accounts.keep_open(id);
    }

    /// Makes an account in no group undecided again. Returns `false` for any other account.
    pub fn reopen(&mut self, id: AccountId) -> bool {
        self.accounts.reopen(id)
    }

    /// The configuration has changed: the old decision holds until the account is decided anew.
    pub fn undecide(&mut self, id: AccountId) {
        if self.accounts.undecide(id) {
            self.unmatched.retain(|other| *other != id);
        }
    }

    /// Whether a former configuration made the decision, and the present one might decide otherwise.
    pub fn is_outdated(&self, id: AccountId) -> bool {
        let account = self.accounts.get(id);
        account.is_some_and(|account| account.is_outdated)
    }

    /// Takes another configuration: `placer` decides accounts that are [undecided](Self::undecide), and
    /// `known` holds the groups that exist before any process. All groups stay, with their booked totals, except announced
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
        let mut is_kept = self.groups.used();
        self.accounts.outdate(&mut is_kept, keeps);
        self.keep(&is_kept);
        self.groups.forget_items(&mut self.accounts);
        self.announce(known);
    }

    pub(super) fn enter(&mut self, account: AccountId) {
        self.change(account, |account| account.living += 1);
    }

    pub(super) fn leave(&mut self, account: AccountId) {
        let less = |account: &mut Account| account.living = account.living.saturating_sub(1);
        self.change(account, less);
    }

    pub(super) fn close(&mut self, id: AccountId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(account) = self.accounts.account_mut(id) else {
                return;
            };
            account.users = account.users.saturating_sub(1);
            if account.users > 0 {
                return;
            }
            if account.decision == Decision::Open {
                // Its facts were never looked at, and never will be.
                self.decide_unmatched(id, true);
            }
            // The table has taken its processes out already; this makes sure.
            self.change(id, |account| account.living = 0);
            let Some(gone) = self.accounts.remove(id) else {
                return;
            };
            if let Some(waiting) = gone.waiting {
                self.bequeath(gone.ancestor, &waiting);
            }
            next = gone.ancestor;
        }
    }

    /// Decides the account, unless a decision of a former configuration holds: that one then stays for good.
    fn name(&mut self, id: AccountId, facts: Option<&Facts>) {
        if !self.confirm(id) {
            match facts {
                Some(facts) => self.identify(id, facts),
                None => self.follow(id),
            }
        }
    }

    /// Decides an undecided account by these facts; a decided one stays as it is.
    pub(super) fn identify(&mut self, id: AccountId, facts: &Facts) {
        if !self.accounts.is_open(id) {
            return;
        }
        self.statistics.incomplete += u64::from(facts.incomplete);
        let user = User::of(facts.uid);
        if let Some(account) = self.accounts.account_mut(id) {
            account.user = Some(user);
        }
        self.statistics.cut += u64::from(facts.argv.is_cut());
        let verdict = (self.placer)(facts);
        let is_match = matches!(verdict, Verdict::Member(_));
        let is_predictive = self.is_predictive(facts, &verdict);
        let is_unmatched = verdict == Verdict::Unmatched;
        match verdict {
            Verdict::Member(placement) => {
                let item = u32::try_from(placement.item).ok();
                self.statistics.names_cut += u64::from(placement.is_cut);
                let group = self.group(placement, user);
                self.decide(id, Decision::Member(group));
                if let Some(account) = self.accounts.account_mut(id) {
                    account.item = item;
                }
            }
            Verdict::Excluded { .. } => self.decide(id, Decision::Nowhere),
            // A process without arguments is ending, or is a kernel thread.
            Verdict::Unmatched => self.decide_unmatched(id, facts.argv.is_empty()),
        }
        self.note_comm(id, facts, is_unmatched, is_predictive);
        self.groups.explain(self.accounts.get(id), facts, is_match);
    }

    /// Gives an undecided account the group of its ancestor, because its own facts will never be read.
    pub fn follow(&mut self, id: AccountId) {
        if self.accounts.is_open(id) {
            self.decide_unmatched(id, true);
        }
    }

    /// Decides the accounts whose ancestor has been decided meanwhile. To be called after each batch.
    pub fn settle(&mut self) {
        for id in std::mem::take(&mut self.unmatched) {
            // The number may belong to another account by now.
            let account = self.accounts.get(id);
            if account.is_some_and(|account| account.decision == Decision::Unmatched) {
                self.follow_ancestor(id);
            }
        }
    }

    /// `is_blank`: there were no facts to match. A fork then has the facts of its image, so it gets its ancestor's group.
    fn decide_unmatched(&mut self, id: AccountId, is_blank: bool) {
        let is_fork = self.accounts.get(id).is_some_and(|account| account.is_fork);
        if self.policy.children || is_blank && is_fork {
            self.follow_ancestor(id);
        } else {
            self.decide(id, Decision::Nowhere);
        }
    }

    fn follow_ancestor(&mut self, id: AccountId) {
        let above = self.accounts.nearest(id);
        let followed = above.and_then(|id| self.accounts.get(id));
        let decision = followed.map_or(Decision::Nowhere, |account| account.decision);
        if decision != Decision::Open {
            return self.decide(id, decision);
        }
        self.unmatched.push(id);
        self.change(id, |account| {
            account.decision = Decision::Unmatched;
            account.former = None;
        });
        let account = self.accounts.get(id);
        if account.is_some_and(|account| account.ancestor != above) {
            // Skips ancestors that follow another account: chains stay short, however deep processes are nested.
            let former = self.accounts.replace_ancestor(id, above);
            former.into_iter().for_each(|former| self.close(former));
        }
    }

    fn decide(&mut self, id: AccountId, decision: Decision) {
        self.change(id, |account| {
            account.decision = decision;
            account.former = None;
        });
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        let waited = account.waiting.take();
        let ancestor = account.ancestor.take();
        if let Decision::Member(group) = decision {
            let group = &mut self.groups.all[group.0];
            if let Some(user) = account.user {
                group.filling.join(user);
            }
        }
        if let Some(waited) = waited {
            self.release(decision, &waited);
        }
        if let Some(ancestor) = ancestor {
            self.close(ancestor);
        }
    }

    /// Changes an account, and updates the number of live processes of the groups that it was in before and is in afterwards.
    fn change(&mut self, id: AccountId, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        let before = (account.group(), account.living);
        change(account);
        let after = (account.group(), account.living);
        for ((group, living), is_added) in [(before, false), (after, true)] {
            if let Some(group) = group {
                self.groups.count(group, u64::from(living), is_added);
            }
        }
    }

    /// Whether the comm has no entry yet, and a process with this comm and no other facts would get the same verdict.
    fn is_predictive(&self, facts: &Facts, verdict: &Verdict) -> bool {
        let comms = self.comms.as_ref();
        comms.is_some_and(|comms| comms.is_new(&facts.comm))
            && (self.placer)(&of_comm(&facts.comm)) == *verdict
    }

    fn note_comm(&mut self, id: AccountId, facts: &Facts, is_unmatched: bool, is_predictive: bool) {
        let attribution = match is_unmatched && self.policy.children {
            true => Attribution::Parent,
            false => self.attribution(id),
        };
        // A process without arguments is ending, or is a kernel thread: its comm does not decide its group.
        if let Some(comms) = self.comms.as_mut().filter(|_| !facts.argv.is_empty()) {
            comms.note(&facts.comm, attribution, is_predictive);
        }
    }

    /// The group of a placement, or the group `other` if there is no room for it.
    pub(super) fn group(&mut self, placement: Placement, user: User) -> GroupIndex {
        let most = self.policy.max_groups;
        let (accounts, comms) = (&mut self.accounts, &mut self.comms);
        self.groups.group(placement, user, most, accounts, comms)
    }

    /// Returns `false` if no decision of a former configuration holds.
    fn confirm(&mut self, id: AccountId) -> bool {
        let account = self.accounts.get(id);
        let Some(decision) = account.and_then(|account| account.former) else {
            return false;
        };
        self.decide(id, decision);
        if let Some(account) = self.accounts.account_mut(id) {
            account.is_outdated = true;
        }
        true
    }

    /// Keeps only these groups. Accounts of the others go to no group.
    fn keep(&mut self, is_kept: &[bool]) {
        self.ungroup(is_kept);
        let (accounts, comms) = (&mut self.accounts, &mut self.comms);
        self.groups.keep(is_kept, None, accounts, comms);
    }
}

#[cfg(test)]
#[path = "tests/grouper.rs"]
mod tests;

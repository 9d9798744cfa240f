//! The grouper: the group of each account, and what each group has used and holds.
//!
//! In come bookings from the process table and decisions from a placer (selectors and name templates); out go groups. Group
//! counters never fall. Groups are bounded, all together and for each item with `max_groups`. At the bound, empty groups are
//! added to the group `other` (see [`super::room`]); if there are none, the processes of a new name or of new labels go there.
//! Both are counted.

use std::collections::HashMap;

use super::account::{Account, Accounts, Decision, GroupIndex};
use super::comms::Comms;
use super::policy::Policy;
use super::room::Folded;
use super::statistics::GroupStatistics;
use super::user::User;
use super::{Group, Labels, Placement, Verdict, text};
use crate::process::{AccountId, Booking, Coarse, Delta, Facts, Ledger, Tally};

/// The group of processes for which no more groups may be made; also the name for surplus names of threads and wait channels.
pub(super) const REST: &str = "other";

/// Decides the group of a process.
pub type Placer = Box<dyn Fn(&Facts) -> Verdict + Send>;

/// All groups and accounts, and the rules by which accounts get a group.
pub struct Grouper {
    pub(super) placer: Placer,
    pub(super) policy: Policy,
    pub(super) accounts: Accounts,
    /// Accounts that wait for the decision of an ancestor.
    pub(super) unmatched: Vec<AccountId>,
    pub(super) groups: Vec<Group>,
    /// Number of groups made so far, forgotten ones included.
    pub(super) made: u64,
    pub(super) by_name: HashMap<(String, Labels), GroupIndex>,
    pub(super) statistics: GroupStatistics,
    /// Predictions by comm; `None` if the kernel programs do not count by group.
    pub(super) comms: Option<Comms>,
    pub(super) folded: Folded,
}

impl std::fmt::Debug for Grouper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Grouper")
            .field("groups", &self.groups)
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
            Booking::Inherits(id) => self.inherit(id),
            Booking::Shared(id) => self.accounts.share(id),
            Booking::Entered(id) => self.enter(id),
            Booking::Left(id) => self.leave(id),
            Booking::Closed(id) => self.close(id),
            Booking::Named(id, facts) => self.name(id, facts),
            Booking::Used(id, tally) => self.book(id, tally),
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
            groups: Vec::new(),
            made: 0,
            by_name: HashMap::new(),
            statistics: GroupStatistics::default(),
            comms: None,
            folded: Folded::default(),
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
            if !self.policy.remove_empty && self.groups.len() < self.policy.max_groups {
                self.group(placement, User::Configuration);
            }
        }
    }

    /// All groups that are not forgotten, in the order of creation.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Counts about the grouper itself.
    pub fn statistics(&self) -> GroupStatistics {
        GroupStatistics {
            accounts: self.accounts.len() as u64,
            ..self.statistics
        }
    }

    /// Whether the account is decided to be in no group.
    pub fn is_outside(&self, account: AccountId) -> bool {
        self.accounts
            .get(account)
            .is_some_and(|account| account.decision == Decision::Nowhere)
    }

    /// The group of an account, once it is decided.
    pub fn group_of(&self, account: AccountId) -> Option<&Group> {
        self.groups.get(self.accounts.group_of(account)?.0)
    }

    /// The item that put the account into its group, from 0; `None` if it follows its ancestor.
    pub fn item_of(&self, account: AccountId) -> Option<usize> {
        let item = self.accounts.get(account)?.item?;
        usize::try_from(item).ok()
    }

    /// Decides the account of a living process by its own facts; if they match nothing, it follows its present parent.
    pub fn place(&mut self, id: AccountId, parent: Option<AccountId>, facts: &Facts) {
        self.adopt(id, parent);
        self.identify(id, facts);
    }

    /// Counts processes with long arguments that are left for a later pass.
    pub fn note_deferred(&mut self, count: usize) {
        self.statistics.deferred += count as u64;
    }

    fn inherit(&mut self, id: AccountId) {
        if let Some(account) = self.accounts.account_mut(id) {
            account.is_fork = true;
        }
    }

    pub(super) fn enter(&mut self, account: AccountId) {
        self.change(account, |account| account.living += 1);
    }

    pub(super) fn leave(&mut self, account: AccountId) {
        self.change(account, |account| {
            account.living = account.living.saturating_sub(1);
        });
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
            if let (Some(heir), Some(waiting)) = (gone.ancestor, gone.waiting) {
                self.bequeath(heir, &waiting);
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
        if self
            .accounts
            .get(id)
            .is_none_or(|account| account.decision != Decision::Open)
        {
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
        let is_telling = self.is_telling(facts, &verdict);
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
        self.note_comm(id, facts, is_unmatched, is_telling);
        self.explain(id, facts, is_match);
    }

    /// Gives an undecided account the group of its ancestor, because its own facts will never be read.
    pub fn follow(&mut self, id: AccountId) {
        let account = self.accounts.get(id);
        if account.is_some_and(|account| account.decision == Decision::Open) {
            self.decide_unmatched(id, true);
        }
    }

    pub(super) fn book(&mut self, id: AccountId, tally: &Tally) {
        if self.accounts.get(id).is_some() {
            self.statistics.add(tally);
        }
        self.rebook(id, tally);
    }

    /// Books `tally` again: it was booked to this account while it was in no group, and now counts for its group.
    pub fn rebook(&mut self, id: AccountId, tally: &Tally) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        match account.present() {
            Decision::Open | Decision::Unmatched => {
                account.waiting.get_or_insert_default().add(tally)
            }
            Decision::Member(group) => self.groups[group.0].total.add(tally),
            Decision::Nowhere => {}
        }
    }

    /// Moves waiting bookings to `heir`: they go on waiting there, or are booked at once if it is decided.
    fn bequeath(&mut self, heir: AccountId, waited: &Tally) {
        match self.accounts.account_mut(heir) {
            Some(account) if matches!(account.decision, Decision::Open | Decision::Unmatched) => {
                account.waiting.get_or_insert_default().add(waited);
            }
            _ => self.rebook(heir, waited),
        }
    }

    fn adopt(&mut self, id: AccountId, ancestor: Option<AccountId>) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        if account.decision != Decision::Open || ancestor == Some(id) {
            return;
        }
        let former = std::mem::replace(&mut account.ancestor, ancestor);
        if let Some(ancestor) = ancestor {
            self.accounts.share(ancestor);
        }
        if let Some(former) = former {
            self.close(former);
        }
    }

    /// Books a sum by comm to the group that this comm alone gives.
    pub fn book_coarse(&mut self, coarse: &Coarse) {
        let facts = coarse.comm.as_deref().map(of_comm);
        let tally = Tally {
            delta: Delta::from(&coarse.counters),
            lifecycle: coarse.lifecycle,
        };
        self.statistics.add(&tally);
        self.statistics.coarse_forks += coarse.lifecycle.forks;
        match facts.map_or(Verdict::Unmatched, |facts| (self.placer)(&facts)) {
            Verdict::Member(placement) => {
                let group = self.group(placement, User::Unknown);
                self.groups[group.0].total.add(&tally);
            }
            Verdict::Excluded { .. } => {}
            Verdict::Unmatched => {
                let Delta {
                    user_ns, system_ns, ..
                } = tally.delta;
                let coarse_ns = user_ns.saturating_add(system_ns);
                let sum = &mut self.statistics.unattributed_cpu_ns;
                *sum = sum.saturating_add(coarse_ns);
            }
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
        let above = self.nearest(id);
        let decision = above
            .and_then(|id| self.accounts.get(id))
            .map(|account| account.decision);
        let decision = decision.unwrap_or(Decision::Nowhere);
        if decision != Decision::Open {
            return self.decide(id, decision);
        }
        self.unmatched.push(id);
        self.change(id, |account| {
            account.decision = Decision::Unmatched;
            account.former = None;
        });
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        if account.ancestor != above {
            // Skips ancestors that follow another account: chains stay short, however deep processes are nested.
            let former = std::mem::replace(&mut account.ancestor, above);
            above
                .into_iter()
                .for_each(|above| self.accounts.share(above));
            former.into_iter().for_each(|former| self.close(former));
        }
    }

    /// The nearest ancestor that does not itself follow one.
    fn nearest(&self, id: AccountId) -> Option<AccountId> {
        let mut above = self.accounts.get(id)?.ancestor?;
        // Two reparented processes could be each other's ancestor. No real chain is longer than the number of accounts.
        for _ in 0..=self.accounts.len() {
            let account = self.accounts.get(above)?;
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

    pub(super) fn decide(&mut self, id: AccountId, decision: Decision) {
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
            let group = &mut self.groups[group.0];
            account
                .user
                .into_iter()
                .for_each(|user| group.filling.join(user));
            waited
                .into_iter()
                .for_each(|waited| group.total.add(&waited));
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
            let Some(group) = group else {
                continue;
            };
            let filling = &mut self.groups[group.0].filling;
            let living = u64::from(living);
            filling.living = match is_added {
                true => filling.living + living,
                false => filling.living.saturating_sub(living),
            };
            self.folded.clock += 1;
            filling.touched = self.folded.clock;
        }
    }

    /// Logs, at level debug, the group of an account and the facts that decided it.
    fn explain(&self, id: AccountId, facts: &Facts, is_match: bool) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        let decision = self.accounts.get(id).map(|account| account.decision);
        let verdict = match decision {
            Some(Decision::Member(group)) => {
                let by = if is_match {
                    "by its own facts"
                } else {
                    "as its ancestor"
                };
                format!("in group {:?} {by}", self.groups[group.0].name)
            }
            Some(Decision::Nowhere) => "in no group".to_owned(),
            _ => "in the group of an ancestor that is not decided yet".to_owned(),
        };
        let (tgid, comm) = (facts.tgid, facts.comm.escape_ascii());
        log::debug!(
            "process {tgid}, comm {comm}, arguments {:?}: {verdict}",
            text::joined(&facts.argv)
        );
    }
}

/// Facts of a process of which only the comm is known.
pub(super) fn of_comm(comm: &[u8]) -> Facts {
    Facts {
        comm: comm.to_vec(),
        argv: [comm].into_iter().collect(),
        incomplete: true,
        ..Facts::default()
    }
}

#[cfg(test)]
#[path = "grouper_tests.rs"]
mod tests;

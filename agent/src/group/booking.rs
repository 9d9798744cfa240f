//! The way of bookings: they wait in an undecided account, count for the group of a decided one, or belong to no group.

use super::account::{Decision, GroupIndex, Waiting};
use super::comms::of_comm;
use super::grouper::Grouper;
use super::user::User;
use super::{GroupNetwork, Verdict};
use crate::process::{
    AccountId, Coarse, Delta, NetworkCounters, NetworkGauges, NetworkTally, Payload, Tally,
};

impl Grouper {
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
                account.waiting.get_or_insert_default().used.add(tally)
            }
            Decision::Member(group) => self.groups.all[group.0].total.add(tally),
            Decision::Nowhere => {}
        }
    }

    /// Books the traffic of sockets in `scope`.
    pub(super) fn book_network(&mut self, id: AccountId, scope: usize, more: &NetworkCounters) {
        let mut tally = NetworkTally::default();
        tally.put(scope, more);
        self.book_network_tally(id, &tally);
    }

    fn book_network_tally(&mut self, id: AccountId, tally: &NetworkTally) {
        let account = self.accounts.account_mut(id);
        let decision = account.as_ref().map(|account| account.present());
        match (decision, account) {
            (Some(Decision::Open | Decision::Unmatched), Some(account)) => {
                account.waiting.get_or_insert_default().add_network(tally);
            }
            (Some(Decision::Member(group)), _) => self.add_network(group, tally),
            _ => self.leave_ungrouped(tally),
        }
    }

    fn add_network(&mut self, group: GroupIndex, tally: &NetworkTally) {
        self.statistics.booked_payload.add(tally.payload());
        self.network_of(group).total.add(tally);
    }

    fn leave_ungrouped(&mut self, tally: &NetworkTally) {
        self.statistics.booked_payload.add(tally.payload());
        self.statistics.ungrouped_payload.add(tally.payload());
    }

    fn network_of(&mut self, group: GroupIndex) -> &mut GroupNetwork {
        self.groups.all[group.0].network.get_or_insert_default()
    }

    /// Books the use that has waited in an account that has this final decision now.
    pub(super) fn release(&mut self, decision: Decision, waited: &Waiting) {
        let group = match decision {
            Decision::Member(group) => Some(group),
            _ => None,
        };
        if let Some(group) = group {
            self.groups.all[group.0].total.add(&waited.used);
        }
        match (&waited.network, group) {
            (Some(network), Some(group)) => self.add_network(group, network),
            (Some(network), None) => self.leave_ungrouped(network),
            (None, _) => {}
        }
        if let (Some(requests), Some(group)) = (&waited.requests, group) {
            self.add_requests(group, requests.counters());
        }
    }

    /// Moves waiting bookings to `heir`: they go on waiting there, or are booked at once if it is decided.
    pub(super) fn bequeath(&mut self, heir: Option<AccountId>, waited: &Waiting) {
        let account = heir.and_then(|heir| self.accounts.account_mut(heir));
        match (account, heir) {
            (Some(account), _)
                if matches!(account.decision, Decision::Open | Decision::Unmatched) =>
            {
                account.waiting.get_or_insert_default().add(waited);
            }
            (Some(_), Some(heir)) => {
                self.rebook(heir, &waited.used);
                if let Some(network) = &waited.network {
                    self.book_network_tally(heir, network);
                }
                if let Some(requests) = &waited.requests {
                    self.book_requests(heir, requests.counters());
                }
            }
            _ => self.release(Decision::Nowhere, waited),
        }
    }

    /// The totals of the groups that are not kept belong to no group from now on.
    pub(super) fn ungroup(&mut self, is_kept: &[bool]) {
        let removed = self
            .groups
            .all
            .iter()
            .zip(is_kept)
            .filter(|(_, kept)| !**kept);
        let payloads =
            removed.filter_map(|(group, _)| Some(group.network.as_ref()?.total.payload()));
        let mut ungrouped = Payload::default();
        payloads.for_each(|payload| ungrouped.add(payload));
        self.statistics.ungrouped_payload.add(ungrouped);
    }

    /// Sums up the gauges of the living sockets of each group: account, scope and gauges of each process with such sockets.
    pub fn measure_network<'a>(
        &mut self,
        living: impl Iterator<Item = (AccountId, usize, &'a NetworkGauges)>,
    ) {
        for group in &mut self.groups.all {
            group
                .network
                .iter_mut()
                .for_each(|network| network.clear_living());
        }
        for (account, scope, gauges) in living {
            if let Some(group) = self.accounts.group_of(account) {
                self.network_of(group).add_living(scope, gauges);
            }
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
                self.groups.all[group.0].total.add(&tally);
            }
            Verdict::Excluded { .. } => {}
            Verdict::Unmatched => self.statistics.add_unattributed(&tally),
        }
    }
}

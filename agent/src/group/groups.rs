//! All groups by name and labels: they are made, folded and forgotten here.
//!
//! In: placements, and the users they are for. Out: the index of a group. The bounds are in [`super::room`].

use std::collections::{HashMap, HashSet};

use super::account::{Account, Accounts, Decision, GroupIndex};
use super::comms::Comms;
use super::room::{Allowance, GroupBound};
use super::user::{Filling, User};
use super::{Gauges, Group, Labels, Placement, REST, ThreadNames, text, thread_budget};
use crate::process::{Attribution, Facts, Folds, Live};

/// All groups that are not forgotten.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// In the order of creation.
    pub(super) all: Vec<Group>,
    by_name: HashMap<(String, Labels), GroupIndex>,
    /// Number of groups made so far, forgotten ones included.
    made: u64,
    /// Counts the events of live processes joining and leaving groups, see [`Filling::touched`].
    clock: u64,
    /// Groups folded since the kernel programs last got the list of groups: ids of those that the kernel programs know.
    folded_ids: Vec<u64>,
    /// The kernel programs know the groups with ids up to this one.
    newest_known: u64,
    /// Number of groups folded so far.
    pub(super) folded: u64,
    /// How often an account went to the group `other`, because no more groups may be made.
    pub(super) overflowed: u64,
}

impl Groups {
    /// The group of a placement, or the group `other` if there is no room for it. `most` bounds all groups together.
    pub(super) fn group(
        &mut self,
        placement: Placement,
        user: User,
        most: usize,
        accounts: &mut Accounts,
        comms: &mut Option<Comms>,
    ) -> GroupIndex {
        let identity = (placement.name.clone(), placement.labels.clone());
        let known = self.by_name.get(&identity).copied();
        if let Some(known) = known.filter(|known| self.all[known.0].item.is_some()) {
            self.all[known.0].count_as(&placement);
            return known;
        }
        // A group that is known already, of a former configuration, takes no further place among all groups.
        let all = known.is_none().then_some(GroupBound { item: None, most });
        let of_item = placement.max_groups.map(|most| GroupBound {
            item: Some(placement.item),
            most: most as usize,
        });
        // The item's bound comes first: if it refuses, no place among all groups is needed.
        let mut bounds = of_item.into_iter().chain(all);
        if !bounds.all(|bound| self.has_room(bound, user, accounts, comms)) {
            self.overflowed += 1;
            let rest = self.rest();
            self.all[rest.0].count_as(&placement);
            return rest;
        }
        let index = self.index_of(identity, user);
        // The group has no item so far: it is new, or was a former configuration's.
        let group = &mut self.all[index.0];
        group.item = Some(placement.item);
        group.count_as(&placement);
        if user == User::Configuration {
            group.filling.maker = user;
        }
        index
    }

    /// The group of this name and labels; made for `user` if there is none.
    fn index_of(&mut self, identity: (String, Labels), user: User) -> GroupIndex {
        let next = GroupIndex(self.all.len());
        let index = *self.by_name.entry(identity.clone()).or_insert(next);
        if index == next {
            let (name, labels) = identity;
            self.made += 1;
            self.clock += 1;
            self.all.push(Group {
                id: self.made,
                filling: Filling {
                    maker: user,
                    touched: self.clock,
                    ..Filling::default()
                },
                threads: ThreadNames::costing(thread_budget::cost(&name, &labels)),
                name,
                labels,
                ..Group::default()
            });
        }
        index
    }

    /// Whether the bound allows one more group for this user. Folds other groups if that makes room.
    fn has_room(
        &mut self,
        bound: GroupBound,
        user: User,
        accounts: &mut Accounts,
        comms: &mut Option<Comms>,
    ) -> bool {
        match bound.answer(&self.all, user) {
            Allowance::Room => true,
            Allowance::Fold(victims) => {
                self.fold(&victims, accounts, comms);
                true
            }
            Allowance::None => false,
        }
    }

    /// Adds these groups to `other` and removes them.
    fn fold(&mut self, victims: &[usize], accounts: &mut Accounts, comms: &mut Option<Comms>) {
        let rest = self.rest();
        let mut is_kept = vec![true; self.all.len()];
        for &victim in victims {
            is_kept[victim] = false;
            let Group {
                id,
                total,
                threads,
                network,
                requests,
                ..
            } = &self.all[victim];
            if *id <= self.newest_known {
                self.folded_ids.push(*id);
            }
            let (total, threads, network) = (*total, threads.clone(), network.clone());
            let requests = requests.clone();
            let rest = &mut self.all[rest.0];
            rest.total.add(&total);
            rest.threads.absorb(&threads);
            if let Some(network) = network {
                rest.network
                    .get_or_insert_default()
                    .total
                    .add(&network.total);
            }
            if let Some(requests) = requests {
                rest.requests
                    .get_or_insert_default()
                    .add(requests.counters());
            }
        }
        self.folded += victims.len() as u64;
        self.keep(&is_kept, Some(rest), accounts, comms);
    }

    /// The group `other`; made if there is none.
    fn rest(&mut self) -> GroupIndex {
        self.index_of((REST.to_owned(), Labels::new()), User::Unknown)
    }

    /// Groups folded since the last call, as far as they existed at that call.
    pub(super) fn take_folds(&mut self) -> Folds {
        self.newest_known = self
            .all
            .iter()
            .map(|group| group.id)
            .max()
            .unwrap_or(0)
            .max(self.newest_known);
        let rest = self.all.iter().find(|group| group.is_rest());
        Folds {
            heir: rest.map(|rest| rest.id),
            groups: std::mem::take(&mut self.folded_ids),
        }
    }

    /// Keeps only these groups. Accounts of the others go to `heir`, or to no group.
    pub(super) fn keep(
        &mut self,
        is_kept: &[bool],
        heir: Option<GroupIndex>,
        accounts: &mut Accounts,
        comms: &mut Option<Comms>,
    ) {
        if !is_kept.contains(&false) {
            return;
        }
        let mut kept = 0;
        let place = |is_kept: &bool| {
            kept += usize::from(*is_kept);
            is_kept.then(|| GroupIndex(kept - 1))
        };
        let places: Vec<Option<GroupIndex>> = is_kept.iter().map(place).collect();
        let heir = heir.and_then(|heir| places[heir.0]);
        let mut is_kept = is_kept.iter();
        self.all.retain(|_| is_kept.next() == Some(&true));
        if let Some(comms) = comms {
            let ids: HashSet<u64> = self.all.iter().map(|group| group.id).collect();
            comms.keep(|id| ids.contains(&id));
        }
        self.by_name.retain(|_, group| {
            let place = places[group.0];
            *group = place.unwrap_or(*group);
            place.is_some()
        });
        let moved = |decision: &mut Decision| {
            if let Decision::Member(group) = *decision {
                *decision = places[group.0]
                    .or(heir)
                    .map_or(Decision::Nowhere, Decision::Member);
            }
        };
        for account in accounts.iter_mut() {
            moved(&mut account.decision);
            account.former.iter_mut().for_each(moved);
        }
    }

    /// Whether anything was ever booked to each group.
    pub(super) fn used(&self) -> Vec<bool> {
        let groups = self.all.iter();
        let is_used = |group: &Group| {
            !group.total.is_empty() || group.network.is_some() || group.requests.is_some()
        };
        groups.map(is_used).collect()
    }

    /// The configuration has changed, and with it the numbers of items: the item that next puts a process into a group becomes
    /// its item.
    pub(super) fn forget_items(&mut self, accounts: &mut Accounts) {
        // No item puts these accounts into their groups again: the one that did is unchanged.
        let mut stays = vec![false; self.all.len()];
        for account in accounts.iter_mut().filter(|account| !account.is_outdated) {
            if let Decision::Member(group) = account.decision {
                stays[group.0] = true;
            }
        }
        for (group, stays) in self.all.iter_mut().zip(stays) {
            group.item = None;
            group.counts_requests &= stays;
            group.shows_servers &= stays;
            if group.filling.maker == User::Configuration {
                group.filling.maker = User::Unknown;
            }
        }
    }

    /// Notes that so many live processes joined a group, or left it.
    pub(super) fn count(&mut self, group: GroupIndex, living: u64, is_added: bool) {
        let filling = &mut self.all[group.0].filling;
        filling.living = match is_added {
            true => filling.living + living,
            false => filling.living.saturating_sub(living),
        };
        self.clock += 1;
        filling.touched = self.clock;
    }

    /// Sums up the gauges of the live members of each group.
    pub(super) fn measure<'a>(
        &mut self,
        accounts: &Accounts,
        live: impl Iterator<Item = Live<'a>>,
    ) {
        for group in &mut self.all {
            group.gauges = Gauges::default();
        }
        for process in live {
            if let Some(group) = accounts.group_of(process.account()) {
                self.all[group.0].gauges.add(&process);
            }
        }
    }

    /// The attribution of an account's values.
    pub(super) fn attribution(&self, account: Option<&Account>) -> Attribution {
        match account.map(Account::present) {
            Some(Decision::Member(group)) => Attribution::Group(self.all[group.0].id),
            Some(Decision::Nowhere) => Attribution::Nowhere,
            Some(Decision::Open | Decision::Unmatched) | None => Attribution::Unknown,
        }
    }

    /// Logs, at level debug, the group of an account and the facts that decided it.
    pub(super) fn explain(&self, account: Option<&Account>, facts: &Facts, is_match: bool) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        let decision = account.map(|account| account.decision);
        let verdict = match decision {
            Some(Decision::Member(group)) => {
                let by = if is_match {
                    "by its own facts"
                } else {
                    "as its ancestor"
                };
                format!("in group {:?} {by}", self.all[group.0].name)
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

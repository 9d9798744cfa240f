//! Room for one more group: the users who may have it, and the groups that give way.
//!
//! Groups are bounded, all together and by item. Within a bound, users share:
//!
//! * Root may take every free place, and so may a user while no other user has a group. Any other user may have seven groups
//!   for each place that stays free, so that the next user finds room.
//! * When a user may have no more, its own longest empty groups are folded.
//! * When no place is free, groups of the user with the most groups are folded, but never for a user with as many. Groups of
//!   root are folded for other users only while root has more than half.
//! * Of one user, the longest empty groups go first, and groups that only this user filled go before shared ones. A group with
//!   a live process, or named by the configuration, is never folded.
//!
//! To fold a group is to add its counters to those of `other`; later bookings of its former processes go there, too. If nothing
//! can be folded, processes with the new name count as `other`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use super::account::{Decision, GroupIndex};
use super::grouper::REST;
use super::user::{Filling, User};
use super::{Group, Grouper, Labels, Placement, ThreadNames, thread_budget};
use crate::process::Folds;

/// Number of groups that a user other than root may have for each place that is free.
const PER_FREE: usize = 7;

/// Up to a sixteenth of a bound is folded at once, because each time all accounts are walked.
const PORTION: usize = 16;

/// One bound on the number of groups.
#[derive(Debug, Clone, Copy)]
struct Bound {
    /// The item whose groups it bounds; `None`: it bounds all groups.
    item: Option<usize>,
    most: usize,
}

/// Whether a bound allows one more group.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Room,
    /// Yes, if these groups are folded.
    Fold(Vec<usize>),
    None,
}

/// Groups folded since the kernel programs last got the list of groups.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Counts the events of live processes joining and leaving groups, see [`super::user::Filling::touched`].
    pub(super) clock: u64,
    /// Ids of folded groups that the kernel programs know.
    ids: Vec<u64>,
    /// The kernel programs know the groups with ids up to this one.
    told: u64,
}

impl Group {
    fn is_rest(&self) -> bool {
        self.name == REST && self.labels.is_empty()
    }

    fn is_foldable(&self) -> bool {
        let filling = &self.filling;
        let is_in_use = filling.living > 0 || self.gauges.processes > 0;
        !is_in_use && !self.is_rest() && filling.maker != User::Configuration
    }

    /// The user that the group was made for.
    pub(super) fn user(&self) -> User {
        self.filling.maker
    }
}

impl Bound {
    /// Whether the bound allows one more group of `user`.
    fn answer(self, groups: &[Group], user: User) -> Answer {
        let Self { item, most } = self;
        let counted = groups
            .iter()
            .enumerate()
            .filter(|(_, group)| item.is_none_or(|item| group.item == Some(item)));
        let mut held = 0;
        let mut weights: BTreeMap<User, usize> = BTreeMap::new();
        for (_, group) in counted.clone() {
            held += 1;
            let is_charged = !group.is_rest() && group.user() != User::Configuration;
            if is_charged {
                *weights.entry(group.user()).or_default() += 1;
            }
        }
        let own = weights.get(&user).copied().unwrap_or(0);
        let free = most.saturating_sub(held);
        let is_alone = weights.len() == usize::from(own > 0);
        let is_modest = user.is_root() || is_alone || free > (own + 1) / PER_FREE;
        if free > 0 && is_modest {
            return Answer::Room;
        }
        let may_fold = |other: User, weight: usize| {
            let is_guarded = other.is_root() && 2 * weight <= most;
            other == user || free == 0 && weight > own && !is_guarded
        };
        let foldable = |user| {
            counted
                .clone()
                .filter(move |(_, group)| group.user() == user && group.is_foldable())
        };
        let mut users: Vec<(User, usize)> = weights
            .into_iter()
            .filter(|(other, weight)| may_fold(*other, *weight))
            .collect();
        users.sort_by_key(|(_, weight)| Reverse(*weight));
        let Some((heaviest, weight)) = users
            .into_iter()
            .find(|(user, _)| foldable(*user).next().is_some())
        else {
            return Answer::None;
        };
        let mut candidates: Vec<(bool, u64, usize)> = foldable(heaviest)
            .map(|(index, group)| (group.filling.is_shared, group.filling.touched, index))
            .collect();
        candidates.sort_unstable();
        let is_shared = candidates[0].0;
        // The other user keeps at least as many as `user` has.
        let excess = if heaviest == user {
            weight
        } else {
            weight - own
        };
        let portion = (most / PORTION).clamp(1, excess.max(1));
        let portion = candidates
            .into_iter()
            .take(portion)
            .filter(|(shared, ..)| *shared == is_shared);
        Answer::Fold(portion.map(|(.., index)| index).collect())
    }
}

impl Grouper {
    /// The group of a placement, or the group `other` if there is no room for it.
    pub(super) fn group(&mut self, placement: Placement, user: User) -> GroupIndex {
        let identity = (placement.name.clone(), placement.labels.clone());
        let known = self.by_name.get(&identity).copied();
        if let Some(known) = known.filter(|known| self.groups[known.0].item.is_some()) {
            return known;
        }
        if !self.has_room(&placement, known.is_some(), user) {
            self.statistics.overflowed += 1;
            return self.rest();
        }
        let index = self.index_of(identity, user);
        // The group has no item so far: it is new, or was a former configuration's.
        let group = &mut self.groups[index.0];
        group.item = Some(placement.item);
        if user == User::Configuration {
            group.filling.maker = user;
        }
        index
    }

    /// The group of this name and labels; made for `user` if there is none.
    fn index_of(&mut self, identity: (String, Labels), user: User) -> GroupIndex {
        let next = GroupIndex(self.groups.len());
        let index = *self.by_name.entry(identity.clone()).or_insert(next);
        if index == next {
            let (name, labels) = identity;
            self.made += 1;
            self.folded.clock += 1;
            self.groups.push(Group {
                id: self.made,
                filling: Filling {
                    maker: user,
                    touched: self.folded.clock,
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

    /// Whether one more group may be made, of this item and for this user. Folds other groups if that makes room. `is_known`:
    /// there is such a group already, of a former configuration.
    fn has_room(&mut self, placement: &Placement, is_known: bool, user: User) -> bool {
        let all = (!is_known).then_some(Bound {
            item: None,
            most: self.policy.max_groups,
        });
        let of_item = placement.max_groups.map(|most| Bound {
            item: Some(placement.item),
            most: most as usize,
        });
        // The item's bound comes first: if it refuses, no place among all groups is needed.
        of_item
            .into_iter()
            .chain(all)
            .all(|bound| match bound.answer(&self.groups, user) {
                Answer::Room => true,
                Answer::Fold(victims) => {
                    self.fold(&victims);
                    true
                }
                Answer::None => false,
            })
    }

    /// Adds these groups to `other` and removes them.
    fn fold(&mut self, victims: &[usize]) {
        let rest = self.rest();
        let mut is_kept = vec![true; self.groups.len()];
        for &victim in victims {
            is_kept[victim] = false;
            let Group {
                id, total, threads, ..
            } = &self.groups[victim];
            if *id <= self.folded.told {
                self.folded.ids.push(*id);
            }
            let (total, threads) = (*total, threads.clone());
            let rest = &mut self.groups[rest.0];
            rest.total.add(&total);
            rest.threads.absorb(&threads);
        }
        self.statistics.folded_groups += victims.len() as u64;
        self.keep(&is_kept, Some(rest));
    }

    /// The group `other`; made if there is none.
    fn rest(&mut self) -> GroupIndex {
        self.index_of((REST.to_owned(), Labels::new()), User::Unknown)
    }

    /// Groups folded since the last call, as far as they existed at that call.
    pub fn take_folds(&mut self) -> Folds {
        self.folded.told = self
            .groups
            .iter()
            .map(|group| group.id)
            .max()
            .unwrap_or(0)
            .max(self.folded.told);
        let rest = self.groups.iter().find(|group| group.is_rest());
        Folds {
            heir: rest.map(|rest| rest.id),
            groups: std::mem::take(&mut self.folded.ids),
        }
    }

    /// Whether there are as many groups as are allowed.
    pub fn is_full(&self) -> bool {
        self.groups.len() >= self.policy.max_groups
    }

    /// Keeps only these groups. Accounts of the others go to `heir`, or to no group.
    pub(super) fn keep(&mut self, is_kept: &[bool], heir: Option<GroupIndex>) {
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
        self.groups.retain(|_| is_kept.next() == Some(&true));
        if let Some(comms) = &mut self.comms {
            let ids: HashSet<u64> = self.groups.iter().map(|group| group.id).collect();
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
        for account in self.accounts.iter_mut() {
            moved(&mut account.decision);
            account.former.iter_mut().for_each(moved);
        }
    }
}

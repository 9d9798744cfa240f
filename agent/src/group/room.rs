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
//!   a live process, or named by the configuration, is never folded. A zombie whose exit record came is no live process.
//!
//! To fold a group is to add its counters to those of `other`; later bookings of its former processes go there, too. If nothing
//! can be folded, processes with the new name count as `other`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Group, User};

/// Number of groups that a user other than root may have for each place that is free.
const PER_FREE: usize = 7;

/// Up to a sixteenth of a bound is folded at once, because each time all accounts are walked.
const PORTION: usize = 16;

/// One bound on the number of groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupBound {
    /// The item whose groups it bounds; `None`: it bounds all groups.
    pub(super) item: Option<usize>,
    pub(super) most: usize,
}

/// Whether a bound allows one more group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    Room,
    /// Yes, if these groups are folded.
    Fold(Vec<usize>),
    None,
}

impl GroupBound {
    /// Whether the bound allows one more group of `user`.
    pub(super) fn answer(self, groups: &[Group], user: User) -> Allowance {
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
            return Allowance::Room;
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
            return Allowance::None;
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
        Allowance::Fold(portion.map(|(.., index)| index).collect())
    }
}

//! The budget of thread names of all groups: how many there may be in all, and how many in each group.
//!
//! A thread name has nine series, and each carries the labels of its group. So a name costs one unit, and one more for each 128
//! bytes of these labels. All names together cost at most [`UNITS`], which is about 5 MB of an exposition. If they cost more,
//! users get equal shares, and so do the groups of one user: a user or a group that needs less than its share keeps all its
//! names. Threads whose names exceed the share count as `other` of their group.

use std::collections::BTreeMap;

use super::account::Accounts;
use super::threads::NAMES;
use super::{Group, Labels, text};
use crate::process::LiveThreads;

/// All names together cost at most this many units.
const UNITS: u64 = 4096;

/// Bytes of labels that cost one unit.
const UNIT_BYTES: usize = 128;

/// The cost of the names of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Want<Owner> {
    user: Owner,
    units: u64,
}

/// The cost of one thread name of a group.
pub(super) fn cost(name: &str, labels: &Labels) -> u64 {
    let escaped = |name: &str| text::fitting(name, usize::MAX).1;
    let labels = labels
        .iter()
        .map(|(name, value)| name.len() + escaped(value));
    let bytes = escaped(name) + labels.sum::<usize>();
    1 + (bytes / UNIT_BYTES) as u64
}

/// The largest share of each of `needs`, so that all together have at most `total`: all that need more get the same.
fn share(mut needs: Vec<u64>, total: u64) -> u64 {
    needs.sort_unstable();
    let (mut left, count) = (total, needs.len() as u64);
    for (number, need) in (0..).zip(needs) {
        let share = left / (count - number);
        if need > share {
            return share;
        }
        left -= need;
    }
    u64::MAX
}

/// The largest cost of each group's names, in the order of `wants`.
fn shares<Owner: Ord + Copy>(wants: &[Want<Owner>], total: u64) -> Vec<u64> {
    let mut by_user: BTreeMap<Owner, Vec<u64>> = BTreeMap::new();
    for want in wants {
        by_user.entry(want.user).or_default().push(want.units);
    }
    let of_user = share(
        by_user.values().map(|needs| needs.iter().sum()).collect(),
        total,
    );
    let of_group: BTreeMap<Owner, u64> = by_user
        .into_iter()
        .map(|(user, needs)| (user, share(needs, of_user)))
        .collect();
    wants.iter().map(|want| of_group[&want.user]).collect()
}

/// Counts the threads of each group by name.
pub(super) fn measure<'a>(
    groups: &mut [Group],
    accounts: &Accounts,
    live: impl Iterator<Item = LiveThreads<'a>>,
) {
    let mut held = 0;
    for names in groups.iter_mut().map(|group| &mut group.threads) {
        names.begin();
        held += names.held() * names.cost;
    }
    // Until the number of names of each group is known, new names may cost as much again.
    let mut room = (2 * UNITS).saturating_sub(held);
    for process in live {
        if let Some(group) = accounts.group_of(process.account()) {
            let names = &mut groups[group.0].threads;
            process.report(|name, used| names.add(name, used, &mut room));
        }
    }
    limit(groups);
}

/// Folds names until all together are within the bound.
fn limit(groups: &mut [Group]) {
    let wants = groups.iter().map(|group| Want {
        user: group.user(),
        units: group.threads.wanted() * group.threads.cost,
    });
    let is_crowded = wants.clone().map(|want| want.units).sum::<u64>() > UNITS;
    let shares = is_crowded.then(|| shares(&wants.collect::<Vec<_>>(), UNITS));
    for (number, Group { threads, .. }) in groups.iter_mut().enumerate() {
        let share = shares.as_ref().map(|shares| shares[number]);
        threads.limit = share.map(|share| (share / threads.cost.max(1)).min(NAMES));
        threads.trim();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn needs_within_the_total_are_met() {
        assert_eq!(share(vec![], 10), u64::MAX);
        assert_eq!(share(vec![3, 7], 10), u64::MAX);
    }

    #[test]
    fn small_needs_are_met_and_the_others_get_equal_shares() {
        assert_eq!(share(vec![100, 2, 100, 3], 45), 20);
        assert_eq!(share(vec![5, 5, 5], 2), 0);
    }

    #[test]
    fn one_user_with_many_groups_leaves_the_group_of_another_alone() {
        let mut wants = vec![Want { user: 1, units: 20 }];
        wants.extend((0..1000).map(|_| Want {
            user: 2,
            units: 128,
        }));
        let shares = shares(&wants, UNITS);
        assert!(shares[0] >= 20, "{}", shares[0]);
        assert_eq!(shares[1], (UNITS - 20) / 1000);
    }

    #[test]
    fn a_name_costs_more_in_a_group_with_long_labels() {
        assert_eq!(cost("bash", &Labels::new()), 1);
        assert_eq!(cost(&"\"".repeat(512), &Labels::new()), 9);
        let labels = vec![("pod".into(), "x".repeat(253))];
        assert_eq!(cost("", &labels), 3);
    }

    proptest! {
        #[test]
        fn shares_keep_within_the_total_and_waste_nothing(
            wants in prop::collection::vec((0u8..4, 0u64..200), 0..40),
            total in 0u64..3000,
        ) {
            let wants: Vec<_> = wants.into_iter().map(|(user, units)| Want { user, units }).collect();
            let shares = shares(&wants, total);
            let granted: Vec<u64> = wants.iter().zip(&shares).map(|(want, share)| want.units.min(*share)).collect();
            let all: u64 = wants.iter().map(|want| want.units).sum();
            let granted: u64 = granted.iter().sum();
            prop_assert!(granted <= total);
            // Rounding leaves less than one unit for each group and user.
            prop_assert!(granted + wants.len() as u64 + 4 > total.min(all), "{granted} of {all}, {total}");
        }
    }
}

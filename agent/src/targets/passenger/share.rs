//! Divides a bound among the users whose instances want more than there is, so that no user's instances push out another's.
//!
//! In: the demand of each uid, and the available amount. Out: the share of each uid. The agent asks every user's instances, so
//! any user can want everything.

use std::collections::BTreeMap;

/// Root is sure of three quarters, all other users together of the last quarter, each of an equal part of that. What one side or
/// one user does not need is for the others.
pub(super) fn shares(wanted: &BTreeMap<u32, usize>, room: usize) -> BTreeMap<u32, usize> {
    let root = wanted.get(&0).copied().unwrap_or(0);
    let mut others: Vec<(u32, usize)> =
        wanted.iter().map(|(uid, wanted)| (*uid, *wanted)).collect();
    others.retain(|(uid, _)| *uid != 0);
    let by_others = others
        .iter()
        .fold(0_usize, |sum, (_, wanted)| sum.saturating_add(*wanted));
    let for_others = by_others.min(room / 4);
    let root = root.min(room - for_others);

    let mut left = room - root;
    let mut shares = BTreeMap::from([(0, root)]);
    // Smallest first, so that the rest of a user's share is divided among those that want more.
    others.sort_unstable_by_key(|(uid, wanted)| (*wanted, *uid));
    let users = others.len();
    for (n, (uid, wanted)) in others.into_iter().enumerate() {
        let share = wanted.min(left / (users - n));
        left -= share;
        shares.insert(uid, share);
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divided<const N: usize>(wanted: [(u32, usize); N], room: usize) -> Vec<(u32, usize)> {
        shares(&BTreeMap::from(wanted), room).into_iter().collect()
    }

    #[test]
    fn all_needs_are_met_if_there_is_enough() {
        assert_eq!(
            divided([(0, 60), (7, 30), (9, 10)], 100),
            [(0, 60), (7, 30), (9, 10)]
        );
    }

    #[test]
    fn root_is_sure_of_three_quarters_and_the_others_of_one() {
        assert_eq!(divided([(0, 70), (7, 1000)], 100), [(0, 70), (7, 30)]);
        assert_eq!(divided([(0, 1000), (7, 1000)], 100), [(0, 75), (7, 25)]);
        assert_eq!(divided([(0, 1000), (7, 5)], 100), [(0, 95), (7, 5)]);
        assert_eq!(divided([(0, 1000)], 100), [(0, 100)]);
    }

    #[test]
    fn small_share_does_not_depend_on_what_others_want() {
        let shares = divided([(7, usize::MAX), (8, usize::MAX), (9, 20)], 100);
        assert_eq!(shares, [(0, 0), (7, 40), (8, 40), (9, 20)]);
    }

    proptest! {
        #[test]
        fn no_share_exceeds_its_need_and_no_room_is_wasted(
            wanted in prop::collection::btree_map(0_u32..6, 0_usize..200, 0..6),
            room in 0_usize..400,
        ) {
            let shares = shares(&wanted, room);
            let given: usize = shares.values().sum();
            prop_assert_eq!(given, room.min(wanted.values().sum()));
            for (uid, share) in shares {
                prop_assert!(share <= wanted.get(&uid).copied().unwrap_or(0));
            }
        }
    }
}

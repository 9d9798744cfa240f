//! The users who may have a group, and the groups that give way.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::group::{Grouper, Placement, Policy, Verdict};
use crate::process::{AccountId, Delta, Facts, Ledger, Tally};

const ROOT: Option<u32> = Some(0);
const MALLORY: Option<u32> = Some(1000);
const ALICE: Option<u32> = Some(1001);

/// Names groups by comm; the item of names `i...` may make four groups.
fn grouper(max_groups: usize) -> Grouper {
    let placer = |facts: &Facts| {
        let name = String::from_utf8_lossy(&facts.comm).into_owned();
        let is_bounded = name.starts_with('i');
        Verdict::Member(Placement {
            max_groups: is_bounded.then_some(4),
            ..Placement::plain(usize::from(is_bounded), name)
        })
    };
    let policy = Policy {
        max_groups,
        children: true,
        remove_empty: false,
    };
    Grouper::new(Box::new(placer), policy)
}

fn used(user_ns: u64) -> Tally {
    Tally {
        delta: Delta {
            user_ns,
            ..Delta::default()
        },
        ..Tally::default()
    }
}

/// Starts a process, which stays alive.
fn start(grouper: &mut Grouper, uid: Option<u32>, comm: &str) -> AccountId {
    let account = grouper.open(None);
    grouper.enter(account);
    let facts = Facts {
        comm: comm.as_bytes().to_vec(),
        uid,
        ..Facts::default()
    };
    grouper.identify(account, &facts);
    grouper.book(account, &used(1));
    account
}

fn end(grouper: &mut Grouper, account: AccountId) {
    grouper.leave(account);
    grouper.close(account);
}

/// Starts and ends a process.
fn run(grouper: &mut Grouper, uid: Option<u32>, comm: &str) {
    let account = start(grouper, uid, comm);
    end(grouper, account);
}

fn run_many(grouper: &mut Grouper, uid: Option<u32>, prefix: &str, count: usize) {
    (0..count).for_each(|n| run(grouper, uid, &format!("{prefix}{n}")));
}

fn total(grouper: &Grouper, name: &str) -> Option<u64> {
    let group = grouper.groups().iter().find(|group| group.name == name)?;
    Some(group.total.delta.user_ns)
}

fn sum(grouper: &Grouper) -> u64 {
    let groups = grouper.groups().iter();
    groups.map(|group| group.total.delta.user_ns).sum()
}

fn with_prefix(grouper: &Grouper, prefix: &str) -> usize {
    let groups = grouper.groups().iter();
    groups
        .filter(|group| group.name.starts_with(prefix))
        .count()
}

#[test]
fn eleven_hundred_names_of_one_user_leave_room_for_every_other() {
    let mut grouper = grouper(1000);
    run_many(&mut grouper, ROOT, "r", 100);
    run_many(&mut grouper, MALLORY, "m", 1100);
    run_many(&mut grouper, ALICE, "a", 100);
    run_many(&mut grouper, ROOT, "later", 100);
    run(&mut grouper, MALLORY, "last");
    assert_eq!(
        [
            with_prefix(&grouper, "r"),
            with_prefix(&grouper, "a"),
            with_prefix(&grouper, "later")
        ],
        [100; 3]
    );
    assert_eq!(total(&grouper, "last"), Some(1));
    assert_eq!(
        total(&grouper, "m1099"),
        Some(1),
        "the longest empty ones go first"
    );
    assert_eq!(total(&grouper, "m0"), None);
    assert_eq!(sum(&grouper), 1401);
    assert!(grouper.groups().len() <= 1001);
    let statistics = grouper.statistics();
    assert_eq!(statistics.overflowed, 0);
    assert_eq!(Some(statistics.folded_groups), total(&grouper, "other"));
}

#[test]
fn a_user_who_keeps_processes_alive_leaves_room_for_every_other() {
    let mut grouper = grouper(1000);
    run(&mut grouper, ROOT, "init");
    for n in 0..1100 {
        start(&mut grouper, MALLORY, &format!("m{n}"));
    }
    let made = with_prefix(&grouper, "m");
    assert!((800..900).contains(&made), "{made}");
    assert_eq!(total(&grouper, "other"), Some(1100 - made as u64));
    run_many(&mut grouper, ALICE, "a", 50);
    run_many(&mut grouper, ROOT, "r", 50);
    assert_eq!(
        [with_prefix(&grouper, "a"), with_prefix(&grouper, "r")],
        [50; 2]
    );
    assert_eq!(
        with_prefix(&grouper, "m"),
        made,
        "groups with live processes stay"
    );
    assert_eq!(grouper.statistics().folded_groups, 0);
}

#[test]
fn a_user_without_others_may_have_all_groups() {
    for uid in [ROOT, MALLORY] {
        let mut grouper = grouper(100);
        for n in 0..150 {
            start(&mut grouper, uid, &format!("m{n}"));
        }
        assert_eq!(with_prefix(&grouper, "m"), 100);
        assert_eq!(grouper.statistics().overflowed, 50);
    }
}

#[test]
fn many_subordinate_uids_are_one_user() {
    let mut grouper = grouper(100);
    run_many(&mut grouper, ROOT, "r", 20);
    run_many(&mut grouper, ALICE, "a", 5);
    for n in 0..500 {
        run(&mut grouper, Some(100_000 + n), &format!("m{n}"));
    }
    assert_eq!(
        [with_prefix(&grouper, "r"), with_prefix(&grouper, "a")],
        [20, 5]
    );
}

#[test]
fn many_uids_fold_no_group_of_root() {
    let mut grouper = grouper(100);
    run_many(&mut grouper, ROOT, "r", 40);
    for n in 0..500 {
        run(&mut grouper, Some(2000 + n), &format!("m{n}"));
    }
    assert_eq!(with_prefix(&grouper, "r"), 40);
}

#[test]
fn groups_in_use_or_named_by_the_configuration_are_not_folded() {
    let mut grouper = grouper(10);
    grouper.announce(vec![Placement::plain(0, "known".to_owned())]);
    let lives = start(&mut grouper, MALLORY, "lives");
    run_many(&mut grouper, MALLORY, "m", 50);
    assert_eq!(
        (total(&grouper, "known"), total(&grouper, "lives")),
        (Some(0), Some(1))
    );
    end(&mut grouper, lives);
    run_many(&mut grouper, MALLORY, "n", 50);
    assert_eq!(
        (total(&grouper, "known"), total(&grouper, "lives")),
        (Some(0), None)
    );
}

#[test]
fn late_use_of_an_evicted_group_goes_to_other_and_revives_no_group() {
    let mut grouper = grouper(4);
    let late = start(&mut grouper, MALLORY, "late");
    grouper.leave(late);
    run_many(&mut grouper, MALLORY, "m", 20);
    assert_eq!(total(&grouper, "late"), None);
    let before = total(&grouper, "other").unwrap();
    grouper.book(late, &used(5));
    assert_eq!(total(&grouper, "other"), Some(before + 5));
    grouper.close(late);
    // When the name returns, it is a new series.
    run(&mut grouper, MALLORY, "late");
    assert_eq!(total(&grouper, "late"), Some(1));
}

#[test]
fn the_groups_of_one_item_give_way_to_each_other() {
    let mut grouper = grouper(100);
    run_many(&mut grouper, ROOT, "x", 50);
    run_many(&mut grouper, MALLORY, "i", 50);
    run(&mut grouper, ALICE, "ialice");
    assert_eq!(total(&grouper, "ialice"), Some(1));
    assert_eq!(
        (with_prefix(&grouper, "x"), with_prefix(&grouper, "i")),
        (50, 4)
    );
    assert_eq!(grouper.statistics().overflowed, 0);
}

#[derive(Debug, Clone)]
enum RoomStep {
    Start { user: u32, name: u8 },
    End { which: usize },
    Late { which: usize },
}

fn step() -> impl Strategy<Value = RoomStep> {
    prop_oneof![
        4 => (0u32..3, 0u8..60).prop_map(|(user, name)| RoomStep::Start { user: [0, 1000, 100_000][user as usize], name }),
        3 => (0usize..64).prop_map(|which| RoomStep::End { which }),
        1 => (0usize..64).prop_map(|which| RoomStep::Late { which }),
    ]
}

proptest! {
    #[test]
    fn the_sum_is_kept_and_no_group_falls_but_by_a_counted_fold(steps in prop::collection::vec(step(), 1..300)) {
        let mut grouper = grouper(12);
        let (mut living, mut dead): (Vec<(AccountId, String)>, Vec<AccountId>) = (Vec::new(), Vec::new());
        let mut shown: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut booked, mut gone) = (0, 0);
        for step in steps {
            match step {
                RoomStep::Start { user, name } => {
                    let name = format!("{}{name}", if name % 5 == 0 { "i" } else { "n" });
                    booked += 1;
                    living.push((start(&mut grouper, Some(user), &name), name));
                }
                RoomStep::End { which } if !living.is_empty() => {
                    let (account, _) = living.swap_remove(which % living.len());
                    grouper.leave(account);
                    dead.push(account);
                }
                RoomStep::Late { which } if !dead.is_empty() => {
                    let account = dead.swap_remove(which % dead.len());
                    grouper.book(account, &used(3));
                    booked += 3;
                    grouper.close(account);
                }
                _ => {}
            }
            prop_assert_eq!(sum(&grouper), booked);
            let now: BTreeMap<u64, u64> = grouper.groups().iter().map(|group| (group.id, group.total.delta.user_ns)).collect();
            prop_assert!(now.len() <= 13);
            for (id, before) in shown {
                match now.get(&id) {
                    Some(later) => prop_assert!(before <= *later),
                    None => gone += 1,
                }
            }
            prop_assert!(gone <= grouper.statistics().folded_groups);
            for group in grouper.groups() {
                let members = living.iter().filter(|(account, _)| grouper.group_of(*account).map(|one| one.id) == Some(group.id));
                prop_assert_eq!(members.count() as u64, group.filling.living);
            }
            shown = now;
        }
    }
}

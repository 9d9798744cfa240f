//! Decisions, waiting bookings, ancestors and bounds of the grouper.

use super::*;
use crate::group::Placement;
use crate::process::{Attribution, Coarse, Counters, Delta, Lifecycle, Tally};

fn facts(comm: &str) -> Facts {
    Facts {
        comm: comm.as_bytes().to_vec(),
        ..Facts::default()
    }
}

fn grouper(max_groups: usize) -> Grouper {
    with(Policy {
        max_groups,
        children: true,
        remove_empty: false,
    })
}

/// Names every process by its comm, except `x...`, which match nothing, and `-...`, which are excluded.
fn with(policy: Policy) -> Grouper {
    let placer = |facts: &Facts| {
        let name = String::from_utf8_lossy(&facts.comm).into_owned();
        match name.chars().next() {
            Some('x') => Verdict::Unmatched,
            Some('-') => Verdict::Excluded { item: 0 },
            // `name/label`
            _ => {
                let (name, label) = name.split_once('/').unwrap_or((&name, ""));
                let labels = Some(("l".into(), label.to_owned())).filter(|_| !label.is_empty());
                Verdict::Member(Placement {
                    item: usize::from(name == "bound"),
                    name: name.to_owned(),
                    labels: labels.into_iter().collect(),
                    max_groups: (name == "bound").then_some(2),
                    counts_requests: false,
                    shows_servers: false,
                    is_cut: false,
                })
            }
        }
    };
    Grouper::new(Box::new(placer), policy)
}

/// The account of a live process that has used `user_ns`.
fn living(grouper: &mut Grouper, comm: &str, user_ns: u64) -> AccountId {
    let account = grouper.open(None);
    grouper.enter(account);
    grouper.identify(account, &facts(comm));
    grouper.book(account, &used(user_ns));
    account
}

/// The account of a process that was forked with the image of `image`.
fn fork_of(grouper: &mut Grouper, image: AccountId) -> AccountId {
    let account = grouper.open(Some(image));
    grouper.take(Booking::Inherits(account));
    account
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

fn totals(grouper: &Grouper) -> Vec<(&str, u64)> {
    grouper
        .groups()
        .iter()
        .map(|group| (group.name.as_str(), group.total.delta.user_ns))
        .collect()
}

#[test]
fn bookings_wait_for_the_decision() {
    let mut grouper = grouper(9);
    let account = grouper.open(None);
    grouper.book(account, &used(5));
    assert!(totals(&grouper).is_empty());
    grouper.identify(account, &facts("a"));
    grouper.book(account, &used(2));
    grouper.identify(account, &facts("b"));
    assert_eq!(totals(&grouper), [("a", 7)], "a decision is final");
}

#[test]
fn unmatched_process_joins_its_nearest_tracked_ancestor() {
    let mut grouper = grouper(9);
    let root = grouper.open(None);
    let middle = grouper.open(Some(root));
    let leaf = grouper.open(Some(middle));
    grouper.book(leaf, &used(3));
    grouper.identify(leaf, &facts("x1"));
    grouper.identify(middle, &facts("x2"));
    grouper.settle();
    assert!(totals(&grouper).is_empty(), "the root is not decided yet");
    grouper.identify(root, &facts("a"));
    grouper.settle();
    assert_eq!(totals(&grouper), [("a", 3)]);
}

#[test]
fn unmatched_process_without_tracked_ancestor_is_in_no_group() {
    let mut grouper = grouper(9);
    let root = grouper.open(None);
    let leaf = grouper.open(Some(root));
    grouper.identify(leaf, &facts("x1"));
    grouper.identify(root, &facts("x2"));
    grouper.settle();
    grouper.book(leaf, &used(3));
    assert!(totals(&grouper).is_empty());
}

#[test]
fn excluded_process_and_its_followers_are_in_no_group() {
    let mut grouper = grouper(9);
    let root = grouper.open(None);
    grouper.identify(root, &facts("a"));
    let excluded = grouper.open(Some(root));
    grouper.book(excluded, &used(1));
    grouper.identify(excluded, &facts("-b"));
    let follower = grouper.open(Some(excluded));
    grouper.identify(follower, &facts("x"));
    let own = grouper.open(Some(excluded));
    grouper.identify(own, &facts("c"));
    grouper.settle();
    for account in [excluded, follower, own] {
        grouper.book(account, &used(5));
    }
    assert_eq!(totals(&grouper), [("a", 0), ("c", 5)]);
    assert!(grouper.is_outside(excluded) && grouper.is_outside(follower));
}

#[test]
fn an_account_that_was_closed_undecided_still_pays_when_its_ancestor_is_decided() {
    let mut grouper = grouper(9);
    let root = grouper.open(None);
    let leaf = grouper.open(Some(root));
    grouper.book(leaf, &used(3));
    grouper.close(leaf);
    grouper.identify(root, &facts("a"));
    grouper.settle();
    assert_eq!(totals(&grouper), [("a", 3)]);
    grouper.close(root);
    assert_eq!(grouper.statistics().accounts, 0, "nothing is left open");
}

#[test]
fn an_account_that_is_closed_between_a_decision_and_its_settlement_still_pays() {
    let mut grouper = grouper(9);
    let root = grouper.open(None);
    let leaf = grouper.open(Some(root));
    grouper.book(leaf, &used(3));
    grouper.identify(leaf, &facts("x"));
    grouper.identify(root, &facts("a"));
    grouper.close(leaf);
    grouper.settle();
    assert_eq!(totals(&grouper), [("a", 3)]);
}

#[test]
fn deep_line_of_vanished_processes_leaves_only_its_totals() {
    let mut grouper = grouper(9);
    let root = grouper.open(None);
    let mut parent = root;
    for _ in 0..1000 {
        let child = grouper.open(Some(parent));
        grouper.identify(child, &facts("x"));
        grouper.book(child, &used(1));
        if parent != root {
            grouper.close(parent);
        }
        parent = child;
    }
    grouper.close(parent);
    grouper.settle();
    assert_eq!(
        grouper.statistics().accounts,
        1,
        "only the root, which was not looked at"
    );
    grouper.identify(root, &facts("a"));
    assert_eq!(totals(&grouper), [("a", 1000)]);
}

#[test]
fn ancestors_in_a_ring_end_in_no_group() {
    let mut grouper = grouper(9);
    let one = grouper.open(None);
    let two = grouper.open(Some(one));
    grouper.place(two, Some(one), &facts("x"));
    grouper.place(one, Some(two), &facts("x"));
    grouper.settle();
    grouper.book(one, &used(1));
    assert!(totals(&grouper).is_empty());
}

#[test]
fn a_living_process_follows_its_present_parent() {
    let mut grouper = grouper(9);
    let birth = grouper.open(None);
    let present = grouper.open(None);
    grouper.identify(birth, &facts("birth"));
    grouper.identify(present, &facts("present"));
    let child = grouper.open(Some(birth));
    grouper.place(child, Some(present), &facts("x"));
    grouper.book(child, &used(1));
    assert_eq!(totals(&grouper), [("birth", 0), ("present", 1)]);
}

#[test]
fn beyond_the_bound_new_names_share_a_group_and_are_counted() {
    let mut grouper = grouper(2);
    let accounts = ["a", "b", "c", "d", "a"].map(|name| living(&mut grouper, name, 1));
    assert_eq!(totals(&grouper), [("a", 2), ("b", 1), ("other", 2)]);
    assert_eq!(grouper.statistics().overflowed, 2);
    for account in accounts {
        grouper.leave(account);
        grouper.close(account);
    }
    assert_eq!(grouper.statistics().accounts, 0);
}

#[test]
fn labels_make_groups_and_an_item_may_have_its_own_bound() {
    let mut grouper = grouper(9);
    for name in [
        "a", "a/1", "bound/1", "a/2", "bound/2", "bound/3", "bound/1", "bound/4", "a/1",
    ] {
        living(&mut grouper, name, 1);
    }
    let found: Vec<_> = grouper
        .groups()
        .iter()
        .map(|group| {
            let label = group.labels.first().map_or("", |(_, value)| value);
            (group.name.as_str(), label, group.total.delta.user_ns)
        })
        .collect();
    let expected = [
        ("a", "", 1),
        ("a", "1", 2),
        ("bound", "1", 2),
        ("a", "2", 1),
        ("bound", "2", 1),
        ("other", "", 2),
    ];
    assert_eq!(found, expected);
    assert_eq!(grouper.statistics().overflowed, 2);
}

#[test]
fn a_sum_by_comm_goes_where_its_comm_leads_or_is_counted() {
    let mut grouper = grouper(9);
    let sum = |comm: Option<&str>| Coarse {
        comm: comm.map(|comm| comm.as_bytes().to_vec()),
        counters: Counters {
            cpu: crate::process::Cpu {
                user_ns: 7,
                system_ns: 0,
            },
            ..Counters::default()
        },
        lifecycle: Lifecycle {
            forks: 1,
            ..Lifecycle::default()
        },
    };
    grouper.book_coarse(&sum(Some("a")));
    grouper.book_coarse(&sum(Some("x")));
    grouper.book_coarse(&sum(None));
    grouper.book_coarse(&sum(Some("-")));
    assert_eq!(totals(&grouper), [("a", 7)]);
    assert_eq!(grouper.groups()[0].total.lifecycle.forks, 1);
    assert_eq!(grouper.statistics().unattributed_cpu_ns, 14);
}

const CHILDLESS: Policy = Policy {
    max_groups: 9,
    children: false,
    remove_empty: false,
};

/// The facts of a process with arguments.
fn alive(comm: &str) -> Facts {
    Facts {
        argv: [comm].iter().collect(),
        ..facts(comm)
    }
}

#[test]
fn without_children_unmatched_processes_are_in_no_group() {
    let mut grouper = with(CHILDLESS);
    let tracked = grouper.open(None);
    grouper.identify(tracked, &alive("a"));
    let [execed, unseen] = [(); 2].map(|()| grouper.open(Some(tracked)));
    let forked = fork_of(&mut grouper, tracked);
    grouper.place(forked, Some(tracked), &alive("x"));
    grouper.identify(execed, &alive("x"));
    for account in [execed, unseen, forked] {
        grouper.book(account, &used(1));
        grouper.close(account);
    }
    assert_eq!(totals(&grouper), [("a", 0)]);
}

#[test]
fn without_children_an_unseen_fork_has_the_facts_of_its_image() {
    let mut grouper = with(CHILDLESS);
    let [tracked, ignored] = ["a", "x"].map(|comm| {
        let account = grouper.open(None);
        grouper.identify(account, &alive(comm));
        account
    });
    let undecided = grouper.open(None);
    for image in [tracked, ignored, undecided] {
        let forked = fork_of(&mut grouper, image);
        grouper.book(forked, &used(1));
        grouper.close(forked);
        // It was read when its arguments were gone already.
        let ending = fork_of(&mut grouper, image);
        grouper.place(ending, Some(image), &facts("x"));
        grouper.book(ending, &used(2));
        grouper.close(ending);
    }
    assert_eq!(totals(&grouper), [("a", 3)]);
    grouper.identify(undecided, &alive("b"));
    grouper.settle();
    assert_eq!(totals(&grouper), [("a", 3), ("b", 3)]);
}

#[test]
fn account_in_no_group_can_be_reopened() {
    let mut grouper = grouper(9);
    let account = grouper.open(None);
    assert!(!grouper.reopen(account), "it is undecided");
    grouper.identify(account, &alive("x"));
    grouper.book(account, &used(1));
    assert!(grouper.is_outside(account) && grouper.reopen(account));
    grouper.book(account, &used(2));
    grouper.identify(account, &alive("a"));
    assert!(!grouper.reopen(account), "it is in a group");
    assert_eq!(totals(&grouper), [("a", 2)]);
}

fn plain(name: &str) -> Placement {
    Placement::plain(0, name.to_owned())
}

#[test]
fn groups_that_are_announced_are_there_at_once() {
    let names = || ["b", "a", "b", "c"].map(plain).to_vec();
    let mut grouper = grouper(3);
    grouper.announce(names());
    assert_eq!(totals(&grouper), [("b", 0), ("a", 0), ("c", 0)]);
    let account = grouper.open(None);
    grouper.identify(account, &facts("c"));
    grouper.book(account, &used(1));
    assert_eq!(totals(&grouper), [("b", 0), ("a", 0), ("c", 1)]);
    grouper.announce(vec![plain("d")]);
    assert_eq!(grouper.groups().len(), 3);
    let mut forgetful = with(FORGETFUL);
    forgetful.announce(names());
    assert!(totals(&forgetful).is_empty());
}

const FORGETFUL: Policy = Policy {
    max_groups: 2,
    children: true,
    remove_empty: true,
};

#[test]
fn an_empty_group_is_forgotten_if_that_is_wanted() {
    let mut grouper = with(FORGETFUL);
    let [a, b, rest] = ["a", "b", "c"].map(|comm| living(&mut grouper, comm, 1));
    grouper.forget_empty([rest, a, b].into_iter());
    assert_eq!(totals(&grouper), [("a", 1), ("b", 1), ("other", 1)]);
    grouper.forget_empty([b, rest].into_iter());
    // Later bookings of former members go to no group, and not to another one that got the same index.
    for account in [a, b, rest] {
        grouper.book(account, &used(4));
    }
    assert_eq!(totals(&grouper), [("b", 5), ("other", 5)]);
    // The group begins anew, and there is room for it again when the others are gone.
    grouper.forget_empty(std::iter::once(b));
    for comm in ["a", "b", "c"] {
        living(&mut grouper, comm, 2);
    }
    assert_eq!(totals(&grouper), [("b", 7), ("a", 2), ("other", 2)]);
}

#[test]
fn a_group_without_members_stays_unless_that_is_not_wanted() {
    let mut grouper = grouper(9);
    let account = grouper.open(None);
    grouper.identify(account, &facts("a"));
    grouper.forget_empty(std::iter::empty());
    assert_eq!(totals(&grouper), [("a", 0)]);
}

#[test]
fn waiting_account_is_listed_once_after_repeated_decisions() {
    let mut grouper = grouper(9);
    let root = grouper.open(None);
    let leaf = grouper.open(Some(root));
    for _ in 0..9 {
        grouper.undecide(leaf);
        grouper.identify(leaf, &facts("x"));
        grouper.settle();
    }
    assert_eq!(grouper.unmatched, [leaf]);
}

#[test]
fn the_number_of_a_group_is_never_used_again() {
    let mut grouper = with(FORGETFUL);
    let member = |grouper: &mut Grouper, comm| {
        let account = grouper.open(None);
        grouper.identify(account, &facts(comm));
        grouper.group_of(account).map(|group| group.id)
    };
    assert_eq!(member(&mut grouper, "a"), Some(1));
    assert_eq!(member(&mut grouper, "b"), Some(2));
    grouper.forget_empty(std::iter::empty());
    assert_eq!(member(&mut grouper, "a"), Some(3));
    assert_eq!(member(&mut grouper, "x"), None);
}

#[test]
fn it_is_known_which_item_put_a_member_into_its_group() {
    let mut grouper = grouper(9);
    let [parent, child] = [None, Some(AccountId(0))].map(|above| grouper.open(above));
    grouper.identify(parent, &facts("bound"));
    grouper.identify(child, &facts("x"));
    assert_eq!(grouper.item_of(parent), Some(1));
    let group = |account| grouper.group_of(account).map(|group| group.id);
    assert_eq!(
        (group(child), grouper.item_of(child)),
        (group(parent), None)
    );
}

#[test]
fn comm_predicts_the_group_that_it_alone_gives() {
    let mut grouper = grouper(9).with_comms(true);
    let parent = grouper.open(None);
    for comm in ["a", "x", "-"] {
        let account = grouper.open(Some(parent));
        let facts = Facts {
            argv: [comm].iter().collect(),
            ..facts(comm)
        };
        grouper.identify(account, &facts);
    }
    let predicted = |grouper: &Grouper, comm: &str| {
        let mut comms = grouper.comms();
        comms.find_map(|(one, is)| (one == comm.as_bytes()).then_some(is))
    };
    let id = grouper.groups()[0].id;
    assert_eq!(predicted(&grouper, "a"), Some(Attribution::Group(id)));
    assert_eq!(predicted(&grouper, "x"), Some(Attribution::Parent));
    assert_eq!(predicted(&grouper, "-"), Some(Attribution::Nowhere));
    grouper.reconfigure(Box::new(|_| Verdict::Unmatched), Vec::new(), |_| false);
    assert_eq!(grouper.comms().count(), 0, "another configuration");
}

#[test]
fn comm_of_a_process_grouped_by_its_arguments_predicts_no_group() {
    let placer = |facts: &Facts| match facts.argv.len() {
        2 => Verdict::Member(Placement::plain(0, "two".to_owned())),
        _ => Verdict::Unmatched,
    };
    let policy = Policy {
        max_groups: 9,
        children: true,
        remove_empty: false,
    };
    let mut grouper = Grouper::new(Box::new(placer), policy).with_comms(true);
    let account = grouper.open(None);
    let facts = Facts {
        argv: ["a", "b"].iter().collect(),
        ..facts("a")
    };
    grouper.identify(account, &facts);
    let all: Vec<_> = grouper.comms().map(|(_, is)| is).collect();
    assert_eq!(all, [Attribution::Unknown]);
}

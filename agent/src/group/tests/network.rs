//! The payload of sockets in the group of their process: decisions, waiting bookings, folded and removed groups.

use super::reload::{ReloadNode, facts};
use super::reload_histories::placer;
use crate::group::{Group, Grouper, Placement, Policy, Verdict};
use crate::process::network::model::carried;
use crate::process::{
    AccountId, Booking, Facts, Ledger, NetworkCounters, NetworkGauges, Payload, ProcessId,
    SCOPE_LISTEN, SCOPE_LOOPBACK, SCOPE_REMOTE,
};

const LOOPBACK: usize = SCOPE_LOOPBACK as usize;
const REMOTE: usize = SCOPE_REMOTE as usize;

/// Names every process by its comm, except `x...`, which match nothing, and `-...`, which are excluded.
fn grouper(max_groups: usize, remove_empty: bool) -> Grouper {
    let policy = Policy {
        max_groups,
        children: true,
        remove_empty,
    };
    let placer = |facts: &Facts| {
        let name = String::from_utf8_lossy(&facts.comm).into_owned();
        match name.chars().next() {
            Some('x') => Verdict::Unmatched,
            Some('-') => Verdict::Excluded { item: 0 },
            _ => Verdict::Member(Placement::plain(0, name)),
        }
    };
    Grouper::new(Box::new(placer), policy)
}

/// The account of a live process with this comm.
fn living(grouper: &mut Grouper, comm: &str) -> AccountId {
    let account = grouper.open(None);
    grouper.take(Booking::Entered(account));
    grouper.identify(account, &facts(comm));
    account
}

fn carry(grouper: &mut Grouper, account: AccountId, sent_bytes: u64) {
    let counters = carried(sent_bytes, 2 * sent_bytes);
    grouper.take(Booking::Network(account, REMOTE, &counters));
}

fn sent(group: &Group) -> Option<u64> {
    let network = group.network.as_ref()?;
    Some(network.total.payload().sent_bytes)
}

/// Name and bytes sent of each group with sockets.
fn shown(grouper: &Grouper) -> Vec<(&str, u64)> {
    let groups = grouper.groups().iter();
    groups
        .filter_map(|group| Some((group.name.as_str(), sent(group)?)))
        .collect()
}

/// Bytes sent: booked, and of these in no group.
fn booked(grouper: &Grouper) -> (u64, u64) {
    let statistics = grouper.statistics();
    let Payload {
        sent_bytes,
        received_bytes,
    } = statistics.booked_payload;
    assert_eq!(received_bytes, 2 * sent_bytes);
    (sent_bytes, statistics.ungrouped_payload.sent_bytes)
}

#[test]
fn group_without_sockets_has_no_network() {
    let mut grouper = grouper(9, false);
    let account = living(&mut grouper, "a");
    living(&mut grouper, "b");
    carry(&mut grouper, account, 5);
    assert_eq!(shown(&grouper), [("a", 5)]);
    assert!(grouper.groups()[1].network.is_none());
}

#[test]
fn bookings_wait_for_the_decision_and_count_as_booked_only_then() {
    let mut grouper = grouper(9, false);
    let account = grouper.open(None);
    carry(&mut grouper, account, 5);
    assert_eq!((shown(&grouper), booked(&grouper)), (vec![], (0, 0)));
    grouper.identify(account, &facts("a"));
    assert_eq!(
        (shown(&grouper), booked(&grouper)),
        (vec![("a", 5)], (5, 0))
    );
}

#[test]
fn account_in_no_group_is_ungrouped_whenever_that_is_decided() {
    let mut grouper = grouper(9, false);
    let before = living(&mut grouper, "-");
    carry(&mut grouper, before, 5);
    let waiting = grouper.open(None);
    carry(&mut grouper, waiting, 7);
    grouper.identify(waiting, &facts("-"));
    assert_eq!((shown(&grouper), booked(&grouper)), (vec![], (12, 12)));
    // An account that is gone: nothing is lost.
    grouper.take(Booking::Closed(before));
    carry(&mut grouper, before, 1);
    assert_eq!(booked(&grouper), (13, 13));
}

#[test]
fn waiting_bookings_go_to_the_ancestor_when_their_account_closes() {
    let mut grouper = grouper(9, false);
    let parent = grouper.open(None);
    let child = grouper.open(Some(parent));
    grouper.identify(child, &facts("x"));
    carry(&mut grouper, child, 5);
    grouper.take(Booking::Closed(child));
    assert_eq!(booked(&grouper), (0, 0));
    grouper.identify(parent, &facts("a"));
    assert_eq!(
        (shown(&grouper), booked(&grouper)),
        (vec![("a", 5)], (5, 0))
    );
    // Of a child that has not followed its ancestor's decision yet when it closes.
    let parent = grouper.open(None);
    let child = grouper.open(Some(parent));
    grouper.identify(child, &facts("x"));
    carry(&mut grouper, child, 2);
    grouper.identify(parent, &facts("b"));
    grouper.take(Booking::Closed(child));
    assert_eq!(shown(&grouper), [("a", 5), ("b", 2)]);
    assert_eq!(booked(&grouper), (7, 0));
}

#[test]
fn folded_group_gives_its_network_to_other_and_late_sums_follow() {
    let mut grouper = grouper(2, false);
    let gone = living(&mut grouper, "a");
    carry(&mut grouper, gone, 5);
    grouper.take(Booking::Left(gone));
    living(&mut grouper, "b");
    living(&mut grouper, "c");
    assert_eq!(shown(&grouper), [("other", 5)]);
    carry(&mut grouper, gone, 2);
    assert_eq!(
        (shown(&grouper), booked(&grouper)),
        (vec![("other", 7)], (7, 0))
    );
}

#[test]
fn removed_group_leaves_its_payload_and_late_sums_ungrouped() {
    let mut grouper = grouper(9, true);
    let gone = living(&mut grouper, "a");
    carry(&mut grouper, gone, 5);
    let kept = living(&mut grouper, "b");
    carry(&mut grouper, kept, 3);
    grouper.take(Booking::Left(gone));
    grouper.forget_empty([kept].into_iter());
    assert_eq!(
        (shown(&grouper), booked(&grouper)),
        (vec![("b", 3)], (8, 5))
    );
    carry(&mut grouper, gone, 1);
    assert_eq!(
        (shown(&grouper), booked(&grouper)),
        (vec![("b", 3)], (9, 6))
    );
}

#[test]
fn reload_keeps_a_group_that_only_sockets_used_and_moves_later_sums() {
    let mut node = ReloadNode::new(placer(0), 9);
    let id = ProcessId {
        tgid: 5,
        start_ns: 2000,
    };
    node.observe(3000, std::iter::once((id, 0)));
    node.classify(|_| Some("c1".to_owned()));
    let account = node.table.live_one(5).unwrap().account();
    carry(&mut node.grouper, account, 5);
    node.reconfigure(placer(2));
    // Until the decision, the former one holds.
    carry(&mut node.grouper, account, 1);
    node.classify(|_| Some("c1".to_owned()));
    carry(&mut node.grouper, account, 2);
    assert_eq!(shown(&node.grouper), [("c1", 6), ("all", 2)]);
    assert_eq!(booked(&node.grouper), (8, 0));
}

#[test]
fn living_sockets_are_summed_up_anew_at_each_look() {
    let mut grouper = grouper(9, false);
    let (one, two) = (living(&mut grouper, "a"), living(&mut grouper, "a"));
    let outside = living(&mut grouper, "-");
    let gauges = |rtt_max_us| NetworkGauges {
        look: 1,
        established: 2,
        closing: 3,
        rtt_count: 1,
        rtt_sum_us: 9,
        rtt_max_us,
        ..NetworkGauges::default()
    };
    let all = [
        (one, LOOPBACK, &gauges(4)),
        (two, LOOPBACK, &gauges(6)),
        (outside, LOOPBACK, &gauges(8)),
        (one, 99, &gauges(8)),
    ];
    grouper.measure_network(all.into_iter());
    let network = grouper.groups()[0].network.clone().unwrap();
    let scope = network.scope(LOOPBACK).unwrap();
    assert_eq!(scope.total, NetworkCounters::default());
    assert_eq!((scope.sockets(), scope.living.rtt_sum_us), (10, 18));
    assert_eq!((scope.living.rtt_max_us, scope.living.rtt_count), (6, 2));
    assert_eq!((network.scope(REMOTE), network.scope(99)), (None, None));
    assert_eq!(network.scope(SCOPE_LISTEN as usize), None);
    grouper.measure_network(std::iter::empty());
    let network = grouper.groups()[0].network.clone().unwrap();
    let scope = network.scope(LOOPBACK);
    assert_eq!(
        scope.map(|scope| scope.sockets()),
        Some(0),
        "its counters stay"
    );
    assert_eq!(network.scope(REMOTE), None);
}

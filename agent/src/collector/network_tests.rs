//! Sockets in the view of the collectors' tests, and their families in the body.

use super::tests::{body, families, source};
use crate::group::GroupNetwork;
use crate::process::{
    NetworkBooks, NetworkCounters, NetworkGauges, NetworkTotals, Payload, SCOPE_LISTEN,
    SCOPE_LOOPBACK, SCOPE_UDP_UNKNOWN,
};
use crate::source::{Fact, Origin, SourceStatistics};

pub(super) const fn payload(sent_bytes: u64, received_bytes: u64) -> Payload {
    Payload {
        sent_bytes,
        received_bytes,
    }
}

/// Connections to this machine only, a listening socket, and a UDP socket without a peer.
pub(super) fn network() -> GroupNetwork {
    let mut network = GroupNetwork::default();
    let carried = NetworkCounters {
        sent_bytes: 4802,
        received_bytes: 4800,
        sent_segments: 100,
        retransmitted_segments: 101,
        opened_client: 102,
        opened_server: 103,
        closed: 104,
        failures: [105, 106, 107, 108, 109],
        rtt_sum_us: 1_500_001,
        rtt_count: 110,
        listen_drops: 0,
    };
    network.total.put(SCOPE_LOOPBACK as usize, &carried);
    network.living[SCOPE_LOOPBACK as usize] = NetworkGauges {
        established: 111,
        closing: 112,
        other: 113,
        rtt_sum_us: 7,
        rtt_count: 2,
        rtt_max_us: 4,
        ..NetworkGauges::default()
    };
    let drops = NetworkCounters {
        listen_drops: 114,
        ..NetworkCounters::default()
    };
    network.total.put(SCOPE_LISTEN as usize, &drops);
    let udp = NetworkCounters {
        sent_bytes: 2,
        received_bytes: 3,
        ..NetworkCounters::default()
    };
    network.total.put(SCOPE_UDP_UNKNOWN as usize, &udp);
    network.living[SCOPE_LISTEN as usize] = NetworkGauges {
        listen: 115,
        listen_queue: 116,
        listen_queue_limit: 117,
        ..NetworkGauges::default()
    };
    network
}

/// The books of a node on which 10 bytes of each direction wait for an owner.
pub(super) fn books() -> NetworkBooks {
    NetworkBooks {
        unattributed: payload(90, 91),
        totals: NetworkTotals {
            sent_bytes: 5000,
            received_bytes: 5001,
            unowned_sent_bytes: 5,
            unowned_received_bytes: 6,
            owners_full: 92,
            storage_full: 93,
            ..NetworkTotals::default()
        },
        missed: 96,
        owners: 94,
        omitted: 95,
    }
}

/// The values of the samples whose line begins with `start`.
fn values(body: &str, start: &str) -> Vec<f64> {
    let lines = body.lines().filter(|line| line.starts_with(start));
    let value = |line: &str| line.rsplit_once(' ').unwrap().1.parse().unwrap();
    lines.map(value).collect()
}

#[test]
fn groups_ungrouped_and_unattributed_are_the_node_less_waiting_bytes() {
    let body = body(&source());
    for direction in ["sent", "received"] {
        let groups = ["tcp", "udp"].map(|protocol| {
            let name = format!("namedprocess_namegroup_{protocol}_{direction}_bytes_total");
            values(&body, &name)
        });
        let one = |family: &str| {
            let start = format!("headcount_network_{family}{{direction=\"{direction}\"}}");
            let [value] = values(&body, &start)[..] else {
                panic!("one sample of {start}");
            };
            value
        };
        let grouped: f64 = groups.iter().flatten().sum();
        let all = grouped + one("ungrouped_bytes_total") + one("unattributed_bytes_total");
        assert_eq!(one("bytes_total"), all, "{direction}");
        let counted = if direction == "sent" { 5000.0 } else { 5001.0 };
        assert_eq!(all + one("waiting_bytes"), counted);
    }
}

#[test]
fn group_shows_only_scopes_in_which_something_was_counted_or_lives() {
    let body = body(&source());
    assert!(!body.contains("scope=\"remote\""));
    assert!(!body.contains("namegroup_tcp_sent_bytes_total{groupname=\"empty\""));
    let listening = values(&body, "namedprocess_namegroup_tcp_listen_queue");
    assert_eq!(listening, [116.0, 117.0]);
    let sockets = body.lines().find(|line| line.contains("state=\"listen\""));
    assert!(!sockets.unwrap().contains("scope"));
}

#[test]
fn without_network_accounting_no_family_shows_it() {
    let absent = SourceStatistics {
        facts: vec![(Fact::Network, Origin::Absent), (Fact::Udp, Origin::Absent)],
        ..source()
    };
    let body = body(&absent);
    let is_of_sockets = |name: &&str| {
        let words = ["_tcp_", "_udp_", "headcount_network"];
        words.iter().any(|word| name.contains(word))
    };
    let found: Vec<_> = families(&body).into_iter().filter(is_of_sockets).collect();
    assert_eq!(found, [""; 0]);
    assert!(body.contains("headcount_source_info{fact=\"network\",source=\"absent\"} 1\n"));
}

#[test]
fn without_udp_accounting_only_the_families_of_udp_are_left_out() {
    let present = source();
    let facts = present.facts.iter().copied();
    let off = SourceStatistics {
        facts: facts.filter(|(fact, _)| *fact != Fact::Udp).collect(),
        udp_missed: None,
        ..source()
    };
    let (with, without) = (body(&present), body(&off));
    let left_out = families(&with).difference(&families(&without)).count();
    assert_eq!(left_out, 3);
    assert!(!without.contains("_udp"));
}

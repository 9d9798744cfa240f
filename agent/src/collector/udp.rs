//! Bytes that each group sends and receives over UDP (`namedprocess_namegroup_udp_*`).
//!
//! A group shows a scope from the first bytes on that one of its processes sends or receives there.

use super::metric::GroupMetric;
use crate::exposition::{Descriptor, Family, Kind};
use crate::group::{Group, NetworkScope};
use crate::process::{SCOPE_UDP_LOOPBACK, SCOPE_UDP_REMOTE, SCOPE_UDP_UNKNOWN};
use crate::source::Fact;

/// Scopes, and their label values.
const SCOPES: [(u32, &str); 3] = [
    (SCOPE_UDP_LOOPBACK, "loopback"),
    (SCOPE_UDP_REMOTE, "remote"),
    (SCOPE_UDP_UNKNOWN, "unknown"),
];

pub(super) const FALLBACK: &str = "left out, also without --collector.network.udp";

/// Writes one sample for each scope.
fn write_scopes(group: &Group, out: &mut Family<'_>, value: fn(&NetworkScope) -> u64) {
    for (scope, word) in SCOPES {
        let network = group.network.as_ref();
        if let Some(scope) = network.and_then(|network| network.scope(scope as usize)) {
            out.sample(&[&group.name, word], value(&scope));
        }
    }
}

pub(super) static GROUP_METRICS: &[GroupMetric] = &[
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_udp_sent_bytes_total",
            kind: Kind::Counter,
            help: "UDP payload that the group's processes have sent, by the result of the calls; scope `unknown` is that of sockets without a connected peer.",
            labels: &["groupname", "scope"],
            unit: "bytes",
            source: "sock_send_length, before 6.3 inet_sendmsg",
            fallback: FALLBACK,
        },
        facts: &[Fact::Udp],
        write: |_, group, out| write_scopes(group, out, |scope| scope.total.sent_bytes),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_udp_received_bytes_total",
            kind: Kind::Counter,
            help: "UDP payload that the group's processes have received, by the result of the calls; scope `unknown` is that of sockets without a connected peer.",
            labels: &["groupname", "scope"],
            unit: "bytes",
            source: "sock_recv_length, before 6.3 inet_recvmsg",
            fallback: FALLBACK,
        },
        facts: &[Fact::Udp],
        write: |_, group, out| write_scopes(group, out, |scope| scope.total.received_bytes),
    },
];

//! The payload of the TCP sockets of each group (`namedprocess_namegroup_tcp_*`), and the payload that belongs to no group, of
//! TCP and UDP (`headcount_network_*`).
//!
//! A group shows the families of a scope from the first look on that finds a socket there, or bytes that one carried. Listening
//! sockets have no peer, so their families have no scope.

use super::View;
use super::metric::{GroupMetric, Metric};
use crate::exposition::{Descriptor, Family, Kind, Value};
use crate::group::{Group, NetworkScope};
use crate::process::{
    FAILURE_OTHER, FAILURE_REFUSED, FAILURE_RESET, FAILURE_TIMEOUT, FAILURE_UNREACHABLE, FAILURES,
    NetworkBooks, Payload, SCOPE_LISTEN, SCOPE_LOOPBACK, SCOPE_REMOTE,
};
use crate::source::Fact;

/// Scopes of connections, and their label values.
const SCOPES: [(usize, &str); 2] = [
    (SCOPE_LOOPBACK as usize, "loopback"),
    (SCOPE_REMOTE as usize, "remote"),
];

/// Reasons why connections failed, and their label values.
const REASONS: [(usize, &str); FAILURES] = [
    (FAILURE_REFUSED, "refused"),
    (FAILURE_TIMEOUT, "timeout"),
    (FAILURE_UNREACHABLE, "unreachable"),
    (FAILURE_RESET, "reset"),
    (FAILURE_OTHER, "other"),
];

const FALLBACK: &str = "left out";

/// The scopes in which the group has connections, or had some.
fn connections(group: &Group) -> impl Iterator<Item = (&'static str, NetworkScope)> {
    let scopes = SCOPES.into_iter();
    scopes.filter_map(|(scope, word)| Some((word, group.network.as_ref()?.scope(scope)?)))
}

/// The listening sockets of the group, if it has some, or had some that dropped connections.
fn listening(group: &Group) -> Option<NetworkScope> {
    group.network.as_ref()?.scope(SCOPE_LISTEN as usize)
}

/// Writes one sample for each scope.
fn write_scopes(group: &Group, out: &mut Family<'_>, value: fn(&NetworkScope) -> u64) {
    for (word, scope) in connections(group) {
        out.sample(&[&group.name, word], value(&scope));
    }
}

/// Writes one sample for the listening sockets.
fn write_listening(group: &Group, out: &mut Family<'_>, value: fn(&NetworkScope) -> u64) {
    if let Some(scope) = listening(group) {
        out.sample(&[&group.name], value(&scope));
    }
}

pub(super) static GROUP_METRICS: &[GroupMetric] = &[
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_sent_bytes_total",
            kind: Kind::Counter,
            help: "TCP payload sent, each byte once however often it was transmitted.",
            labels: &["groupname", "scope"],
            unit: "bytes",
            source: "tcp_sock bytes_sent, bytes_retrans",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| write_scopes(group, out, |scope| scope.total.sent_bytes),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_received_bytes_total",
            kind: Kind::Counter,
            help: "TCP payload that the kernel received in order, whether the process has read it or not.",
            labels: &["groupname", "scope"],
            unit: "bytes",
            source: "tcp_sock bytes_received",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| write_scopes(group, out, |scope| scope.total.received_bytes),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_sent_segments_total",
            kind: Kind::Counter,
            help: "TCP segments with payload that were sent, repeated ones included.",
            labels: &["groupname", "scope"],
            unit: "segments",
            source: "tcp_sock data_segs_out",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| write_scopes(group, out, |scope| scope.total.sent_segments),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_retransmitted_segments_total",
            kind: Kind::Counter,
            help: "TCP segments that were sent again.",
            labels: &["groupname", "scope"],
            unit: "segments",
            source: "tcp_sock total_retrans",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| {
            write_scopes(group, out, |scope| scope.total.retransmitted_segments);
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_connections_opened_total",
            kind: Kind::Counter,
            help: "TCP connections established: by the group's processes (`client`), or with their listening sockets (`server`).",
            labels: &["groupname", "role", "scope"],
            unit: "connections",
            source: "inet_sock_set_state",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| {
            for (word, NetworkScope { total, .. }) in connections(group) {
                out.sample(&[&group.name, "client", word], total.opened_client);
                out.sample(&[&group.name, "server", word], total.opened_server);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_connections_closed_total",
            kind: Kind::Counter,
            help: "TCP connections that were established and whose socket is gone.",
            labels: &["groupname", "scope"],
            unit: "connections",
            source: "tcp_destroy_sock",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| write_scopes(group, out, |scope| scope.total.closed),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_connection_failures_total",
            kind: Kind::Counter,
            help: "TCP connections that could not be established or that an error ended, by reason; attempts that the process gave up are `other`.",
            labels: &["groupname", "reason", "scope"],
            unit: "connections",
            source: "inet_sock_set_state, sock sk_err",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| {
            for (word, NetworkScope { total, .. }) in connections(group) {
                for (place, reason) in REASONS {
                    out.sample(&[&group.name, reason, word], total.failures[place]);
                }
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_sockets",
            kind: Kind::Gauge,
            help: "Living TCP sockets by state; those that listen have no scope.",
            labels: &["groupname", "scope", "state"],
            unit: "sockets",
            source: "iterator over sockets",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| {
            for (word, NetworkScope { living, .. }) in connections(group) {
                out.sample(
                    &[&group.name, word, "established"],
                    u64::from(living.established),
                );
                out.sample(&[&group.name, word, "closing"], u64::from(living.closing));
                out.sample(&[&group.name, word, "other"], u64::from(living.other));
            }
            if let Some(scope) = listening(group) {
                let listen = u64::from(scope.living.listen);
                out.sample_with_some(&[&group.name, "", "listen"], listen);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_listen_queue",
            kind: Kind::Gauge,
            help: "Established TCP connections that wait until the group's processes accept them.",
            labels: &["groupname"],
            unit: "connections",
            source: "sock sk_ack_backlog",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| write_listening(group, out, |scope| scope.living.listen_queue),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_listen_queue_limit",
            kind: Kind::Gauge,
            help: "Number of TCP connections that may wait to be accepted: the sum over all listening sockets.",
            labels: &["groupname"],
            unit: "connections",
            source: "sock sk_max_ack_backlog",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| {
            write_listening(group, out, |scope| scope.living.listen_queue_limit);
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_listen_drops_total",
            kind: Kind::Counter,
            help: "Segments and connections that listening TCP sockets dropped, mostly because their queue was full.",
            labels: &["groupname"],
            unit: "drops",
            source: "sock sk_drops",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| write_listening(group, out, |scope| scope.total.listen_drops),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_rtt_seconds",
            kind: Kind::Summary,
            help: "Smoothed round trip time in seconds of TCP connections, observed once for each connection at its end.",
            labels: &["groupname", "scope"],
            unit: "seconds",
            source: "tcp_sock srtt_us",
            fallback: FALLBACK,
        },
        facts: &[Fact::Network],
        write: |_, group, out| {
            for (word, NetworkScope { total, .. }) in connections(group) {
                let sum = microseconds(total.rtt_sum_us);
                out.summary(&[&group.name, word], sum, total.rtt_count);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_tcp_established_rtt_seconds",
            kind: Kind::Gauge,
            help: "Smoothed round trip time in seconds of the living TCP connections: `mean` and `max`.",
            labels: &["groupname", "scope", "stat"],
            unit: "seconds",
            source: "tcp_sock srtt_us",
            fallback: "left out, also for a group without a measured connection",
        },
        facts: &[Fact::Network],
        write: |_, group, out| {
            for (word, NetworkScope { living, .. }) in connections(group) {
                if living.rtt_count > 0 {
                    let mean = living.rtt_sum_us as f64 / f64::from(living.rtt_count) / 1e6;
                    let max = microseconds(living.rtt_max_us.into());
                    out.sample(&[&group.name, word, "mean"], mean);
                    out.sample(&[&group.name, word, "max"], max);
                }
            }
        },
    },
];

const fn microseconds(us: u64) -> Value {
    Value::Nanoseconds(us.saturating_mul(1000))
}

/// The books of network accounting; `None` if this node has none.
fn books(view: &View<'_>) -> Option<NetworkBooks> {
    view.processes.network.filter(|_| view.has(Fact::Network))
}

/// The sums of all groups, and those of no group.
fn booked(view: &View<'_>, books: &NetworkBooks) -> Payload {
    let mut all = view.group_statistics.booked_payload;
    all.add(books.unattributed);
    all
}

/// Writes both directions.
fn write_payload(payload: Payload, out: &mut Family<'_>) {
    out.sample(&["sent"], payload.sent_bytes);
    out.sample(&["received"], payload.received_bytes);
}

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_bytes_total",
            kind: Kind::Counter,
            help: "TCP payload of the node, and UDP payload if it is on, as the kernel programs count it apart from processes, less headcount_network_waiting_bytes: the sum of all groups, headcount_network_ungrouped_bytes_total and headcount_network_unattributed_bytes_total.",
            labels: &["direction"],
            unit: "bytes",
            source: "per-CPU array of the kernel programs",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if let Some(books) = books(view) {
                let booked = booked(view, &books);
                write_payload(
                    Payload {
                        sent_bytes: books.totals.sent_bytes.min(booked.sent_bytes),
                        received_bytes: books.totals.received_bytes.min(booked.received_bytes),
                    },
                    out,
                );
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_waiting_bytes",
            kind: Kind::Gauge,
            help: "TCP and UDP payload that the kernel programs have counted and that is in no other family yet: its process has no group yet, or it was counted while the agent read.",
            labels: &["direction"],
            unit: "bytes",
            source: "agent",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if let Some(books) = books(view) {
                let (now, booked) = (books.totals, booked(view, &books));
                write_payload(
                    Payload {
                        sent_bytes: now.sent_bytes.saturating_sub(booked.sent_bytes),
                        received_bytes: now.received_bytes.saturating_sub(booked.received_bytes),
                    },
                    out,
                );
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_ungrouped_bytes_total",
            kind: Kind::Counter,
            help: "TCP and UDP payload of processes in no group, and of groups that -remove-empty-groups has removed.",
            labels: &["direction"],
            unit: "bytes",
            source: "agent",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if books(view).is_some() {
                write_payload(view.group_statistics.ungrouped_payload, out);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_unattributed_bytes_total",
            kind: Kind::Counter,
            help: "TCP and UDP payload of sockets whose process is unknown, or found the kernel programs' map of processes full.",
            labels: &["direction"],
            unit: "bytes",
            source: "agent",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if let Some(books) = books(view) {
                write_payload(books.unattributed, out);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_owners",
            kind: Kind::Gauge,
            help: "Processes with sums in the kernel programs' map: those with sockets, and those that ended a short time ago.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if let Some(books) = books(view) {
                out.sample(&[], books.owners);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_owners_omitted",
            kind: Kind::Gauge,
            help: "Sums of the last reading that the agent left out, because they are of more processes than it has room for, or of an unknown kind; their payload counts as waiting.",
            labels: &[],
            unit: "sums",
            source: "agent",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if let Some(books) = books(view) {
                out.sample(&[], books.omitted);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_owners_full_total",
            kind: Kind::Counter,
            help: "Times that the kernel programs found their map of processes full; the payload counts as unattributed, other counts are lost.",
            labels: &[],
            unit: "times",
            source: "per-CPU array of the kernel programs",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if let Some(books) = books(view) {
                out.sample(&[], books.totals.owners_full);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_storage_full_total",
            kind: Kind::Counter,
            help: "Times that a TCP socket got no storage, because the kernel had no memory for it or net.core.optmem_max is too low; payload of such a socket is in no family.",
            labels: &[],
            unit: "times",
            source: "per-CPU array of the kernel programs",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if let Some(books) = books(view) {
                out.sample(&[], books.totals.storage_full);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_missed_total",
            kind: Kind::Counter,
            help: "Runs of the programs at changes of TCP sockets that the kernel left out, because the same program was running on that CPU.",
            labels: &[],
            unit: "runs",
            source: "BPF_OBJ_GET_INFO_BY_FD: recursion_misses",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if let Some(books) = books(view) {
                out.sample(&[], books.missed);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_network_udp_missed_total",
            kind: Kind::Counter,
            help: "Sends and receives over any socket that the UDP programs did not see, because the kernel left out their run; the UDP payload of these is in no family.",
            labels: &[],
            unit: "calls",
            source: "BPF_OBJ_GET_INFO_BY_FD: recursion_misses",
            fallback: super::udp::FALLBACK,
        },
        write: |view, out| {
            if let Some(missed) = view.source.udp_missed.filter(|_| view.has(Fact::Udp)) {
                out.sample(&[], missed);
            }
        },
    },
];

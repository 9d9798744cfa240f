//! The HTTP requests that each group serves (`namedprocess_namegroup_http_*`), and those that could not be counted
//! (`headcount_http_unseen_total`).
//!
//! Only groups whose item has `http: true` have these families, and groups that had it when they served something.

use super::metric::{GroupMetric, Metric};
use crate::exposition::{Descriptor, Family, Kind, Value};
use crate::process::{
    METHODS, REQUEST_BOUNDS, STATUSES, UNPARSED_HTTP2, UNPARSED_OTHER, UNPARSED_TLS,
};
use crate::source::Fact;

/// Label values, in the order of the kernel programs' counts.
const METHOD_WORDS: [&str; METHODS] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other",
];
const STATUS_WORDS: [&str; STATUSES] = ["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"];

/// Why connections are not parsed, and the label values.
const UNPARSED_REASONS: [(usize, &str); 3] = [
    (UNPARSED_TLS, "tls"),
    (UNPARSED_HTTP2, "http2"),
    (UNPARSED_OTHER, "other"),
];

/// Upper bounds of the finite buckets, seconds: powers of two, from 2^-11 to 2^6.
pub(super) const BOUNDS: [f64; REQUEST_BOUNDS] = bounds();

const fn bounds() -> [f64; REQUEST_BOUNDS] {
    let mut bounds = [64.0; REQUEST_BOUNDS];
    let mut n = bounds.len() - 1;
    while n > 0 {
        n -= 1;
        bounds[n] = bounds[n + 1] / 2.0;
    }
    bounds
}

pub(super) const FALLBACK: &str = "left out without http: true or --collector.http, before Linux 5.16 (6.3 on arm64), and without kernel programs";

const NO_PROCESSES: &str = "left out without http: {per_process: true}, before Linux 5.16 (6.3 on arm64), and without kernel programs";

pub(super) static GROUP_METRICS: &[GroupMetric] = &[
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_requests_total",
            kind: Kind::Counter,
            help: "HTTP/1 requests that the group's processes have answered, by method and class of status; `aborted` are those whose connection was closed before a response began.",
            labels: &["groupname", "method", "status"],
            unit: "requests",
            source: "sock_recv_length, sock_send_length",
            fallback: FALLBACK,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            let Some(served) = group.served() else { return };
            let counters = served.counters();
            for (method, word) in METHOD_WORDS.iter().enumerate() {
                // Requests may have begun in another group of their process.
                let ended = counters.ended[method];
                if counters.begun[method] == 0 && ended == [0; STATUSES] {
                    continue;
                }
                for (status, count) in STATUS_WORDS.iter().zip(ended) {
                    out.sample(&[&group.name, word, status], count);
                }
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_request_duration_seconds",
            kind: Kind::Histogram,
            help: "Time in seconds from the first byte of a request that a process receives to the head of the final response that it sends.",
            labels: &["groupname"],
            unit: "seconds",
            source: "sock_recv_length, sock_send_length",
            fallback: FALLBACK,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            if let Some(served) = group.served() {
                let counters = served.counters();
                let sum = Value::Nanoseconds(counters.duration_ns);
                out.histogram(&[&group.name], &BOUNDS, &counters.durations, sum);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_response_duration_seconds",
            kind: Kind::Histogram,
            help: "Time in seconds from the head of a response over TCP to its last byte on the wire, observed at the next receive or the close of the connection.",
            labels: &["groupname"],
            unit: "seconds",
            source: "tcp_sock.first_tx_mstamp",
            fallback: FALLBACK,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            if let Some(served) = group.served() {
                let counters = served.counters();
                let sum = Value::Nanoseconds(counters.response_ns);
                let buckets = &counters.response_durations;
                out.histogram(&[&group.name], &BOUNDS, buckets, sum);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_queue_duration_seconds",
            kind: Kind::Histogram,
            help: "Time in seconds from the arrival of a TCP connection's last data to its first read by a process, in whole ticks of the kernel's timer (1 to 10 ms).",
            labels: &["groupname"],
            unit: "seconds",
            source: "inet_connection_sock.icsk_ack.lrcvtime",
            fallback: FALLBACK,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            if let Some(served) = group.served() {
                let counters = served.counters();
                let sum = Value::Nanoseconds(counters.queue_ns);
                out.histogram(&[&group.name], &BOUNDS, &counters.queue_durations, sum);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_requests_in_flight",
            kind: Kind::Gauge,
            help: "HTTP/1 requests that the group's processes have begun to receive and have not answered.",
            labels: &["groupname"],
            unit: "requests",
            source: "sock_recv_length, sock_send_length",
            fallback: FALLBACK,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            if group.served().is_some() {
                out.sample(&[&group.name], group.requests_in_flight);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_busy_seconds_total",
            kind: Kind::Counter,
            help: "Seconds in which a process has at least one HTTP/1 request in flight, summed over the group's processes.",
            labels: &["groupname"],
            unit: "seconds",
            source: "sock_recv_length, sock_send_length",
            fallback: FALLBACK,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            if let Some(served) = group.served() {
                out.sample(
                    &[&group.name],
                    Value::Nanoseconds(served.counters().busy_ns),
                );
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_unparsed_connections_total",
            kind: Kind::Counter,
            help: "Connections to the group's processes whose client began with TLS, with HTTP/2, or with anything but a request of HTTP/1.",
            labels: &["groupname", "reason"],
            unit: "connections",
            source: "sock_recv_length",
            fallback: FALLBACK,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            if let Some(served) = group.served() {
                for (reason, word) in UNPARSED_REASONS {
                    out.sample(&[&group.name, word], served.counters().unparsed[reason]);
                }
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_process_requests_total",
            kind: Kind::Counter,
            help: "HTTP/1 requests that a living process of the group has answered or that were aborted, by class of status; classes without requests are left out.",
            labels: &["groupname", "server_pid", "status"],
            unit: "requests",
            source: "sock_recv_length, sock_send_length",
            fallback: NO_PROCESSES,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            for server in &group.servers {
                let pid = server.pid.to_string();
                for (status, count) in STATUS_WORDS.iter().zip(server.ended) {
                    if count > 0 {
                        out.sample(&[&group.name, &pid, status], count);
                    }
                }
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_process_request_duration_seconds",
            kind: Kind::Summary,
            help: "Sum and number of the durations in seconds of the requests that a living process of the group has answered.",
            labels: &["groupname", "server_pid"],
            unit: "seconds",
            source: "sock_recv_length, sock_send_length",
            fallback: NO_PROCESSES,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            for server in &group.servers {
                let sum = Value::Nanoseconds(server.duration_ns);
                let pid = server.pid.to_string();
                out.summary(&[&group.name, &pid], sum, server.durations);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_process_requests_in_flight",
            kind: Kind::Gauge,
            help: "HTTP/1 requests that a living process of the group has begun to receive and has not answered.",
            labels: &["groupname", "server_pid"],
            unit: "requests",
            source: "sock_recv_length, sock_send_length",
            fallback: NO_PROCESSES,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            for server in &group.servers {
                let pid = server.pid.to_string();
                out.sample(&[&group.name, &pid], server.in_flight);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_http_process_busy_seconds_total",
            kind: Kind::Counter,
            help: "Seconds in which a living process of the group has at least one HTTP/1 request in flight.",
            labels: &["groupname", "server_pid"],
            unit: "seconds",
            source: "sock_recv_length, sock_send_length",
            fallback: NO_PROCESSES,
        },
        facts: &[Fact::Http],
        write: |_, group, out| {
            for server in &group.servers {
                let busy = Value::Nanoseconds(server.busy_ns);
                let pid = server.pid.to_string();
                out.sample(&[&group.name, &pid], busy);
            }
        },
    },
];

/// Writes the samples of `headcount_http_unseen_total`.
fn write_unseen(view: &super::View<'_>, out: &mut Family<'_>) {
    let Some(books) = view.processes.requests.filter(|_| view.has(Fact::Http)) else {
        return;
    };
    out.sample(&["unreadable"], books.totals.unreadable);
    out.sample(&["processes_full"], books.totals.owners_full);
    out.sample(&["storage_full"], books.totals.storage_full);
    out.sample(&["missed_run"], books.missed_runs);
    out.sample(&["unknown_process"], books.unattributed);
}

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_unseen_total",
            kind: Kind::Counter,
            help: "Events of HTTP/1 of watched processes that no family of groups contains, by reason: unreadable (the head is in a buffer that the programs cannot read, or the programs cannot find where a response in a send ends), processes_full (the map of processes is full), storage_full (the kernel has no memory for a connection), missed_run (the kernel left out a run of a program), unknown_process.",
            labels: &["reason"],
            unit: "events",
            source: "per-CPU array of the kernel programs",
            fallback: FALLBACK,
        },
        write: write_unseen,
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_processes_omitted",
            kind: Kind::Gauge,
            help: "Living processes that `namedprocess_namegroup_http_process_*` leaves out, because at most 1,024 are shown; they count in their groups.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: FALLBACK,
        },
        write: |view, out| {
            if view.has(Fact::Http) {
                out.sample(&[], view.group_statistics.servers_omitted);
            }
        },
    },
];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::group::ServerProcess;
    use crate::process::{
        METHOD_GET, METHOD_OTHER, RequestBooks, RequestCounters, RequestTally, STATUS_ABORTED,
    };

    /// One response, one aborted request, and one in flight.
    pub(in super::super) fn tally() -> RequestTally {
        let mut counters = RequestCounters::default();
        (counters.begun[METHOD_GET], counters.ended[METHOD_GET][1]) = (1, 1);
        counters.begun[METHOD_OTHER] = 2;
        counters.ended[METHOD_OTHER][STATUS_ABORTED] = 1;
        (counters.durations[2], counters.duration_ns) = (1, 1_500_000);
        counters.unparsed = [51, 52, 53];
        counters.busy_ns = 2_500_000;
        (counters.queue_durations[3], counters.queue_ns) = (1, 4_000_000);
        (counters.response_durations[0], counters.response_ns) = (1, 56_000);
        let mut tally = RequestTally::default();
        tally.add(&counters);
        tally
    }

    pub(in super::super) fn server() -> ServerProcess {
        ServerProcess {
            pid: 4711,
            ended: [0, 57, 0, 0, 58, 59],
            in_flight: 60,
            durations: 115,
            duration_ns: 61_000_000,
            busy_ns: 62_000_000,
        }
    }

    pub(in super::super) fn books() -> RequestBooks {
        RequestBooks {
            missed_runs: 54,
            unattributed: 55,
            ..RequestBooks::default()
        }
    }

    #[test]
    fn bounds_are_powers_of_two_from_half_a_millisecond_to_a_minute() {
        assert_eq!(BOUNDS[0], 2.0_f64.powi(-11));
        assert_eq!(BOUNDS[REQUEST_BOUNDS - 1], 64.0);
        assert!(BOUNDS.iter().all(|bound| bound.log2().fract() == 0.0));
    }
}

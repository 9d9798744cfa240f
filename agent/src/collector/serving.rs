//! `headcount_http_*`: who asks, and who asks too much.

use super::metric::Metric;
use crate::exposition::{Descriptor, Kind};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_connections",
            kind: Kind::Gauge,
            help: "Open connections.",
            labels: &[],
            unit: "connections",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.connections),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_connections_rejected_total",
            kind: Kind::Counter,
            help: "Connections closed at once, because none of the others had to give way.",
            labels: &[],
            unit: "connections",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.rejected),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_connections_evicted_total",
            kind: Kind::Counter,
            help: "Connections closed to make room for new ones.",
            labels: &[],
            unit: "connections",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.evicted),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_accept_errors_total",
            kind: Kind::Counter,
            help: "Connections that the system could not accept.",
            labels: &[],
            unit: "connections",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.accept_errors),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_tls_handshake_failures_total",
            kind: Kind::Counter,
            help: "Connections that ended in their TLS handshake; those that were too slow are among the timeouts.",
            labels: &[],
            unit: "connections",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.handshake_failures),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_web_config_reload_failures_total",
            kind: Kind::Counter,
            help: "Changes of the web configuration, or of a file it names, that could not be used: what was read before still applies.",
            labels: &[],
            unit: "changes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.reload_failures),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_requests_total",
            kind: Kind::Counter,
            help: "Requests by the status code of the answer; the one being answered is not in it.",
            labels: &["code"],
            unit: "requests",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            for (code, requests) in &view.serving.requests {
                out.sample(&[code], *requests);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_timeouts_total",
            kind: Kind::Counter,
            help: "Times up, by whose: header and write are the client's, owner is ours.",
            labels: &["phase"],
            unit: "timeouts",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            for (phase, timeouts) in &view.serving.timeouts {
                out.sample(&[phase], *timeouts);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_unsent_bytes",
            kind: Kind::Gauge,
            help: "Size of the answers that clients have not taken yet; answers of one pass share their memory and count once.",
            labels: &[],
            unit: "bytes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.unsent.bytes),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_unsent_max_bytes",
            kind: Kind::Gauge,
            help: "Size that these answers may have together; a new one is made only while half of it is free.",
            labels: &[],
            unit: "bytes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.unsent.max_bytes),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_unread_connections_closed_total",
            kind: Kind::Counter,
            help: "Connections closed because their clients did not take an answer for a second while there was no room for further answers.",
            labels: &[],
            unit: "connections",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.unsent.unread),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_passes_delayed_total",
            kind: Kind::Counter,
            help: "Passes put off because requests came more than once a second and passes would have used more than their share of a core.",
            labels: &[],
            unit: "passes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.unsent.delayed_passes),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_connections_max",
            kind: Kind::Gauge,
            help: "Connections that may be open; then the one that waited longest gives way to a new one.",
            labels: &[],
            unit: "connections",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.limits.connections),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_header_max_bytes",
            kind: Kind::Gauge,
            help: "Size that the header of a request may have; a larger one is answered with 431.",
            labels: &[],
            unit: "bytes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.limits.header_bytes),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_header_max_lines",
            kind: Kind::Gauge,
            help: "Lines that the header of a request may have; more are answered with 431.",
            labels: &[],
            unit: "lines",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.serving.limits.header_lines),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_timeout_seconds",
            kind: Kind::Gauge,
            help: "How long a client may take for a header and for taking a response, be idle in between, wait for a scrape or for the health, and how long a stop waits for open requests (drain).",
            labels: &["phase"],
            unit: "seconds",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            for (phase, seconds) in &view.serving.limits.seconds {
                out.sample(&[phase], *seconds);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_concurrent_passes_max",
            kind: Kind::Gauge,
            help: "Passes over the processes that may be under way; scrapes that come together share one.",
            labels: &[],
            unit: "passes",
            source: "agent",
            fallback: "-",
        },
        write: |_, out| out.sample(&[], 1_u64),
    },
];

//! `headcount_http_*`: connections, requests, timeouts and limits of the agent's HTTP server.

use super::metric::Metric;
use crate::exposition::{Descriptor, Kind};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_http_connections",
            kind: Kind::Gauge,
            help: "Open HTTP connections.",
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
            help: "Connections closed on arrival, because the limit was reached and no open connection had to give way.",
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
            help: "Open connections closed to make room for new ones.",
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
            help: "Incoming connections that the kernel failed to accept.",
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
            help: "Connections that failed in the TLS handshake; handshakes that were too slow count as timeouts.",
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
            help: "Changes of the web configuration, or of a file that it names, that the agent could not use; the version read before stays in effect.",
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
            help: "Requests by status code of the response, without the request that is being answered.",
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
            help: "Timed-out requests by phase: `header` and `write` wait on the client, `owner` waits on the agent.",
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
            help: "Size in bytes of the responses that clients have not read yet, without large ones of fan-in; responses of one pass share their memory and count once.",
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
            help: "Limit in bytes on the size of all unread responses together; the agent makes a new one only while half of the limit is free.",
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
            help: "Connections closed because the client did not read a response for 1 s while there was no room for further responses.",
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
            help: "Passes postponed because requests came more than once a second and passes would have used more than their share of a core.",
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
            help: "Limit of open connections; at the limit, one from the address with the most connections gives way to a new one.",
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
            help: "Limit in bytes on the size of a request header; the agent answers a larger one with status 431.",
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
            help: "Limit of lines in a request header; the agent answers more with status 431.",
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
            help: "Time limits in seconds by phase: for a client to send a header and to read a response, to be idle in between, to wait for a scrape or for the health, and for a stop to wait for open requests (`drain`).",
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
            help: "Limit of concurrent passes over the processes; scrapes that arrive together share one pass.",
            labels: &[],
            unit: "passes",
            source: "agent",
            fallback: "-",
        },
        write: |_, out| out.sample(&[], 1_u64),
    },
];

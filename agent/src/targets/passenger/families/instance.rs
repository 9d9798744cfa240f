//! Families with one sample for each instance.

use super::metric::{INSTANCE, InstanceMetric, ShownInstance};
use crate::exposition::{Descriptor, Family, Kind};
use crate::targets::passenger::server::ServerCounts;

const LABELS: &[&str] = &[INSTANCE];

pub(super) static METRICS: &[InstanceMetric] = &[
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_instance_info",
            kind: Kind::Gauge,
            help: "Always 1; the version of Passenger, its integration mode (apache, nginx or standalone) and the user that owns the instance.",
            labels: &["integration_mode", INSTANCE, "user", "version"],
            unit: "-",
            source: "properties.json; owner of the instance's directory",
            fallback: "-",
        },
        write: |shown, out| {
            let one = &shown.answered;
            let mode = &one.identity.integration_mode;
            out.sample(&[mode, one.label, one.user, &one.identity.version], 1_u64);
        },
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_max_processes",
            kind: Kind::Gauge,
            help: "Most processes that the instance runs at the same time, for all applications together.",
            labels: LABELS,
            unit: "processes",
            source: "/pool.xml: max",
            fallback: "-",
        },
        write: |shown, out| out.sample(&[shown.answered.label], shown.answered.pool.max),
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_capacity_used",
            kind: Kind::Gauge,
            help: "Processes that count towards the most that the instance runs, those being spawned included.",
            labels: LABELS,
            unit: "processes",
            source: "/pool.xml: capacity_used",
            fallback: "-",
        },
        write: |shown, out| out.sample(&[shown.answered.label], shown.answered.pool.capacity_used),
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_wait_list_size",
            kind: Kind::Gauge,
            help: "Requests that wait because the whole pool is full; those that wait for a process of their application are not included.",
            labels: LABELS,
            unit: "requests",
            source: "/pool.xml: get_wait_list_size of the pool",
            fallback: "-",
        },
        write: |shown, out| out.sample(&[shown.answered.label], shown.answered.pool.waiting),
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_clients_active",
            kind: Kind::Gauge,
            help: "Connections to the core that are open.",
            labels: LABELS,
            unit: "connections",
            source: "/server.json: active_client_count",
            fallback: "-",
        },
        write: |shown, out| {
            if let Some(server) = shown.answered.server {
                out.sample(&[shown.answered.label], server.clients_active);
            }
        },
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_clients_accepted_total",
            kind: Kind::Counter,
            help: "Connections that the core accepted; counts of a core between the last scrape and its end are missing.",
            labels: LABELS,
            unit: "connections",
            source: "/server.json: total_clients_accepted",
            fallback: "-",
        },
        write: |shown, out| counter(shown, out, |server| server.clients_accepted),
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_requests_begun_total",
            kind: Kind::Counter,
            help: "Requests that the core began to handle; counts of a core between the last scrape and its end are missing.",
            labels: LABELS,
            unit: "requests",
            source: "/server.json: total_requests_begun",
            fallback: "-",
        },
        write: |shown, out| counter(shown, out, |server| server.requests_begun),
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_turbocache_fetches_total",
            kind: Kind::Counter,
            help: "Lookups in the turbocache, a lower bound: Passenger sets its counts to 0 every 2 s, so counts between a scrape and that moment are missing.",
            labels: LABELS,
            unit: "lookups",
            source: "/server.json: turbocaching.fetches",
            fallback: "-",
        },
        write: |shown, out| counter(shown, out, |server| server.turbocache_fetches),
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_turbocache_hits_total",
            kind: Kind::Counter,
            help: "Lookups in the turbocache that found a response, a lower bound: Passenger sets its counts to 0 every 2 s, so counts between a scrape and that moment are missing.",
            labels: LABELS,
            unit: "lookups",
            source: "/server.json: turbocaching.hits",
            fallback: "-",
        },
        write: |shown, out| counter(shown, out, |server| server.turbocache_hits),
    },
    InstanceMetric {
        descriptor: Descriptor {
            name: "passenger_turbocache_stores_total",
            kind: Kind::Counter,
            help: "Responses that the core tried to store in the turbocache, a lower bound: Passenger sets its counts to 0 every 2 s, so counts between a scrape and that moment are missing.",
            labels: LABELS,
            unit: "responses",
            source: "/server.json: turbocaching.stores",
            fallback: "-",
        },
        write: |shown, out| counter(shown, out, |server| server.turbocache_stores),
    },
];

/// Writes a total of the web server part, if the instance has answered `/server.json`.
fn counter(shown: &ShownInstance<'_>, out: &mut Family<'_>, value: fn(&ServerCounts) -> u64) {
    if let Some(server) = &shown.server {
        out.sample(&[shown.answered.label], value(server));
    }
}

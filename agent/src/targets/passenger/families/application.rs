//! Families with samples for each application of an instance.

use std::collections::BTreeSet;

use super::metric::{Answered, ApplicationMetric, INSTANCE, ShownApplication};
use super::rows::busy;
use crate::exposition::{Descriptor, Family, Kind, Value};
use crate::targets::passenger::pool::{WorkerMemory, WorkerState};

const LABELS: &[&str] = &["name", INSTANCE];
const GROUP_LABELS: &[&str] = &["groupname", "name", INSTANCE];

pub(super) static METRICS: &[ApplicationMetric] = &[
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_app_wait_list_size",
            kind: Kind::Gauge,
            help: "Requests that wait for a process of the application; requests that were refused because this queue was full count nowhere.",
            labels: LABELS,
            unit: "requests",
            source: "/pool.xml: get_wait_list_size of the group",
            fallback: "-",
        },
        write: |one, shown, out| {
            out.sample(&[shown.name, one.label], shown.application.waiting);
        },
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_app_processes",
            kind: Kind::Gauge,
            help: "Processes of the application, each in exactly one state; a process that shuts down is in no other state, and a process that \
                   is being spawned has no pid yet.",
            labels: &["name", INSTANCE, "state"],
            unit: "processes",
            source: "/pool.xml: life_status and enabled of the processes, processes_being_spawned of the group",
            fallback: "-",
        },
        write: write_states,
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_app_busy_sessions",
            kind: Kind::Gauge,
            help: "Requests that the processes of the application are working on.",
            labels: LABELS,
            unit: "requests",
            source: "/pool.xml: sessions of the processes",
            fallback: "-",
        },
        write: |one, shown, out| {
            out.sample(&[shown.name, one.label], busy(shown));
        },
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_app_requests_total",
            kind: Kind::Counter,
            help: "Requests that the processes of the application finished, those of ended processes up to their last scrape; a process that \
                   lived and died between two scrapes is missing.",
            labels: LABELS,
            unit: "requests",
            source: "/pool.xml: processed of the processes, by gupid",
            fallback: "-",
        },
        write: |one, shown, out| {
            if let Some(totals) = shown.totals {
                out.sample(&[shown.name, one.label], totals.requests);
            }
        },
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_app_processes_spawned_total",
            kind: Kind::Counter,
            help: "Processes of the application that the agent has seen; a process that lived and died between two scrapes is missing.",
            labels: LABELS,
            unit: "processes",
            source: "/pool.xml: gupids of the processes",
            fallback: "-",
        },
        write: |one, shown, out| {
            if let Some(totals) = shown.totals {
                out.sample(&[shown.name, one.label], totals.spawned);
            }
        },
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_app_memory_bytes",
            kind: Kind::Gauge,
            help: "Memory in bytes of the processes of the application, by Passenger's last measurement of each; processes that it has not \
                   measured are missing, and pages that several of them share count in `resident` once for each of them.",
            labels: &["memtype", "name", INSTANCE],
            unit: "bytes",
            source: "/pool.xml: real_memory, rss, pss, private_dirty, swap of the processes",
            fallback: "left out while Passenger knows it of no process",
        },
        write: write_memory,
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_app_oldest_busy_last_used_timestamp_seconds",
            kind: Kind::Gauge,
            help: "The earliest time, in seconds since the epoch, at which Passenger last used one of the processes that have requests in progress; \
                   a process that is stuck in a request keeps its time.",
            labels: LABELS,
            unit: "seconds",
            source: "/pool.xml: last_used of the processes with sessions",
            fallback: "left out without busy processes",
        },
        write: |one, shown, out| {
            let workers = shown.application.workers.iter();
            let busy = workers.filter(|worker| worker.sessions > 0 && worker.last_used_us > 0);
            if let Some(oldest_us) = busy.map(|worker| worker.last_used_us).min() {
                let oldest = Value::Nanoseconds(oldest_us.saturating_mul(1000));
                out.sample(&[shown.name, one.label], oldest);
            }
        },
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_app_group_info",
            kind: Kind::Gauge,
            help: "Always 1; a process group that processes of the application are in, with the labels that the configuration gives the group.",
            labels: GROUP_LABELS,
            unit: "-",
            source: "/pool.xml: pid and spawn times of the processes; the agent's process table",
            fallback: "left out for processes that the agent finds in no group",
        },
        write: write_groups,
    },
];

fn write_groups(one: &Answered<'_>, shown: &ShownApplication<'_>, out: &mut Family<'_>) {
    let workers = shown.application.workers.iter();
    let groups = workers.filter_map(|worker| one.groups.get(&worker.pid));
    // Labels of the configuration that this family has itself are left out, which can make two groups the same.
    let groups = groups.map(|group| {
        let labels = group.labels.iter();
        let labels = labels.filter(|(name, _)| !GROUP_LABELS.contains(&&**name));
        (group.name.as_str(), labels.cloned().collect::<Vec<_>>())
    });
    for (group, labels) in groups.collect::<BTreeSet<_>>() {
        out.sample_with(&[group, shown.name, one.label], &labels, 1_u64);
    }
}

/// The states of [`WorkerState`], in the order of the samples.
const STATES: [(&str, WorkerState); 5] = [
    ("enabled", WorkerState::Enabled),
    ("disabling", WorkerState::Disabling),
    ("disabled", WorkerState::Disabled),
    ("detached", WorkerState::Detached),
    ("shutting_down", WorkerState::ShuttingDown),
];

fn write_states(one: &Answered<'_>, shown: &ShownApplication<'_>, out: &mut Family<'_>) {
    let application = shown.application;
    for (word, state) in STATES {
        let workers = application.workers.iter();
        let count = workers.filter(|worker| worker.state == state).count();
        out.sample(&[shown.name, one.label, word], count as u64);
    }
    out.sample(&[shown.name, one.label, "spawning"], application.spawning);
}

type KnownBytes = fn(&WorkerMemory) -> Option<u64>;

const MEMORY_TYPES: [(&str, KnownBytes); 5] = [
    ("real", |memory| memory.real),
    ("resident", |memory| memory.resident),
    ("proportional", |memory| memory.proportional),
    ("private_dirty", |memory| memory.private_dirty),
    ("swap", |memory| memory.swap),
];

fn write_memory(one: &Answered<'_>, shown: &ShownApplication<'_>, out: &mut Family<'_>) {
    for (word, of_worker) in MEMORY_TYPES {
        let workers = shown.application.workers.iter();
        let known = workers.filter_map(|worker| of_worker(&worker.memory));
        if let Some(bytes) = known.reduce(u64::saturating_add) {
            out.sample(&[word, shown.name, one.label], bytes);
        }
    }
}

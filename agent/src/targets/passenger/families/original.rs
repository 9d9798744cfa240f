//! The four families of passenger-go-exporter, with its names, labels and types (E2 of the contract). Where two instances have an
//! application of the same name, the second one's samples also have the label `passenger_instance`.

use std::fmt::Write as _;

use super::metric::{ApplicationMetric, ShownApplication};
use crate::exposition::{Descriptor, Kind};
use crate::targets::passenger::pool::Worker;

pub(super) static METRICS: &[ApplicationMetric] = &[
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_go_wait_list_size",
            kind: Kind::Gauge,
            help: "Requests that wait for a process of the application.",
            labels: &["name"],
            unit: "requests",
            source: "/pool.xml: get_wait_list_size of the group",
            fallback: "-",
        },
        write: |_, shown, out| out.sample(&[shown.name], shown.application.waiting),
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_go_process_count",
            kind: Kind::Gauge,
            help: "Processes of the application, whatever their state; processes that are being spawned do not count.",
            labels: &["name"],
            unit: "processes",
            source: "/pool.xml: process elements of the group",
            fallback: "-",
        },
        write: |_, shown, out| {
            out.sample(&[shown.name], shown.application.workers.len() as u64);
        },
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_go_process_real_memory_bytes",
            kind: Kind::Gauge,
            help: "Memory in bytes that the process shares with no other: private dirty pages and swap, or resident pages and swap where \
                   Passenger cannot separate the private ones; absent until Passenger has measured the process.",
            labels: &["name", "pid"],
            unit: "bytes",
            source: "/pool.xml: real_memory of the process",
            fallback: "-",
        },
        write: |_, shown, out| {
            each_worker(shown, |worker, labels| {
                if let Some(bytes) = worker.memory.real {
                    out.sample(labels, bytes);
                }
            });
        },
    },
    ApplicationMetric {
        descriptor: Descriptor {
            name: "passenger_go_process_processed",
            kind: Kind::Counter,
            help: "Requests that the process has finished since it started.",
            labels: &["name", "pid"],
            unit: "requests",
            source: "/pool.xml: processed of the process",
            fallback: "-",
        },
        write: |_, shown, out| {
            each_worker(shown, |worker, labels| out.sample(labels, worker.processed));
        },
    },
];

/// Calls `write` with each worker that has series of its own, and their labels.
fn each_worker(shown: &ShownApplication<'_>, mut write: impl FnMut(&Worker, &[&str; 2])) {
    let mut pid = String::new();
    for worker in &shown.workers {
        pid.clear();
        // Writing to a String cannot fail.
        let _ = write!(pid, "{}", worker.pid);
        write(worker, &[shown.name, &pid]);
    }
}

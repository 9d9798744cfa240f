//! Errors and delays in reading the processes. The names of `namedprocess_scrape_*` are process-exporter's, so these counters
//! lack `_total`.

use super::metric::Metric;
use crate::exposition::{Descriptor, Kind};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "namedprocess_scrape_errors",
            kind: Kind::Counter,
            help: "Passes that could not list the processes.",
            labels: &[],
            unit: "passes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.source.scrape_errors),
    },
    Metric {
        descriptor: Descriptor {
            name: "namedprocess_scrape_procread_errors",
            kind: Kind::Counter,
            help: "Processes that could not be read.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.source.procread_errors),
    },
    Metric {
        descriptor: Descriptor {
            name: "namedprocess_scrape_partial_errors",
            kind: Kind::Counter,
            help: "Processes of which something could not be read, once per process and pass.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.source.partial_errors),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_procfs_readers_held_up",
            kind: Kind::Gauge,
            help: "Threads that wait for a file in /proc that does not answer; the agent reads the other files of that process.",
            labels: &[],
            unit: "threads",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.source.held_up),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_procfs_reads_refused_total",
            kind: Kind::Counter,
            help: "Reads in /proc that the agent left out, because as many threads as allowed wait for processes of the same user.",
            labels: &[],
            unit: "reads",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.source.reads_refused),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_pod_link_failures_total",
            kind: Kind::Counter,
            help: "Times that the agent could not list all links of the kubelet to the logs of its containers; names of pods are missing then.",
            labels: &[],
            unit: "listings",
            source: "agent",
            fallback: "left out where no template names a pod",
        },
        write: |view, out| {
            if let Some(failures) = view.source.pod_link_failures {
                out.sample(&[], failures);
            }
        },
    },
];

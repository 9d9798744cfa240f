//! `headcount_smaps_*`: progress of reading proportional memory. The families are left out with `-gather-smaps=false`.

use super::metric::Metric;
use crate::exposition::{Descriptor, Kind, Value};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_smaps_readings_total",
            kind: Kind::Counter,
            help: "Successful readings of a process's proportional memory.",
            labels: &[],
            unit: "readings",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            if let Some(smaps) = &view.source.smaps {
                out.sample(&[], smaps.readings);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_smaps_failures_total",
            kind: Kind::Counter,
            help: "Failed readings of a process's proportional memory; they are not among the partial errors.",
            labels: &[],
            unit: "readings",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            if let Some(smaps) = &view.source.smaps {
                out.sample(&[], smaps.failures);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_smaps_waiting",
            kind: Kind::Gauge,
            help: "Processes that ran since their proportional memory was last read, and whose next reading waits for the budget.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            if let Some(smaps) = &view.source.smaps {
                out.sample(&[], smaps.waiting);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_smaps_readers_held_up",
            kind: Kind::Gauge,
            help: "Reader threads that one process has held up for 1 s or longer: at most 2 by processes of one user, and 8 in all.",
            labels: &[],
            unit: "threads",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            if let Some(smaps) = &view.source.smaps {
                out.sample(&[], smaps.held_up);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_smaps_refused_total",
            kind: Kind::Counter,
            help: "Readings of proportional memory that the agent left out, because as many reader threads as allowed wait for processes of the same user.",
            labels: &[],
            unit: "readings",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            if let Some(smaps) = &view.source.smaps {
                out.sample(&[], smaps.refused);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_smaps_oldest_reading_age_seconds",
            kind: Kind::Gauge,
            help: "Age in seconds of the oldest proportional memory that is shown; the agent reads a process again only after it ran.",
            labels: &[],
            unit: "seconds",
            source: "agent",
            fallback: "left out before the first reading",
        },
        write: |view, out| {
            if let Some(age_ns) = view.source.smaps.and_then(|smaps| smaps.oldest_age_ns) {
                out.sample(&[], Value::Nanoseconds(age_ns));
            }
        },
    },
];

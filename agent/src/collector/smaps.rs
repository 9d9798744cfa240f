//! `headcount_smaps_*`: how far reading proportional memory has come. Left out with `-gather-smaps=false`.

use super::metric::Metric;
use crate::exposition::{Descriptor, Kind, Value};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_smaps_readings_total",
            kind: Kind::Counter,
            help: "Processes whose proportional memory was read.",
            labels: &[],
            unit: "processes",
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
            help: "Processes whose proportional memory could not be read; they are not among the partial errors.",
            labels: &[],
            unit: "processes",
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
            help: "Processes that ran since their proportional memory was read, and wait until the budget allows it again.",
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
            help: "Readers that one process has held up for a second or longer: at most 2 by processes of one user, and 8 in all.",
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
            help: "Readings that the agent left out, because as many readers as allowed wait for processes of the same user.",
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
            help: "Age of the oldest proportional memory that is shown; what has not run since is not read again.",
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

//! `namedprocess_scrape_*`: how reading the processes went. The names are process-exporter's, so these counters lack `_total`.

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
];

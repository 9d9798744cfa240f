//! `headcount_config_*`: whether the grouping configuration is the one that is in its file.

use super::metric::Metric;
use crate::exposition::{Descriptor, Kind};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_config_last_reload_successful",
            kind: Kind::Gauge,
            help: "Whether the last reload of the configuration succeeded; 1 before there was any.",
            labels: &[],
            unit: "-",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.reloads.is_successful),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_config_last_reload_success_timestamp_seconds",
            kind: Kind::Gauge,
            help: "When the configuration was last loaded, at the start or by a reload, since the epoch.",
            labels: &[],
            unit: "seconds",
            source: "agent, system clock",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.reloads.success_unix_seconds),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_config_reload_failures_total",
            kind: Kind::Counter,
            help: "Reloads of the configuration that failed: what was loaded before still applies.",
            labels: &[],
            unit: "reloads",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.reloads.failures),
    },
];

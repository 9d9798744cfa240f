//! `headcount_config_*`: whether the agent uses the grouping configuration that is in the file now.

use super::metric::Metric;
use crate::exposition::{Descriptor, Kind};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_config_last_reload_successful",
            kind: Kind::Gauge,
            help: "1 if the last reload of the configuration succeeded or there was none yet, 0 if it failed.",
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
            help: "Unix time in seconds at which the agent last loaded its configuration, at the start or by a reload.",
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
            help: "Failed reloads of the configuration; the configuration loaded before stays in effect.",
            labels: &[],
            unit: "reloads",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.reloads.failures),
    },
];

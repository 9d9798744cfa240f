//! `headcount_*` about the kernel programs: whether they are attached, their runs, the records received and lost, the fill of
//! their maps, and the totals that they count for the node.

use super::metric::Metric;
use crate::exposition::{Descriptor, Kind, Value};
use crate::source::Tier;

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_program_attached",
            kind: Kind::Gauge,
            help: "1 if the kernel program is attached, 0 if it is not.",
            labels: &["program"],
            unit: "-",
            source: "agent",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            for program in &view.source.programs {
                out.sample(&[program.name], program.attached);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_program_runs_total",
            kind: Kind::Counter,
            help: "Runs of the kernel program.",
            labels: &["program"],
            unit: "runs",
            source: "bpf_prog_info run_cnt",
            fallback: "left out unless kernel.bpf_stats_enabled is 1",
        },
        write: |view, out| {
            for program in &view.source.programs {
                if let Some(runs) = program.run_count {
                    out.sample(&[program.name], runs);
                }
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_program_run_seconds_total",
            kind: Kind::Counter,
            help: "Time in seconds that the kernel program ran.",
            labels: &["program"],
            unit: "seconds",
            source: "bpf_prog_info run_time_ns",
            fallback: "left out unless kernel.bpf_stats_enabled is 1",
        },
        write: |view, out| {
            for program in &view.source.programs {
                if let Some(time) = program.run_time_ns {
                    out.sample(&[program.name], Value::Nanoseconds(time));
                }
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_events_received_total",
            kind: Kind::Counter,
            help: "Records that the agent received through the ring buffer.",
            labels: &[],
            unit: "records",
            source: "agent",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if view.source.tier != Tier::Procfs {
                out.sample(&[], view.source.events_received);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_events_overflowed_total",
            kind: Kind::Counter,
            help: "Records that the agent received through the overflow hash because the ring buffer was full.",
            labels: &[],
            unit: "records",
            source: "agent",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if view.source.tier != Tier::Procfs {
                out.sample(&[], view.source.events_overflowed);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_events_coarse_total",
            kind: Kind::Counter,
            help: "Records that the kernel programs added to the sums by comm because the overflow hash was full too.",
            labels: &[],
            unit: "records",
            source: "agent",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if view.source.tier != Tier::Procfs {
                out.sample(&[], view.source.events_coarse);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_events_lost_total",
            kind: Kind::Counter,
            help: "Records lost beyond recovery, because there was no room for them or the kernel did not run a program.",
            labels: &[],
            unit: "records",
            source: "agent",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if view.source.tier != Tier::Procfs {
                out.sample(&[], view.source.events_lost);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_lost_cpu_seconds_total",
            kind: Kind::Counter,
            help: "Upper bound in seconds of the CPU time in lost records that the next pass could not recover.",
            labels: &[],
            unit: "seconds",
            source: "agent",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if view.source.tier != Tier::Procfs {
                out.sample(&[], Value::Nanoseconds(view.source.lost_cpu_ns));
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_switch_map_full_total",
            kind: Kind::Counter,
            help: "Times that the map of running processes was full.",
            labels: &[],
            unit: "times",
            source: "agent",
            fallback: "left out unless the tier is switch",
        },
        write: |view, out| {
            if view.source.tier == Tier::Switch {
                out.sample(&[], view.source.switch_map_full);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_switch_unseen_seconds_total",
            kind: Kind::Counter,
            help: "Upper bound in seconds of the CPU time in runs whose begin no kernel program saw; it is missing if the process ends before the agent reads it from /proc.",
            labels: &[],
            unit: "seconds",
            source: "agent",
            fallback: "left out unless the tier is switch on tracepoints",
        },
        write: |view, out| {
            if let Some(unseen_ns) = view.source.switch_unseen_ns {
                out.sample(&[], Value::Nanoseconds(unseen_ns));
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_map_fill_ratio",
            kind: Kind::Gauge,
            help: "Share of the map that was in use when the agent last read it, from 0 to 1; that reading leaves ring and overflow empty.",
            labels: &["map"],
            unit: "ratio",
            source: "agent",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            for map in &view.source.maps {
                out.sample(&[map.name], map.used as f64 / map.capacity as f64);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_map_peak_fill_ratio",
            kind: Kind::Gauge,
            help: "Largest share of the map that the agent ever found in use, from 0 to 1.",
            labels: &["map"],
            unit: "ratio",
            source: "agent",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            for map in &view.source.maps {
                out.sample(&[map.name], map.peak as f64 / map.capacity as f64);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_kernel_forks_total",
            kind: Kind::Counter,
            help: "Processes forked on the node since the kernel programs were attached.",
            labels: &[],
            unit: "processes",
            source: "per-CPU array of the kernel programs",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if let Some(kernel) = &view.source.kernel {
                out.sample(&[], kernel.forks);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_kernel_execs_total",
            kind: Kind::Counter,
            help: "Programs started by exec on the node since the kernel programs were attached.",
            labels: &[],
            unit: "programs",
            source: "per-CPU array of the kernel programs",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if let Some(kernel) = &view.source.kernel {
                out.sample(&[], kernel.execs);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_kernel_exits_total",
            kind: Kind::Counter,
            help: "Processes that the kernel released on the node since the kernel programs were attached.",
            labels: &[],
            unit: "processes",
            source: "per-CPU array of the kernel programs",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if let Some(kernel) = &view.source.kernel {
                out.sample(&[], kernel.exits);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_kernel_exited_cpu_seconds_total",
            kind: Kind::Counter,
            help: "CPU time in seconds, from birth to end, of the processes that the kernel released on the node since the kernel programs were attached.",
            labels: &[],
            unit: "seconds",
            source: "per-CPU array of the kernel programs",
            fallback: "left out without kernel programs",
        },
        write: |view, out| {
            if let Some(kernel) = &view.source.kernel {
                out.sample(&[], Value::Nanoseconds(kernel.exited_cpu_ns));
            }
        },
    },
];

//! `headcount_*` about accounting: how processes are counted, and the losses.
//!
//! Families about the kernel programs are in [`super::programs`].

use super::View;
use super::metric::Metric;
use crate::exposition::{Descriptor, Family, Kind, Value};
use crate::source::{ExitHook, SelfTest, Sides};

/// Label values for the state of the self-test.
const SELF_TESTS: [(SelfTest, &str); 4] = [
    (SelfTest::None, "none"),
    (SelfTest::Pending, "pending"),
    (SelfTest::Passed, "passed"),
    (SelfTest::Failed, "failed"),
];

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_accounting_info",
            kind: Kind::Gauge,
            help: "Accounting tier, and the kernel hook that reports the final totals of a process (`exit_hook`); always 1.",
            labels: &["exit_hook", "tier"],
            unit: "-",
            source: "plan",
            fallback: "-",
        },
        write: |view, out| {
            out.sample(
                &[
                    view.source.exit_hook.map_or("none", ExitHook::word),
                    view.source.tier.word(),
                ],
                1_u64,
            );
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_source_info",
            kind: Kind::Gauge,
            help: "Where the agent takes each fact from: `bpf` (kernel programs), `bpf_hash` (the same with a hash of sockets), `procfs`, or `absent`; always 1.",
            labels: &["fact", "source"],
            unit: "-",
            source: "plan",
            fallback: "-",
        },
        write: |view, out| {
            for (fact, origin) in &view.source.facts {
                out.sample(&[fact.word(), origin.word()], 1_u64);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_self_test_state",
            kind: Kind::Gauge,
            help: "1 for the current state of the start-up self-test of the kernel programs, 0 for the other states.",
            labels: &["state"],
            unit: "-",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            for (state, name) in SELF_TESTS {
                out.sample(&[name], state == view.source.self_test);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_sandbox_state",
            kind: Kind::Gauge,
            help: "1 for each right that the agent has taken from its own threads, those of HTTP, those of the state, those that ask targets, those that resolve names and that of the service broker; 0 for each that this kernel cannot take. The sides targets, names and broker are absent if no kind of target is enabled, or no fan-in, or no broker.",
            labels: &["side", "step"],
            unit: "-",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            for (side, step, is_taken) in view.sandbox {
                out.sample(&[side, step], *is_taken);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_groups",
            kind: Kind::Gauge,
            help: "Groups, empty ones included.",
            labels: &[],
            unit: "groups",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.groups.len() as u64),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_groups_overflowed_total",
            kind: Kind::Counter,
            help: "Processes put into the group `other` because there were too many groups.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.group_statistics.overflowed),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_threads_overflowed",
            kind: Kind::Gauge,
            help: "Threads shown under the name `other`, because their group, or all groups together, have too many thread names.",
            labels: &[],
            unit: "threads",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.group_statistics.threads_overflowed),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_names_folded_total",
            kind: Kind::Counter,
            help: "Names whose counters the agent added to those of `other` to make room; such a name starts at 0 when it returns.",
            labels: &["kind"],
            unit: "names",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            out.sample(&["group"], view.group_statistics.folded_groups);
            out.sample(&["thread"], view.group_statistics.folded_threads);
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_names_cut_total",
            kind: Kind::Counter,
            help: "Processes whose group name or label value was longer than 1,024 bytes; the agent cuts it and ends it in ~ and a hash.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.group_statistics.names_cut),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_names_incomplete_total",
            kind: Kind::Counter,
            help: "Processes grouped by names that were cut short or partly unreadable.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.group_statistics.incomplete),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_arguments_cut_total",
            kind: Kind::Counter,
            help: "Processes grouped by a part of their arguments: the agent reads at most 64 KiB and 4,096 arguments of a live process.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.group_statistics.cut),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_classifications_deferred_total",
            kind: Kind::Counter,
            help: "Times that the agent left a process with long arguments for a later pass, because the pass had spent its budget for long arguments.",
            labels: &[],
            unit: "times",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.group_statistics.deferred),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_unattributed_cpu_seconds_total",
            kind: Kind::Counter,
            help: "CPU time in seconds that the agent could not attribute to any group.",
            labels: &[],
            unit: "seconds",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            out.sample(
                &[],
                Value::Nanoseconds(view.group_statistics.unattributed_cpu_ns),
            );
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_balance_accounted_total",
            kind: Kind::Counter,
            help: "CPU seconds, and created processes and threads, that the agent accounted for since its start: attributed to a group, to none, or held in a loss counter.",
            labels: &["fact"],
            unit: "seconds, tasks",
            source: "agent",
            fallback: "left out",
        },
        write: |view, out| write_balance(view, out, |sides| sides.accounted),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_balance_node_total",
            kind: Kind::Counter,
            help: "The same for the whole node as the kernel reports it, at the same moments: elapsed time of the CPUs without idle, iowait, irq, softirq and steal, and the line `processes`.",
            labels: &["fact"],
            unit: "seconds, tasks",
            source: "/proc/stat",
            fallback: "left out",
        },
        write: |view, out| write_balance(view, out, |sides| sides.node),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_balance_taken_total",
            kind: Kind::Counter,
            help: "CPU seconds that interrupts and the hypervisor took from the node since the agent's start (irq, softirq and steal); headcount_balance_node_total lacks them, headcount_balance_accounted_total may include them.",
            labels: &["fact"],
            unit: "seconds",
            source: "/proc/stat",
            fallback: "left out",
        },
        write: |view, out| {
            if let Some(ns) = view.source.balances.taken_cpu_ns {
                out.sample(&["cpu_seconds"], Value::Nanoseconds(ns));
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_processes",
            kind: Kind::Gauge,
            help: "Processes that the agent knows: live ones, and `pending` ones that are gone and whose final totals are still to come.",
            labels: &["state"],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            out.sample(&["live"], view.processes.live);
            out.sample(&["pending"], view.processes.pending);
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_processes_hidden",
            kind: Kind::Gauge,
            help: "Live processes that the kernel hides from the task iterator: `read` from /proc instead, or `omitted` beyond the bound.",
            labels: &["outcome"],
            unit: "processes",
            source: "agent",
            fallback: "left out in other tiers",
        },
        write: |view, out| {
            if let Some(hidden) = view.source.hidden {
                out.sample(&["omitted"], hidden.omitted);
                out.sample(&["read"], hidden.read);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_processes_unconfirmed_total",
            kind: Kind::Counter,
            help: "Processes closed at their last known totals because no final totals came.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.processes.unconfirmed),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_dropped_image_cpu_seconds_total",
            kind: Kind::Counter,
            help: "CPU time in seconds, attributed to no group, of programs that another exec replaced: the shortest of a process that ran more than 8 between two scrapes, those whose exec records were merged, and the start of processes first seen as set-user-ID programs.",
            labels: &[],
            unit: "seconds",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| {
            out.sample(&[], Value::Nanoseconds(view.processes.dropped_cpu_ns));
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_processes_unannounced_total",
            kind: Kind::Counter,
            help: "Processes first seen by a pass or by their end, because the record of their creation was lost.",
            labels: &[],
            unit: "processes",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.processes.unannounced),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_late_records_ignored_total",
            kind: Kind::Counter,
            help: "Records that came after the agent removed their process from its table.",
            labels: &[],
            unit: "records",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.processes.late_ignored),
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_log_lines_suppressed_total",
            kind: Kind::Counter,
            help: "Log lines held back by the rate limit.",
            labels: &[],
            unit: "lines",
            source: "agent",
            fallback: "-",
        },
        write: |view, out| out.sample(&[], view.log_lines_suppressed),
    },
];

fn write_balance(view: &View<'_>, out: &mut Family<'_>, side: fn(Sides) -> u64) {
    let balances = view.source.balances;
    if let Some(cpu) = balances.cpu_ns {
        out.sample(&["cpu_seconds"], Value::Nanoseconds(side(cpu)));
    }
    if let Some(creations) = balances.creations {
        out.sample(&["creations"], side(creations));
    }
}

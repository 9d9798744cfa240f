//! `namedprocess_namegroup_thread_*`: resources that the threads of each group use, by thread name.
//!
//! The agent sees threads only at scrapes. The resources that a thread used after the last scrape of its life are only in the
//! families of the whole group. A name is shown while a thread has it; when a name returns, its counters continue from their last
//! values.

use super::metric::GroupMetric;
use crate::exposition::{Descriptor, Family, Kind, Value};
use crate::group::{Group, ThreadUse};
use crate::source::Fact;

pub(super) static METRICS: &[GroupMetric] = &[
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_thread_count",
            kind: Kind::Gauge,
            help: "Threads of each name, of processes that have several.",
            labels: &["groupname", "threadname"],
            unit: "threads",
            source: "task iterator",
            fallback: "/proc/<pid>/task",
        },
        facts: &[Fact::Threads],
        write: |_, group, out| {
            for (name, named) in group.threads.shown() {
                if named.threads > 0 {
                    out.sample(&[&group.name, name], named.threads);
                }
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_thread_cpu_seconds_total",
            kind: Kind::Counter,
            help: "CPU time used by the threads of each name, up to the last scrape that saw them.",
            labels: &["groupname", "mode", "threadname"],
            unit: "seconds",
            source: "scheduler run time, split as the thread's ticks",
            fallback: "/proc/<pid>/task/<tid>/stat 14, 15",
        },
        facts: &[Fact::Threads],
        write: |_, group, out| {
            write_pair(group, out, ["user", "system"], |named| {
                Some([named.used.user_ns, named.used.system_ns].map(Value::Nanoseconds))
            });
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_thread_io_bytes_total",
            kind: Kind::Counter,
            help: "Bytes that the threads of each name fetched from and sent to storage, up to the last scrape that saw them.",
            labels: &["groupname", "iomode", "threadname"],
            unit: "bytes",
            source: "task I/O accounting",
            fallback: "/proc/<pid>/task/<tid>/io, else left out",
        },
        facts: &[Fact::Threads, Fact::Io],
        write: |_, group, out| {
            write_pair(group, out, ["read", "write"], |named| {
                let io = named.used.io()?;
                Some([io.read_bytes, io.write_bytes].map(Value::from))
            });
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_thread_major_page_faults_total",
            kind: Kind::Counter,
            help: "Page faults of the threads of each name that needed I/O, up to the last scrape that saw them.",
            labels: &["groupname", "threadname"],
            unit: "faults",
            source: "task_struct",
            fallback: "/proc/<pid>/task/<tid>/stat 12",
        },
        facts: &[Fact::Threads, Fact::Faults],
        write: |_, group, out| {
            for (name, named) in group.threads.shown() {
                out.sample(&[&group.name, name], named.used.major_faults);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_thread_minor_page_faults_total",
            kind: Kind::Counter,
            help: "Page faults of the threads of each name that needed no I/O, up to the last scrape that saw them.",
            labels: &["groupname", "threadname"],
            unit: "faults",
            source: "task_struct",
            fallback: "/proc/<pid>/task/<tid>/stat 10",
        },
        facts: &[Fact::Threads, Fact::Faults],
        write: |_, group, out| {
            for (name, named) in group.threads.shown() {
                out.sample(&[&group.name, name], named.used.minor_faults);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_thread_context_switches_total",
            kind: Kind::Counter,
            help: "Context switches of the threads of each name, up to the last scrape that saw them.",
            labels: &["ctxswitchtype", "groupname", "threadname"],
            unit: "switches",
            source: "task_struct",
            fallback: "/proc/<pid>/task/<tid>/status",
        },
        facts: &[Fact::Threads, Fact::Switches],
        write: |_, group, out| {
            for (name, ThreadUse { used, .. }) in group.threads.shown() {
                let labels = |kind| [kind, group.name.as_str(), name];
                out.sample(&labels("voluntary"), used.voluntary_switches);
                out.sample(&labels("nonvoluntary"), used.nonvoluntary_switches);
            }
        },
    },
];

/// Writes two samples for each name whose values are known. They differ in the label between group and thread.
fn write_pair(
    group: &Group,
    out: &mut Family<'_>,
    labels: [&str; 2],
    values: impl Fn(&ThreadUse) -> Option<[Value; 2]>,
) {
    for (name, named) in group.threads.shown() {
        for (label, value) in labels.into_iter().zip(values(named).into_iter().flatten()) {
            out.sample(&[&group.name, label, name], value);
        }
    }
}

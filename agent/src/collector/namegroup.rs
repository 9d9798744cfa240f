//! `namedprocess_namegroup_*`: resources that each group of processes uses. Names, labels and label values are
//! process-exporter's.
//!
//! Families by thread name are in [`threads`]. A family whose facts have no source on this node is left out, never shown as 0.
//! Groups that do not fit into the exposition are left out as [`bounded`] decides.

use std::sync::Arc;
use std::time::Duration;

use super::bounded::{self, ExpositionBound, Kept, Omitted, Size};
use super::metric::GroupMetric;
use super::{Collector, CollectorError, View, gunicorn, network, requests, runqueue, threads, udp};
use crate::exposition::{Descriptor, Kind, Value, Writer};
use crate::group::Group;
use crate::process::{Proportional, State};
use crate::source::{ExitHook, Fact};

#[derive(Debug)]
pub(super) struct NameGroup {
    bound: Arc<ExpositionBound>,
}

impl NameGroup {
    pub(super) fn new(bound: &Arc<ExpositionBound>) -> Self {
        Self {
            bound: Arc::clone(bound),
        }
    }
}

impl Collector for NameGroup {
    fn name(&self) -> &'static str {
        "namegroup"
    }

    fn descriptors(&self) -> Vec<&'static Descriptor> {
        let metrics = own_metrics().chain(threads::METRICS);
        metrics.map(|metric| &metric.descriptor).collect()
    }

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), CollectorError> {
        let mark = out.mark();
        let others = gunicorn::bytes(view, &self.bound);
        let most = self.bound.most_group_bytes().saturating_sub(others);
        let all = Kept {
            own: true,
            threads: true,
        };
        // If the last exposition was too large, this one most likely is as well: do not try to write all groups.
        let is_tried = self.bound.omitted() == Omitted::default();
        if is_tried && write(view, |_| all, most, out) {
            self.bound.note(Omitted::default());
            return Ok(());
        }
        out.roll_back(mark);
        let mut heads = 0;
        let sizes: Vec<Size> = view
            .groups
            .iter()
            .map(|group| measure(view, group, &mut heads, out))
            .collect();
        let room = most.saturating_sub(out.bytes() + heads);
        let kept = bounded::kept(&sizes, room);
        write(view, |n| kept[n], usize::MAX, out);
        self.bound.note(bounded::omitted(&sizes, &kept));
        Ok(())
    }
}

/// Writes the `kept` part of each group, by its index. Returns false, with only a part written, once a family is larger than
/// `most` bytes.
fn write(view: &View<'_>, kept: impl Fn(usize) -> Kept, most: usize, out: &mut Writer) -> bool {
    let own = own_metrics().map(|metric| (metric, false));
    let by_thread = threads::METRICS.iter().map(|metric| (metric, true));
    for (metric, is_by_thread) in own.chain(by_thread) {
        if !metric.is_known(view) {
            continue;
        }
        let mut family = out.family(&metric.descriptor);
        for (n, group) in view.groups.iter().enumerate() {
            let kept = kept(n);
            let is_kept = if is_by_thread { kept.threads } else { kept.own };
            if is_kept {
                (metric.write)(view, group, family.with_labels(&group.labels));
            }
            if family.bytes() > most {
                return false;
            }
        }
    }
    true
}

/// Measures the samples of a group by writing them and rolling back. `heads` keeps the most bytes that the HELP and TYPE lines of
/// one group's families took so far.
fn measure(view: &View<'_>, group: &Group, heads: &mut usize, out: &mut Writer) -> Size {
    let mut size_of = |metrics: &mut dyn Iterator<Item = &'static GroupMetric>| {
        let mark = out.mark();
        for metric in metrics.filter(|metric| metric.is_known(view)) {
            let mut family = out.family(&metric.descriptor);
            (metric.write)(view, group, family.with_labels(&group.labels));
        }
        let written = out.written(mark);
        out.roll_back(mark);
        (written.sample_bytes, written.bytes - written.sample_bytes)
    };
    let (own, own_heads) = size_of(&mut own_metrics());
    let (threads, thread_heads) = size_of(&mut threads::METRICS.iter());
    *heads = (*heads).max(own_heads + thread_heads);
    let used = &group.total.delta;
    Size {
        own,
        threads,
        cpu_ns: used.user_ns.saturating_add(used.system_ns),
        id: group.id,
    }
}

/// The families of a group, but those by thread name.
fn own_metrics() -> impl Iterator<Item = &'static GroupMetric> {
    METRICS
        .iter()
        .chain(network::GROUP_METRICS)
        .chain(udp::GROUP_METRICS)
        .chain(requests::GROUP_METRICS)
}

static METRICS: &[GroupMetric] = &[
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_num_procs",
            kind: Kind::Gauge,
            help: "Live processes, zombies included.",
            labels: &["groupname"],
            unit: "processes",
            source: "task iterator",
            fallback: "/proc",
        },
        facts: &[],
        write: |_, group, out| out.sample(&[&group.name], group.gauges.processes),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_cpu_seconds_total",
            kind: Kind::Counter,
            help: "CPU time used by all processes that were ever in the group.",
            labels: &["groupname", "mode"],
            unit: "seconds",
            source: "scheduler run time, split as in /proc/<pid>/stat",
            fallback: "/proc/<pid>/stat 14, 15",
        },
        facts: &[Fact::Cpu, Fact::CpuSplit],
        write: |_, group, out| {
            let used = &group.total.delta;
            out.sample(&[&group.name, "user"], Value::Nanoseconds(used.user_ns));
            out.sample(&[&group.name, "system"], Value::Nanoseconds(used.system_ns));
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_read_bytes_total",
            kind: Kind::Counter,
            help: "Bytes fetched from storage.",
            labels: &["groupname"],
            unit: "bytes",
            source: "task I/O accounting",
            fallback: "/proc/<pid>/io read_bytes, else left out",
        },
        facts: &[Fact::Io],
        write: |_, group, out| {
            if let Some(io) = group.total.delta.io() {
                out.sample(&[&group.name], io.read_bytes);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_write_bytes_total",
            kind: Kind::Counter,
            help: "Bytes sent to storage; cancelled ones are not subtracted.",
            labels: &["groupname"],
            unit: "bytes",
            source: "task I/O accounting",
            fallback: "/proc/<pid>/io write_bytes, else left out",
        },
        facts: &[Fact::Io],
        write: |_, group, out| {
            if let Some(io) = group.total.delta.io() {
                out.sample(&[&group.name], io.write_bytes);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_major_page_faults_total",
            kind: Kind::Counter,
            help: "Page faults that needed I/O.",
            labels: &["groupname"],
            unit: "faults",
            source: "task and signal_struct",
            fallback: "/proc/<pid>/stat 12",
        },
        facts: &[Fact::Faults],
        write: |_, group, out| out.sample(&[&group.name], group.total.delta.major_faults),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_minor_page_faults_total",
            kind: Kind::Counter,
            help: "Page faults that needed no I/O.",
            labels: &["groupname"],
            unit: "faults",
            source: "task and signal_struct",
            fallback: "/proc/<pid>/stat 10",
        },
        facts: &[Fact::Faults],
        write: |_, group, out| out.sample(&[&group.name], group.total.delta.minor_faults),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_context_switches_total",
            kind: Kind::Counter,
            help: "Context switches of all threads.",
            labels: &["ctxswitchtype", "groupname"],
            unit: "switches",
            source: "task and signal_struct",
            fallback: "/proc/<pid>/task/<tid>/status",
        },
        facts: &[Fact::Switches],
        write: |_, group, out| {
            let used = &group.total.delta;
            out.sample(&["voluntary", &group.name], used.voluntary_switches);
            out.sample(&["nonvoluntary", &group.name], used.nonvoluntary_switches);
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_memory_bytes",
            kind: Kind::Gauge,
            help: "Memory of the live processes; shared pages count once for each, but in the proportional types, which are of the processes read so far.",
            labels: &["groupname", "memtype"],
            unit: "bytes",
            source: "mm_struct; proportional: /proc/<pid>/smaps_rollup",
            fallback: "/proc/<pid>/stat 23, 24 and status VmSwap; proportional: smaps, left out if unreadable and before the first reading",
        },
        facts: &[Fact::Memory],
        write: |view, group, out| {
            let now = &group.gauges;
            out.sample(&[&group.name, "resident"], now.resident_bytes);
            out.sample(&[&group.name, "virtual"], now.virtual_bytes);
            out.sample(&[&group.name, "swapped"], now.swapped_bytes);
            // A group that maps nothing has no proportional memory: that is known without a reading.
            let none = (now.virtual_bytes == 0).then(Proportional::default);
            let share = now.proportional.or(none);
            if let Some(share) = share.filter(|_| view.has(Fact::Proportional)) {
                let [resident, swapped] = [share.resident_bytes, share.swapped_bytes];
                out.sample(&[&group.name, "proportionalResident"], resident);
                out.sample(&[&group.name, "proportionalSwapped"], swapped);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_open_filedesc",
            kind: Kind::Gauge,
            help: "Open file descriptors; processes whose descriptors cannot be read add none.",
            labels: &["groupname"],
            unit: "descriptors",
            source: "/proc/<pid>/fd",
            fallback: "left out",
        },
        facts: &[Fact::OpenFiles],
        write: |_, group, out| out.sample(&[&group.name], group.gauges.open_files),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_worst_fd_ratio",
            kind: Kind::Gauge,
            help: "Largest share of its soft limit of open file descriptors that one process uses.",
            labels: &["groupname"],
            unit: "ratio",
            source: "/proc/<pid>/fd and signal_struct",
            fallback: "/proc/<pid>/limits, else left out",
        },
        facts: &[Fact::OpenFiles, Fact::FileLimit],
        write: |_, group, out| out.sample(&[&group.name], group.gauges.worst_fd_ratio),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_oldest_start_time_seconds",
            kind: Kind::Gauge,
            help: "Start of the oldest live process since the epoch, in whole seconds.",
            labels: &["groupname"],
            unit: "seconds",
            source: "boot time and task start",
            fallback: "/proc/<pid>/stat 22; left out for an empty group",
        },
        facts: &[],
        write: |view, group, out| {
            if let Some(start_ns) = group.gauges.oldest_start_ns {
                let seconds = view.boot_time_seconds + Duration::from_nanos(start_ns).as_secs_f64();
                out.sample(&[&group.name], seconds.floor());
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_num_threads",
            kind: Kind::Gauge,
            help: "Threads of the live processes.",
            labels: &["groupname"],
            unit: "threads",
            source: "signal_struct",
            fallback: "/proc/<pid>/stat 20",
        },
        facts: &[Fact::Threads],
        write: |_, group, out| out.sample(&[&group.name], group.gauges.threads),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_states",
            kind: Kind::Gauge,
            help: "Threads by scheduler state, each thread once.",
            labels: &["groupname", "state"],
            unit: "threads",
            source: "task iterator",
            fallback: "/proc/<pid>/task/<tid>/stat 3",
        },
        facts: &[Fact::Threads],
        write: |_, group, out| {
            for ((_, state), threads) in State::ALL.into_iter().zip(group.gauges.states) {
                out.sample(&[&group.name, state], threads);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_threads_wchan",
            kind: Kind::Gauge,
            help: "Threads by the kernel function they wait in, each thread once; those that wait in none are not shown.",
            labels: &["groupname", "wchan"],
            unit: "threads",
            source: "/proc/<pid>/task/<tid>/wchan",
            fallback: "left out",
        },
        facts: &[Fact::Wchan],
        write: |_, group, out| {
            for (wchan, threads) in &group.gauges.wchans {
                out.sample(&[&group.name, wchan], *threads);
            }
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_forks_total",
            kind: Kind::Counter,
            help: "Processes created by fork, counted in the group of the image that they inherited.",
            labels: &["groupname"],
            unit: "processes",
            source: "sched_process_fork",
            fallback: "left out",
        },
        facts: &[Fact::Lifecycle],
        write: |_, group, out| out.sample(&[&group.name], group.total.lifecycle.forks),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_execs_total",
            kind: Kind::Counter,
            help: "Programs started by exec, counted in the group of the new program.",
            labels: &["groupname"],
            unit: "programs",
            source: "sched_process_exec",
            fallback: "left out",
        },
        facts: &[Fact::Lifecycle],
        write: |_, group, out| out.sample(&[&group.name], group.total.lifecycle.execs),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_exits_total",
            kind: Kind::Counter,
            help: "Ended processes by status: exit code 0 (`success`), another exit code (`failure`) or a signal (`signal`); `unknown` if the exit hook is `last_switch`.",
            labels: &["groupname", "status"],
            unit: "processes",
            source: "sched_process_exit",
            fallback: "left out",
        },
        facts: &[Fact::Lifecycle],
        write: |view, group, out| {
            let ended = &group.total.lifecycle;
            if view.source.exit_hook == Some(ExitHook::LastSwitch) {
                out.sample(&[&group.name, "unknown"], ended.exits_unknown);
                return;
            }
            out.sample(&[&group.name, "success"], ended.exits_success);
            out.sample(&[&group.name, "failure"], ended.exits_failure);
            out.sample(&[&group.name, "signal"], ended.exits_signal);
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_oom_kills_total",
            kind: Kind::Counter,
            help: "Processes that the OOM killer ended; the exits by signal include them.",
            labels: &["groupname"],
            unit: "processes",
            source: "sched_process_exit, signal_struct oom_mm",
            fallback: "left out",
        },
        facts: &[Fact::Lifecycle],
        write: |_, group, out| out.sample(&[&group.name], group.total.lifecycle.oom_kills),
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_run_queue_wait_seconds_total",
            kind: Kind::Counter,
            help: "Time in seconds that runnable threads waited for a CPU, without the last wait of a thread that ended before its process.",
            labels: &["groupname"],
            unit: "seconds",
            source: "sched_info run_delay",
            fallback: "left out",
        },
        facts: &[Fact::RunQueueWait],
        write: |_, group, out| {
            out.sample(
                &[&group.name],
                Value::Nanoseconds(group.total.delta.run_queue_wait_ns),
            );
        },
    },
    GroupMetric {
        descriptor: Descriptor {
            name: "namedprocess_namegroup_run_queue_latency_seconds",
            kind: Kind::Histogram,
            help: "Length in seconds of each wait of a thread for a CPU, from its wakeup or preemption until it ran; counted when that run ends.",
            labels: &["groupname"],
            unit: "seconds",
            source: "sched_switch, sched_info run_delay",
            fallback: "left out; only with --collector.runqueue",
        },
        facts: &[Fact::RunQueueLatency],
        write: |view, group, out| {
            let run_queue = view.source.run_queue.as_ref();
            if let Some(waits) = run_queue.and_then(|all| all.by_group.get(&group.id)) {
                runqueue::write_waits(&[&group.name], waits, out);
            }
        },
    },
];

//! `headcount_runqueue_*`: run-queue latency that belongs to no group, and waits of unknown length. The families are left out
//! without `--collector.runqueue`.

use super::metric::Metric;
use crate::exposition::{Descriptor, Family, Kind, Value};
use crate::source::{RUN_QUEUE_BOUNDS, RunQueueWaits};

/// Upper bounds of the finite buckets, seconds: powers of two, from 2^-20 to 1.
const BOUNDS: [f64; RUN_QUEUE_BOUNDS] = bounds();

const fn bounds() -> [f64; RUN_QUEUE_BOUNDS] {
    let mut bounds = [1.0; RUN_QUEUE_BOUNDS];
    let mut n = bounds.len() - 1;
    while n > 0 {
        n -= 1;
        bounds[n] = bounds[n + 1] / 2.0;
    }
    bounds
}

/// Writes one histogram of waits.
pub(super) fn write_waits(labels: &[&str], waits: &RunQueueWaits, out: &mut Family<'_>) {
    let sum = Value::Nanoseconds(waits.sum_ns);
    out.histogram(labels, &BOUNDS, &waits.buckets, sum);
}

pub(super) static METRICS: &[Metric] = &[
    Metric {
        descriptor: Descriptor {
            name: "headcount_runqueue_unattributed_seconds",
            kind: Kind::Histogram,
            help: "Length in seconds of each wait for a CPU by a thread whose group was not known yet: a thread of a new program until the next scrape.",
            labels: &[],
            unit: "seconds",
            source: "sched_switch, sched_info run_delay",
            fallback: "left out without --collector.runqueue, and without kernel programs",
        },
        write: |view, out| {
            if let Some(run_queue) = &view.source.run_queue {
                write_waits(&[], &run_queue.unknown, out);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_runqueue_missed_total",
            kind: Kind::Counter,
            help: "Waits for a CPU of unknown length, because there were more threads than the map has room for or the kernel did not run the program.",
            labels: &[],
            unit: "waits",
            source: "per-CPU array of the kernel programs",
            fallback: "left out without --collector.runqueue, and without kernel programs",
        },
        write: |view, out| {
            if let Some(run_queue) = &view.source.run_queue {
                out.sample(&[], run_queue.missed);
            }
        },
    },
    Metric {
        descriptor: Descriptor {
            name: "headcount_runqueue_full_total",
            kind: Kind::Counter,
            help: "Processes created while the map of their groups was full; their waits count as unattributed.",
            labels: &[],
            unit: "processes",
            source: "per-CPU array of the kernel programs",
            fallback: "left out without --collector.runqueue, and without kernel programs",
        },
        write: |view, out| {
            if let Some(run_queue) = &view.source.run_queue {
                out.sample(&[], run_queue.full);
            }
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_the_kernel_programs_equal_the_le_labels() {
        for (n, seconds) in BOUNDS.iter().enumerate() {
            let ns = agent_common::run_queue_bound_ns(n);
            assert_eq!(seconds.log2().fract(), 0.0, "a bound of native schema 0");
            assert!(ns as f64 <= seconds * 1e9 && *seconds * 1e9 < (ns + 1) as f64);
        }
    }
}

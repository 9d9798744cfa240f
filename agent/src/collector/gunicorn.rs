//! The collector `gunicorn`: applications of Gunicorn and their workers, with the names of the families of gunicorn-prometheus-exporter.
//!
//! A worker with long names takes [`WORKER_BYTES`]; workers that would take more than their part of an exposition are left out.

use std::sync::Arc;

use super::bounded::ExpositionBound;
use super::requests::{BOUNDS, FALLBACK};
use super::{Collector, CollectorError, View};
use crate::exposition::{Descriptor, Family, Kind, Value, Writer};
use crate::gunicorn::{GunicornView, WorkerEnd, WorkerRow};
use crate::process::{METHODS, RequestTally, STATUS_ABORTED};
use crate::source::Fact;

/// Bytes of all samples of a worker, and of an application, with the longest names.
const WORKER_BYTES: usize = 8 * 1024;
const APPLICATION_BYTES: usize = 3 * 1024;

/// Index in [`crate::process::RequestCounters::ended`].
const STATUS_5XX: usize = 4;

const NO_HTTP: &str = FALLBACK;
const NO_GUNICORN: &str = "left out without http: true or --collector.http";

/// The workers and applications of one exposition.
struct Shown<'a> {
    view: &'a View<'a>,
    gunicorn: &'a GunicornView,
    workers: &'a [WorkerRow],
}

struct WorkerMetric {
    descriptor: Descriptor,
    write: fn(&Shown<'_>, &mut Family<'_>),
}

#[derive(Debug)]
pub(super) struct GunicornCollector {
    bound: Arc<ExpositionBound>,
}

impl GunicornCollector {
    pub(super) fn new(bound: &Arc<ExpositionBound>) -> Self {
        Self {
            bound: Arc::clone(bound),
        }
    }
}

impl Collector for GunicornCollector {
    fn name(&self) -> &'static str {
        "gunicorn"
    }

    fn descriptors(&self) -> Vec<&'static Descriptor> {
        METRICS.iter().map(|metric| &metric.descriptor).collect()
    }

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), CollectorError> {
        let Some(gunicorn) = view.gunicorn else {
            return Ok(());
        };
        let shown = Shown {
            view,
            gunicorn,
            workers: &gunicorn.workers[..shown_workers(gunicorn, &self.bound)],
        };
        for metric in METRICS {
            (metric.write)(&shown, &mut out.family(&metric.descriptor));
        }
        Ok(())
    }
}

/// Upper bound of the bytes that the collector writes of applications and workers.
pub(super) fn bytes(view: &View<'_>, bound: &ExpositionBound) -> usize {
    view.gunicorn.map_or(0, |gunicorn| {
        let workers = shown_workers(gunicorn, bound) * WORKER_BYTES;
        workers + gunicorn.applications.len() * APPLICATION_BYTES
    })
}

fn shown_workers(gunicorn: &GunicornView, bound: &ExpositionBound) -> usize {
    let most = bound.most_worker_bytes() / WORKER_BYTES;
    gunicorn.workers.len().min(most)
}

impl Shown<'_> {
    /// Calls `write` for each worker whose requests are counted.
    fn served(&self, mut write: impl FnMut(&WorkerRow, &RequestTally)) {
        for worker in self.workers {
            if let Some(served) = worker.served.as_deref() {
                write(worker, served);
            }
        }
    }

    /// Writes one gauge for each worker.
    fn gauges<T: Into<Value>>(&self, out: &mut Family<'_>, value: fn(&WorkerRow) -> T) {
        for worker in self.workers {
            out.sample(
                &[&worker.app, &worker.pid, &worker.worker_id],
                value(worker),
            );
        }
    }
}

/// Sum over all methods.
fn sum(served: &RequestTally, count: impl Fn(&[u64]) -> u64) -> u64 {
    let ended: &[_; METHODS] = &served.counters().ended;
    ended.iter().map(|by_status| count(by_status)).sum()
}

static METRICS: &[WorkerMetric] = &[
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_requests_total",
            kind: Kind::Counter,
            help: "HTTP/1 requests that the worker has answered, whatever the status, and those whose connection was closed before an answer; gunicorn-prometheus-exporter leaves out requests whose handler raised.",
            labels: &["app", "worker_id"],
            unit: "requests",
            source: "sock_recv_length, sock_send_length",
            fallback: NO_HTTP,
        },
        write: |shown, out| {
            shown.served(|worker, served| {
                let all = sum(served, |by_status| by_status.iter().sum());
                out.sample(&[&worker.app, &worker.worker_id], all);
            });
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_request_duration_seconds",
            kind: Kind::Histogram,
            help: "Time in seconds from the first byte of a request that the worker receives to the head of the final response that it sends, of all answered requests; gunicorn-prometheus-exporter measures to the return of the handler, and its first bucket is 0.1 s.",
            labels: &["app", "worker_id"],
            unit: "seconds",
            source: "sock_recv_length, sock_send_length",
            fallback: NO_HTTP,
        },
        write: |shown, out| {
            shown.served(|worker, served| {
                let counters = served.counters();
                let sum = Value::Nanoseconds(counters.duration_ns);
                let labels = [&*worker.app, &*worker.worker_id];
                out.histogram(&labels, &BOUNDS, &counters.durations, sum);
            });
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_failed_requests_total",
            kind: Kind::Counter,
            help: "HTTP/1 requests that the worker has answered with a 5xx status, and those whose connection was closed before an answer; gunicorn-prometheus-exporter counts only exceptions that leave the request handler, by method, path and class.",
            labels: &["app", "worker_id"],
            unit: "requests",
            source: "sock_recv_length, sock_send_length",
            fallback: NO_HTTP,
        },
        write: |shown, out| {
            shown.served(|worker, served| {
                let failed = sum(served, |by_status| {
                    by_status[STATUS_5XX] + by_status[STATUS_ABORTED]
                });
                out.sample(&[&worker.app, &worker.worker_id], failed);
            });
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_memory_bytes",
            kind: Kind::Gauge,
            help: "Resident memory in bytes of the living worker at the scrape; gunicorn-prometheus-exporter shows that at the last request.",
            labels: &["app", "pid", "worker_id"],
            unit: "bytes",
            source: "task iterator",
            fallback: NO_GUNICORN,
        },
        write: |shown, out| shown.gauges(out, |worker| worker.memory_bytes),
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_cpu_percent",
            kind: Kind::Gauge,
            help: "CPU use of the living worker in percent of one core over the last 10 s or more, however often it is scraped; gunicorn-prometheus-exporter shows that between two requests.",
            labels: &["app", "pid", "worker_id"],
            unit: "percent",
            source: "task iterator",
            fallback: NO_GUNICORN,
        },
        write: |shown, out| shown.gauges(out, |worker| worker.cpu_percent),
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_cpu_seconds_total",
            kind: Kind::Counter,
            help: "CPU time in seconds that the living worker has used since its start.",
            labels: &["app", "worker_id"],
            unit: "seconds",
            source: "task iterator",
            fallback: NO_GUNICORN,
        },
        write: |shown, out| {
            for worker in shown.workers {
                let used = Value::Nanoseconds(worker.cpu_ns);
                out.sample(&[&worker.app, &worker.worker_id], used);
            }
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_uptime_seconds",
            kind: Kind::Gauge,
            help: "Time in seconds since the start of the living worker; gunicorn-prometheus-exporter shows that at the last request.",
            labels: &["app", "pid", "worker_id"],
            unit: "seconds",
            source: "task iterator",
            fallback: NO_GUNICORN,
        },
        write: |shown, out| shown.gauges(out, |worker| Value::Nanoseconds(worker.uptime_ns)),
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_workers",
            kind: Kind::Gauge,
            help: "Living workers of the application: `busy` with at least one HTTP/1 request in flight at the scrape, or `idle`.",
            labels: &["app", "state"],
            unit: "workers",
            source: "sock_recv_length, sock_send_length",
            fallback: NO_HTTP,
        },
        write: |shown, out| {
            for app in &shown.gunicorn.applications {
                if let Some(busy) = app.busy {
                    out.sample(&[&app.name, "busy"], busy);
                    out.sample(&[&app.name, "idle"], app.workers.saturating_sub(busy));
                }
            }
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_starts_total",
            kind: Kind::Counter,
            help: "Workers of the application that started since the agent did.",
            labels: &["app"],
            unit: "workers",
            source: "sched_process_fork",
            fallback: "left out without http: true, and without life cycles from the kernel",
        },
        write: |shown, out| {
            if shown.view.has(Fact::Lifecycle) {
                for app in &shown.gunicorn.applications {
                    out.sample(&[&app.name], app.starts);
                }
            }
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_worker_ends_total",
            kind: Kind::Counter,
            help: "Workers of the application that ended: with exit code 0 (`exit`), with another one (`error`), by a signal, by the kernel for want of memory (`oom`), after the arbiter sent it ABRT or KILL (`timeout`), or in a way whose record was lost (`unknown`).",
            labels: &["app", "reason"],
            unit: "workers",
            source: "sched_process_exit, signal_generate",
            fallback: "left out without http: true, and without the exit status from the kernel; timeout where requests are not counted",
        },
        write: |shown, out| {
            if shown.view.has(Fact::ExitStatus) {
                let sees_signals = shown.view.has(Fact::Http);
                for app in &shown.gunicorn.applications {
                    for ((end, word), count) in WorkerEnd::ALL.into_iter().zip(app.ends) {
                        if end != WorkerEnd::Timeout || sees_signals {
                            out.sample(&[&app.name, word], count);
                        }
                    }
                }
            }
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "gunicorn_app_start_time_seconds",
            kind: Kind::Gauge,
            help: "Start of the oldest living arbiter of the application in seconds since the epoch.",
            labels: &["app"],
            unit: "seconds since the epoch",
            source: "task iterator",
            fallback: NO_GUNICORN,
        },
        write: |shown, out| {
            for app in &shown.gunicorn.applications {
                if let Some(start_ns) = app.start_ns {
                    let start = shown.view.boot_time_seconds + start_ns as f64 / 1e9;
                    out.sample(&[&app.name], start);
                }
            }
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "headcount_gunicorn_workers_omitted",
            kind: Kind::Gauge,
            help: "Living workers of Gunicorn whose own series the last exposition left out, because they would take more than a quarter of --web.max-exposition-bytes.",
            labels: &[],
            unit: "workers",
            source: "agent",
            fallback: NO_GUNICORN,
        },
        write: |shown, out| {
            let omitted = shown.gunicorn.workers.len() - shown.workers.len();
            out.sample(&[], omitted as u64);
        },
    },
    WorkerMetric {
        descriptor: Descriptor {
            name: "headcount_gunicorn_full_total",
            kind: Kind::Counter,
            help: "Times that the agent found no room: for a process or an application of Gunicorn, which is in no family of Gunicorn then, or for a kill by a parent, which counts as a signal then.",
            labels: &["kind"],
            unit: "times",
            source: "agent",
            fallback: NO_GUNICORN,
        },
        write: |shown, out| {
            out.sample(&["process"], shown.gunicorn.processes_full);
            out.sample(&["application"], shown.gunicorn.applications_full);
            if let Some(books) = shown
                .view
                .processes
                .requests
                .filter(|_| shown.view.has(Fact::Http))
            {
                out.sample(&["kill"], books.totals.kills_full);
            }
        },
    },
];

#[cfg(test)]
pub(super) mod tests {
    use super::super::requests::tests::tally;
    use super::*;
    use crate::gunicorn::ApplicationRow;

    /// One application with a worker that has served, and one whose requests are not counted.
    pub(in super::super) fn gunicorn() -> GunicornView {
        let worker = WorkerRow {
            app: "a\"b".into(),
            worker_id: "worker_7_1508450400".into(),
            pid: "7".to_owned(),
            memory_bytes: 8_065_024,
            cpu_ns: 1_500_000_001,
            cpu_percent: 12.5,
            uptime_ns: 70_000_000_000,
            served: Some(Box::new(tally())),
        };
        let other = WorkerRow {
            worker_id: "worker_8_1508450400".into(),
            pid: "8".to_owned(),
            served: None,
            ..worker.clone()
        };
        GunicornView {
            applications: vec![ApplicationRow {
                name: "a\"b".into(),
                busy: Some(1),
                workers: 2,
                starts: 21,
                ends: [1, 2, 3, 4, 5, 6],
                start_ns: Some(3_500_000_000),
            }],
            workers: vec![worker, other],
            processes_full: 56,
            applications_full: 57,
        }
    }

    #[test]
    fn workers_beyond_their_part_of_the_exposition_are_left_out_and_counted() {
        let bound = ExpositionBound::default();
        bound.set(1 << 20, false);
        let mut gunicorn = gunicorn();
        let worker = gunicorn.workers[0].clone();
        gunicorn.workers = vec![worker; 100];
        assert_eq!(shown_workers(&gunicorn, &bound), 32);
    }

    #[test]
    fn worker_and_application_with_the_longest_names_fit_their_bounds() {
        use crate::source::SourceStatistics;
        let mut gunicorn = gunicorn();
        let name: Arc<str> = "\"".repeat(64).into();
        gunicorn.workers.truncate(1);
        let worker = &mut gunicorn.workers[0];
        worker.app = Arc::clone(&name);
        worker.worker_id = "worker_4194304_9999999999".into();
        worker.pid = "4194304".to_owned();
        (worker.cpu_percent, worker.memory_bytes) = (99.123_456_789_012_3, u64::MAX);
        gunicorn.applications[0].name = name;
        gunicorn.applications[0].ends = [u64::MAX; 6];
        let source: SourceStatistics = super::super::tests::source();
        let size = super::super::tests::with_view(&source, |view| {
            let view = View {
                gunicorn: Some(&gunicorn),
                ..*view
            };
            let mut out = Writer::default();
            let mut of = |labels: &str| {
                let start = out.bytes();
                let shown = Shown {
                    view: &view,
                    gunicorn: &gunicorn,
                    workers: &gunicorn.workers,
                };
                let metrics = METRICS.iter().filter(|metric| {
                    metric.descriptor.labels.contains(&"app")
                        && metric.descriptor.labels.contains(&"worker_id") == (labels == "worker")
                });
                for metric in metrics {
                    (metric.write)(&shown, &mut out.family(&metric.descriptor));
                }
                out.bytes() - start
            };
            (of("worker"), of("application"))
        });
        // With the lines of HELP and TYPE, which are written once.
        assert!(
            size.0 <= WORKER_BYTES && size.0 > WORKER_BYTES / 2,
            "{size:?}"
        );
        assert!(
            size.1 <= APPLICATION_BYTES && size.1 > APPLICATION_BYTES / 2,
            "{size:?}"
        );
    }
}

//! Counts and durations of the collectors' runs, by outcome. Each run is recorded exactly once.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::bounded::ExpositionBound;
use crate::exposition::{Descriptor, Kind};

static SCRAPES: Descriptor = Descriptor {
    name: "headcount_scrapes_total",
    kind: Kind::Counter,
    help: "Expositions made; scrapes that arrive together share one.",
    labels: &[],
    unit: "scrapes",
    source: "agent",
    fallback: "-",
};

static RUNS: Descriptor = Descriptor {
    name: "headcount_collector_runs_total",
    kind: Kind::Counter,
    help: "Runs of each collector by outcome: `success`, `error`, or `cancelled` if the run ended without a result, as by a panic.",
    labels: &["collector", "outcome"],
    unit: "runs",
    source: "agent",
    fallback: "-",
};

static DURATION: Descriptor = Descriptor {
    name: "headcount_collector_duration_seconds",
    kind: Kind::Histogram,
    help: "Duration in seconds of the runs of each collector, failed ones included.",
    labels: &["collector", "outcome"],
    unit: "seconds",
    source: "agent, monotonic clock",
    fallback: "left out for outcomes that have not occurred",
};

static LAST_SUCCESS: Descriptor = Descriptor {
    name: "headcount_collector_last_success_timestamp_seconds",
    kind: Kind::Gauge,
    help: "Unix time in seconds at which each collector last succeeded.",
    labels: &["collector"],
    unit: "seconds",
    source: "agent, system clock",
    fallback: "left out until the first success",
};

/// Upper bounds of the buckets, seconds. They are few, because there may be ten thousand nodes, but separate healthy, slow and
/// stuck runs.
const DURATION_BUCKETS: [f64; 4] = [0.001, 0.01, 0.1, 1.0];

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// The collector wrote all its families.
    Success,
    /// The collector returned an error.
    Error,
    /// The run ended without a result, as by a panic.
    Cancelled,
}

impl RunOutcome {
    /// All outcomes with the values of the label `outcome`.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Success, "success"),
        (Self::Error, "error"),
        (Self::Cancelled, "cancelled"),
    ];

    const fn label(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Counts and durations of all collectors' runs. Clones share them.
#[derive(Debug, Clone)]
pub struct Runs {
    registry: Registry,
    bound: Arc<ExpositionBound>,
    scrapes: IntCounter,
    runs: IntCounterVec,
    durations: HistogramVec,
    last_success: GaugeVec,
}

/// One run in progress. A timer that is dropped without an outcome counts the run as cancelled.
#[derive(Debug)]
pub struct Timer<'a> {
    runs: &'a Runs,
    collector: &'static str,
    started: Instant,
    outcome: RunOutcome,
}

impl Runs {
    /// Starts with no runs. Fails only if a descriptor is not valid.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let scrapes = IntCounter::with_opts(options(&SCRAPES))?;
        let runs = IntCounterVec::new(options(&RUNS), RUNS.labels)?;
        let durations = HistogramOpts::from(options(&DURATION)).buckets(DURATION_BUCKETS.to_vec());
        let durations = HistogramVec::new(durations, DURATION.labels)?;
        let last_success = GaugeVec::new(options(&LAST_SUCCESS), LAST_SUCCESS.labels)?;
        registry.register(Box::new(scrapes.clone()))?;
        registry.register(Box::new(runs.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(last_success.clone()))?;
        Ok(Self {
            registry,
            bound: Arc::default(),
            scrapes,
            runs,
            durations,
            last_success,
        })
    }

    /// Descriptors of the families in [`Self::registry`].
    pub(super) fn descriptors() -> [&'static Descriptor; 4] {
        [&SCRAPES, &RUNS, &DURATION, &LAST_SUCCESS]
    }

    /// Limits later expositions to `most` bytes, of which the targets' part may take its share if there are targets.
    pub fn limit(&self, most: usize, has_targets: bool) {
        self.bound.set(most, has_targets);
    }

    /// The part of that limit that the targets' part may take, bytes; 0 without targets.
    pub fn most_target_bytes(&self) -> usize {
        self.bound.most_target_bytes()
    }

    /// The size limit of expositions, shared with the collector `namegroup`.
    pub(super) const fn bound(&self) -> &Arc<ExpositionBound> {
        &self.bound
    }

    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Shows the counts of all outcomes of `collector` as 0 from the start, so that `rate()` sees the first error.
    pub(super) fn announce(&self, collector: &'static str) {
        for (_, outcome) in RunOutcome::ALL {
            self.runs.with_label_values(&[collector, outcome]);
        }
    }

    pub(super) fn count_scrape(&self) {
        self.scrapes.inc();
    }

    /// Begins a run.
    pub fn begin(&self, collector: &'static str) -> Timer<'_> {
        let (started, outcome) = (Instant::now(), RunOutcome::Cancelled);
        Timer {
            runs: self,
            collector,
            started,
            outcome,
        }
    }

    /// Records a run that another thread has made.
    pub fn record(&self, collector: &'static str, outcome: RunOutcome, duration: Duration) {
        let labels = [collector, outcome.label()];
        self.runs.with_label_values(&labels).inc();
        let seconds = duration.as_secs_f64();
        self.durations.with_label_values(&labels).observe(seconds);
        if outcome == RunOutcome::Success {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            self.last_success
                .with_label_values(&[collector])
                .set(now.as_secs_f64());
        }
    }

    /// Number of runs of `collector` that ended with `outcome`.
    pub fn count(&self, collector: &'static str, outcome: RunOutcome) -> u64 {
        self.runs
            .with_label_values(&[collector, outcome.label()])
            .get()
    }
}

fn options(descriptor: &Descriptor) -> Opts {
    Opts::new(descriptor.name, descriptor.help)
}

impl Timer<'_> {
    /// Ends the run with an outcome.
    pub fn judge(mut self, outcome: RunOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for Timer<'_> {
    /// Records the run, once.
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        self.runs.record(self.collector, self.outcome, duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_recorded_once_with_its_outcome() {
        let runs = Runs::new().unwrap();
        runs.begin("a").judge(RunOutcome::Success);
        runs.begin("a").judge(RunOutcome::Error);
        runs.begin("a").judge(RunOutcome::Error);
        drop(runs.begin("a"));
        for (outcome, expected) in [
            (RunOutcome::Success, 1),
            (RunOutcome::Error, 2),
            (RunOutcome::Cancelled, 1),
        ] {
            assert_eq!(runs.count("a", outcome), expected, "{outcome:?}");
            let duration = runs.durations.with_label_values(&["a", outcome.label()]);
            assert_eq!(duration.get_sample_count(), expected, "{outcome:?}");
        }
    }

    #[test]
    fn only_a_success_moves_the_time_of_the_last_success() {
        let runs = Runs::new().unwrap();
        drop(runs.begin("a"));
        runs.begin("a").judge(RunOutcome::Error);
        assert_eq!(runs.last_success.with_label_values(&["a"]).get(), 0.0);
        runs.begin("a").judge(RunOutcome::Success);
        assert!(runs.last_success.with_label_values(&["a"]).get() > 1e9);
    }
}

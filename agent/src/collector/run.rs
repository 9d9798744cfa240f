//! Runs all collectors for one exposition.
//!
//! In comes a [`View`], out goes the text of the exposition. If a collector fails or panics, its families are removed and those
//! of the other collectors stay.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bounded::Omitted;
use super::{COLLECTORS, Collector, RunOutcome, Runs, View};
use crate::exposition::{Descriptor, Kind, Writer};

static SUCCESS: Descriptor = Descriptor {
    name: "headcount_collector_success",
    kind: Kind::Gauge,
    help: "1 if the families of this collector are in this exposition, 0 if the collector failed or was not ready before the scrape's deadline.",
    labels: &["collector"],
    unit: "-",
    source: "agent",
    fallback: "-",
};

static EXPOSED_SAMPLES: Descriptor = Descriptor {
    name: "headcount_exposed_samples",
    kind: Kind::Gauge,
    help: "Samples in this exposition, this one included.",
    labels: &[],
    unit: "samples",
    source: "agent",
    fallback: "-",
};

static EXPOSED_SERIES: Descriptor = Descriptor {
    name: "headcount_exposed_series",
    kind: Kind::Gauge,
    help: "Samples in this exposition by family; families without labels, which have one sample each, are left out.",
    labels: &["family"],
    unit: "series",
    source: "agent",
    fallback: "-",
};

static MAX_BYTES: Descriptor = Descriptor {
    name: "headcount_exposition_max_bytes",
    kind: Kind::Gauge,
    help: "Largest size of an exposition in bytes before compression (--web.max-exposition-bytes); groups that do not fit are left out.",
    labels: &[],
    unit: "bytes",
    source: "agent",
    fallback: "-",
};

static OMITTED: Descriptor = Descriptor {
    name: "headcount_exposition_omitted_groups",
    kind: Kind::Gauge,
    help: "Groups left out of this exposition because it would be too large, with all their families (`all`) or only with those by thread name (`thread`); their counters continue and return when there is room.",
    labels: &["families"],
    unit: "groups",
    source: "agent",
    fallback: "-",
};

/// Families written after all collectors ran; METRICS.md lists them under `self`.
pub(super) const DESCRIPTORS: [&Descriptor; 5] = [
    &SUCCESS,
    &MAX_BYTES,
    &OMITTED,
    &EXPOSED_SERIES,
    &EXPOSED_SAMPLES,
];

/// All collectors and the buffers that they share.
#[derive(Debug)]
pub struct Collectors {
    collectors: Vec<Running>,
    runs: Runs,
    writer: Writer,
}

#[derive(Debug)]
struct Running {
    collector: Box<dyn Collector>,
    /// Whether the last run failed. The agent logs only changes.
    failing: bool,
    /// Whether its families are in the current exposition.
    is_shown: bool,
}

impl Collectors {
    /// All of [`COLLECTORS`]. Fails only if a descriptor is not valid.
    pub fn new() -> Result<Self, prometheus::Error> {
        let runs = Runs::new()?;
        let collectors = COLLECTORS.iter().map(|start| start(&runs)).collect();
        Ok(Self::with(collectors, runs))
    }

    pub(super) fn with(collectors: Vec<Box<dyn Collector>>, runs: Runs) -> Self {
        for collector in &collectors {
            runs.announce(collector.name());
        }
        let collectors = collectors.into_iter().map(|collector| Running {
            collector,
            failing: false,
            is_shown: false,
        });
        Self {
            collectors: collectors.collect(),
            runs,
            writer: Writer::default(),
        }
    }

    /// Limits expositions to `most` bytes.
    pub fn bounded(self, most: usize) -> Self {
        self.runs.bound().set(most);
        self
    }

    /// Why the last exposition is not complete; `None` if it is complete.
    pub fn reason(&self) -> Option<String> {
        let Omitted { groups, threads } = self.runs.bound().omitted();
        (groups + threads > 0).then(|| {
            format!(
                "the last exposition leaves out {groups} groups, and of {threads} more the families by thread name, because it would be \
                 larger than --web.max-exposition-bytes={}; fewer groups, shorter names or a larger bound help",
                self.runs.bound().most_bytes()
            )
        })
    }

    /// Makes the exposition of `view`.
    pub fn collect(&mut self, view: &View<'_>) -> Vec<u8> {
        self.run(view, true)
    }

    /// Makes the exposition when the owner of the state did not answer in time, so that `view` holds nothing of the state.
    /// Collectors that need the state do not run and have no run counted.
    pub fn collect_without_state(&mut self, view: &View<'_>) -> Vec<u8> {
        self.run(view, false)
    }

    fn run(&mut self, view: &View<'_>, has_state: bool) -> Vec<u8> {
        self.runs.count_scrape();
        for running in &mut self.collectors {
            let has_all = has_state || !running.collector.needs_state();
            running.is_shown = has_all && running.run(view, &mut self.writer, &self.runs);
        }
        let mut success = self.writer.family(&SUCCESS);
        for running in &self.collectors {
            success.sample(&[running.collector.name()], u64::from(running.is_shown));
        }
        self.write_bound();
        write_series(&mut self.writer);
        let samples = self.writer.samples() + 1;
        self.writer.family(&EXPOSED_SAMPLES).sample(&[], samples);
        self.writer.finish()
    }

    fn write_bound(&mut self) {
        let bound = self.runs.bound();
        let Omitted { groups, threads } = bound.omitted();
        let most = bound.most_bytes() as u64;
        self.writer.family(&MAX_BYTES).sample(&[], most);
        let mut family = self.writer.family(&OMITTED);
        family.sample(&["all"], groups);
        family.sample(&["thread"], threads);
    }

    #[cfg(test)]
    pub(super) const fn runs(&self) -> &Runs {
        &self.runs
    }
}

impl Running {
    /// Runs the collector. Returns whether it succeeded.
    fn run(&mut self, view: &View<'_>, out: &mut Writer, runs: &Runs) -> bool {
        let name = self.collector.name();
        let mark = out.mark();
        // A panic is a bug, but an exposition without one collector is better than none. The writer is rolled back below, and
        // the timer, dropped without an outcome, counts the run as cancelled.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let timer = runs.begin(name);
            let result = self.collector.collect(view, out);
            timer.judge(if result.is_ok() {
                RunOutcome::Success
            } else {
                RunOutcome::Error
            });
            result
        }));
        let failure = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(with_source(&error)),
            Err(_) => Some("it panicked".to_owned()),
        };
        if failure.is_some() {
            out.roll_back(mark);
        }
        match (&failure, self.failing) {
            (Some(why), false) => log::warn!("collector {name} failed: {why}"),
            (None, true) => log::info!("collector {name} works again"),
            _ => {}
        }
        self.failing = failure.is_some();
        !self.failing
    }
}

/// Writes the number of samples of each family with labels, this one included.
fn write_series(out: &mut Writer) {
    let mut families = out.labelled();
    let all = families.len() as u64 + 1;
    families.insert(EXPOSED_SERIES.name.to_owned(), all);
    let mut series = out.family(&EXPOSED_SERIES);
    for (family, samples) in &families {
        series.sample(&[family], *samples);
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

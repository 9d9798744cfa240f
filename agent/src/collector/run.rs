//! Runs the collectors of one part of an exposition.
//!
//! In comes a [`View`], out goes the part. If a collector fails or panics, its families are removed and those of the other
//! collectors stay.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bounded::Omitted;
use super::collected::{CollectedPart, PartOf};
use super::{Collector, RunOutcome, Runs, View};
use crate::exposition::Writer;

/// The collectors of one part, and the writer that they share.
#[derive(Debug)]
pub struct Collectors {
    collectors: Vec<Running>,
    runs: Runs,
    pub(super) writer: Writer,
}

#[derive(Debug)]
struct Running {
    collector: Box<dyn Collector>,
    /// Whether the last run failed. The agent logs only changes.
    failing: bool,
}

impl Collectors {
    /// Those that belong to `part`. They count their runs in `runs`.
    pub fn of(part: PartOf, runs: &Runs) -> Self {
        let collectors = super::all(runs).filter(|collector| collector.part() == part);
        Self::with(collectors.collect(), runs)
    }

    pub(super) fn with(collectors: Vec<Box<dyn Collector>>, runs: &Runs) -> Self {
        for collector in &collectors {
            runs.announce(collector.name());
        }
        let collectors = collectors.into_iter().map(|collector| Running {
            collector,
            failing: false,
        });
        Self {
            collectors: collectors.collect(),
            runs: runs.clone(),
            writer: Writer::default(),
        }
    }

    /// Why the last part is not complete; `None` if it is complete.
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

    /// Makes the part of the state from `view`, and counts a scrape.
    pub fn collect(&mut self, view: &View<'_>) -> CollectedPart {
        self.runs.count_scrape();
        let succeeded = self.run(view);
        CollectedPart {
            part: self.writer.take(),
            succeeded,
            omitted: self.runs.bound().omitted(),
        }
    }

    /// Runs all collectors. Returns those that succeeded.
    pub(super) fn run(&mut self, view: &View<'_>) -> Vec<&'static str> {
        let mut succeeded = Vec::with_capacity(self.collectors.len());
        for running in &mut self.collectors {
            if running.run(view, &mut self.writer, &self.runs) {
                succeeded.push(running.collector.name());
            }
        }
        succeeded
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

fn with_source(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

//! Collectors turn the agent's state into metric families.
//!
//! In comes a [`View`], one immutable look at the state. Out go families, written to a [`crate::exposition::Writer`]. The table
//! [`COLLECTORS`] lists all collectors. [`Collectors`] runs them, times each run and records its outcome exactly once.
//! [`reference()`] makes METRICS.md from their descriptors.
//!
//! A new metric is one row in its collector's table: the descriptor and, beside it, the function that writes its samples.
//!
//! The collectors leave to others: reading the facts (`source`), counting for processes and groups (`process`, `group`), and
//! HTTP (`http`).

mod accounting;
mod bounded;
#[cfg(test)]
mod bounded_tests;
mod build;
mod configuration;
mod metric;
mod namegroup;
mod own;
mod process_metrics;
mod programs;
mod reference;
mod run;
mod runqueue;
mod runs;
mod scrape;
mod smaps;
#[cfg(test)]
mod tests;
mod threads;
mod view;
mod web;

use metric::MetricTable;
use namegroup::NameGroup;
use own::Own;
pub use reference::reference;
pub use run::Collectors;
pub use runs::{RunOutcome, Runs, Timer};
pub use view::{Build, ReloadStatistics, ServingLimits, ServingStatistics, UnsentStatistics, View};

use crate::exposition::{Descriptor, Writer};

/// A set of metric families that succeed or fail together.
pub trait Collector: std::fmt::Debug + Send {
    /// Value of the label `collector`.
    fn name(&self) -> &'static str;

    /// Descriptors of its families, in the order in which METRICS.md lists them.
    fn descriptors(&self) -> Vec<&'static Descriptor>;

    /// Whether the collector needs the state, or has to run on the thread that owns it, the only one that may read files. A
    /// collector that needs neither is also shown when the owner does not answer in time: [`Collectors::collect_without_state`]
    /// runs it.
    fn needs_state(&self) -> bool {
        true
    }

    /// Writes its families. After an error, the caller removes from `out` all that this call wrote.
    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), CollectorError>;
}

/// Makes a collector; [`Runs`] keeps the counts and durations of all of them.
pub type NewCollector = fn(&Runs) -> Box<dyn Collector>;

/// All collectors, in the order in which they run and in which METRICS.md lists them.
pub static COLLECTORS: &[NewCollector] = &[
    |runs| Box::new(NameGroup::new(runs.bound())),
    |_| MetricTable::without_state("build", build::METRICS),
    |_| MetricTable::with_state("scrape", scrape::METRICS),
    |_| MetricTable::with_state("accounting", accounting::METRICS),
    |_| MetricTable::with_state("programs", programs::METRICS),
    |_| MetricTable::with_state("runqueue", runqueue::METRICS),
    |_| MetricTable::with_state("smaps", smaps::METRICS),
    |_| MetricTable::without_state("web", web::METRICS),
    |_| MetricTable::with_state("configuration", configuration::METRICS),
    // Last: it shows the runs of those before it.
    |runs| Box::new(Own::new(runs)),
];

/// Why a collector failed.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: &'static str,
        /// The error of the system call.
        source: std::io::Error,
    },
    /// A file does not have the fields that the kernel documents.
    #[error("{path} does not have the expected fields")]
    Malformed {
        /// The file.
        path: &'static str,
    },
    /// A system call about the agent itself failed.
    #[error("{call} failed")]
    Call {
        /// Name of the call.
        call: &'static str,
        /// The error that it returned.
        source: std::io::Error,
    },
}

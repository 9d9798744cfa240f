//! Collectors turn the agent's state into metric families.
//!
//! In comes a [`View`], one immutable look at the state. Out go families, written to a [`crate::exposition::Writer`]. The table
//! [`COLLECTORS`] lists all collectors and says to which part of an exposition each belongs ([`PartOf`]). [`Collectors`] runs
//! those of one part, times each run and records its outcome exactly once. [`Assembler`] makes an exposition of the parts.
//! [`reference()`] makes METRICS.md from the descriptors.
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
mod collected;
mod configuration;
mod gunicorn;
mod metric;
mod namegroup;
mod network;
#[cfg(test)]
mod network_tests;
mod own;
mod process_metrics;
mod programs;
mod reference;
mod requests;
mod run;
mod runqueue;
mod runs;
mod scrape;
mod smaps;
#[cfg(test)]
mod tests;
mod threads;
mod udp;
mod view;
mod web;
mod whole;
#[cfg(test)]
mod whole_tests;

pub use collected::{CollectedPart, PartOf};
use gunicorn::GunicornCollector;
use metric::{MetricTable, TargetCollector};
use namegroup::NameGroup;
use own::Own;
pub use reference::reference;
pub use run::Collectors;
pub use runs::{RunOutcome, Runs, Timer};
pub use view::{Build, ReloadStatistics, ServingLimits, ServingStatistics, UnsentStatistics, View};
pub use whole::{Arrived, Assembler};

use crate::exposition::{Descriptor, Writer};
use crate::targets::KINDS;

/// A set of metric families that succeed or fail together.
pub trait Collector: std::fmt::Debug + Send {
    /// Value of the label `collector`.
    fn name(&self) -> &'static str;

    /// Descriptors of its families, in the order in which METRICS.md lists them.
    fn descriptors(&self) -> Vec<&'static Descriptor>;

    /// The part of an exposition to which its families belong.
    fn part(&self) -> PartOf {
        PartOf::State
    }

    /// Writes its families. After an error, the caller removes from `out` all that this call wrote.
    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), CollectorError>;
}

/// Makes a collector; [`Runs`] keeps the counts and durations of all of them.
pub type NewCollector = fn(&Runs) -> Box<dyn Collector>;

/// All collectors but those of targets, in the order in which they run and in which METRICS.md lists them.
pub static COLLECTORS: &[NewCollector] = &[
    |runs| Box::new(NameGroup::new(runs.bound())),
    |_| MetricTable::boxed(PartOf::Server, "build", build::METRICS),
    |_| MetricTable::boxed(PartOf::State, "scrape", scrape::METRICS),
    |_| MetricTable::boxed(PartOf::State, "accounting", accounting::METRICS),
    |_| MetricTable::boxed(PartOf::State, "programs", programs::METRICS),
    |_| MetricTable::boxed(PartOf::State, "runqueue", runqueue::METRICS),
    |_| MetricTable::boxed(PartOf::State, "network", network::METRICS),
    |_| MetricTable::boxed(PartOf::State, "http", requests::METRICS),
    |runs| Box::new(GunicornCollector::new(runs.bound())),
    |_| MetricTable::boxed(PartOf::State, "smaps", smaps::METRICS),
    |_| MetricTable::boxed(PartOf::Server, "web", web::METRICS),
    |_| MetricTable::boxed(PartOf::State, "configuration", configuration::METRICS),
    |_| Box::new(Own),
];

/// All of [`COLLECTORS`], and one for each kind of target.
fn all(runs: &Runs) -> impl Iterator<Item = Box<dyn Collector>> {
    let own = COLLECTORS.iter().map(|start| start(runs));
    own.chain(KINDS.iter().map(TargetCollector::boxed))
}

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
}

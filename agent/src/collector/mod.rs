//! Collectors: from what the agent knows to metric families.
//!
//! In comes a [`View`], one immutable look at the state; out go families to a [`crate::exposition::Writer`]. All collectors stand in one
//! table, [`COLLECTORS`]; [`Collectors`] runs them, times each and judges it exactly once. METRICS.md is made from
//! their descriptors by [`reference()`].
//!
//! A new metric is one row in its collector's table: the descriptor and, beside it, how it is written.
//!
//! Not here: gathering the facts, keeping counters of processes and groups, HTTP.

mod accounting;
mod bounded;
#[cfg(test)]
mod bounded_tests;
mod build;
mod configuration;
mod label;
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
mod serving;
mod smaps;
#[cfg(test)]
mod tests;
mod threads;
mod view;

pub use reference::reference;
pub use run::Collectors;
pub use runs::{Outcome, Runs, Timer};
pub use view::{Build, ReloadStatistics, ServingLimits, ServingStatistics, UnsentStatistics, View};

use crate::exposition::{Descriptor, Writer};
use metric::Table;

/// A set of metric families that succeed or fail together.
pub trait Collector: std::fmt::Debug + Send {
    /// Value of the label `collector`.
    fn name(&self) -> &'static str;

    /// Its families, in the order of the reference.
    fn descriptors(&self) -> Vec<&'static Descriptor>;

    /// Whether it needs the state, or the thread that owns it: only there files may be read. What does not is also shown where the owner
    /// gave no answer in time, see [`Collectors::collect_without_state`].
    fn needs_state(&self) -> bool {
        true
    }

    /// Writes its families. What was written before an error is taken back by the caller.
    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), Error>;
}

/// Makes a collector; [`Runs`] is where all of them are timed.
pub type Start = fn(&Runs) -> Box<dyn Collector>;

/// All collectors, in the order in which they run and stand in the reference.
pub static COLLECTORS: &[Start] = &[
    |runs| Box::new(namegroup::NameGroup::new(runs.bound())),
    |_| {
        Box::new(Table {
            name: "build",
            metrics: build::METRICS,
            needs_state: false,
        })
    },
    |_| {
        Box::new(Table {
            name: "scrape",
            metrics: scrape::METRICS,
            needs_state: true,
        })
    },
    |_| {
        Box::new(Table {
            name: "accounting",
            metrics: accounting::METRICS,
            needs_state: true,
        })
    },
    |_| {
        Box::new(Table {
            name: "programs",
            metrics: programs::METRICS,
            needs_state: true,
        })
    },
    |_| {
        Box::new(Table {
            name: "runqueue",
            metrics: runqueue::METRICS,
            needs_state: true,
        })
    },
    |_| {
        Box::new(Table {
            name: "smaps",
            metrics: smaps::METRICS,
            needs_state: true,
        })
    },
    |_| {
        Box::new(Table {
            name: "http",
            metrics: serving::METRICS,
            needs_state: false,
        })
    },
    |_| {
        Box::new(Table {
            name: "configuration",
            metrics: configuration::METRICS,
            needs_state: true,
        })
    },
    // Last: it counts the samples of those before it.
    |runs| Box::new(own::Own::new(runs)),
];

/// Why a collector failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not look as the kernel documents it.
    #[error("{path} does not have the expected fields")]
    Malformed {
        /// Which.
        path: &'static str,
    },
    /// The kernel refused a question about ourselves.
    #[error("{call} failed")]
    Call {
        /// Which.
        call: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

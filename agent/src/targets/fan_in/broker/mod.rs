//! The storage of the service broker: a path for each application, in memory and in a file.
//!
//! ```text
//! HTTP thread --changes--> headcount-broker: table --> file (new, fsync, rename, fsync of the directory) --> acknowledgement
//!                                             |
//!                                             +--> stored paths --> HTTP thread, targets thread
//! ```
//!
//! One thread writes the file, and acknowledges a change when the file has it. Changes that arrive while it writes are written
//! together afterwards. If the file cannot be read at the start, the agent never writes it: then no path is stored, each change
//! is refused, and [`USABLE`] is 0. It is also 0 while the file cannot be written, which the thread tries at the start. Left to
//! others: the API and its credentials (`http/broker`).

mod file;
mod handle;
mod table;

pub(crate) use handle::{BrokerHandle, StoredPaths};
pub(super) use table::Bindings;
pub(crate) use table::{BindingChange, BindingOutcome, StoredBinding, is_id, is_metric_path};

use crate::config::BrokerConfig;
use crate::exposition::{Descriptor, Kind};

static APPLICATIONS: Descriptor = Descriptor {
    name: "headcount_fan_in_broker_applications",
    kind: Kind::Gauge,
    help: "Applications for which the service broker has stored a path.",
    labels: &[],
    unit: "applications",
    source: "agent",
    fallback: "left out unless fan_in has a broker",
};

static USABLE: Descriptor = Descriptor {
    name: "headcount_fan_in_broker_usable",
    kind: Kind::Gauge,
    help: "1 if the file of the service broker could be read at the start, and written at the last attempt, of which one is made at the start; \
           0 if not: then changes fail, and no path is stored if the file could not be read.",
    labels: &[],
    unit: "-",
    source: "agent",
    fallback: "left out unless fan_in has a broker",
};

static CHANGES: Descriptor = Descriptor {
    name: "headcount_fan_in_broker_changes_total",
    kind: Kind::Counter,
    help: "Bindings that the service broker was asked to store or to remove, by outcome: stored, unchanged (the file has it already), \
           refused (the binding exists with another path), full (10,000 applications are stored), failed (the file could not be written).",
    labels: &["outcome"],
    unit: "changes",
    source: "agent",
    fallback: "left out unless fan_in has a broker",
};

/// The families of the broker.
pub(super) const DESCRIPTORS: [&Descriptor; 3] = [&APPLICATIONS, &USABLE, &CHANGES];

/// The paths that the broker of a configuration has stored, and the reasons why it would not work, for commands that print them
/// and end. Blocks.
pub(super) fn survey(config: &BrokerConfig) -> (Bindings, Vec<String>) {
    let mut problems: Vec<String> = config.password().err().into_iter().collect();
    let stored = file::read(&config.file).unwrap_or_else(|problem| {
        problems.push(problem);
        Bindings::default()
    });
    (stored, problems)
}

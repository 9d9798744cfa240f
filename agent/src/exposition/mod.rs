//! Writes metric families in the Prometheus text format 0.0.4.
//!
//! In: [`Descriptor`]s with samples, and families gathered from a `prometheus::Registry`, written by one [`Writer`] for each
//! thread that has some. Out: the [`Part`] of each writer, and one body of all parts, families sorted by name.
//!
//! The `prometheus` crate's own encoder is not used: version 0.14 prints `inf` where the format requires `+Inf`, and
//! it needs an owned family with owned labels for each sample, thousands of allocations a scrape on a node with many
//! groups. The crate's counters, gauges and histograms are used wherever the agent counts about itself; the
//! [`Writer`] prints them too, by [`write_registry`].
//!
//! Left to others: the meaning of the metrics, and compression. Not supported: OpenMetrics, time stamps.

mod descriptor;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gathered;
mod number;
mod part;
mod text;
mod writer;

pub use descriptor::{Descriptor, Kind};
pub use gathered::write_registry;
pub use number::Value;
pub use part::{Part, assemble};
pub(crate) use text::write_label_value;
pub use writer::{Family, Mark, Writer, Written};

/// The `Content-Type` of a body that [`assemble`] made.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

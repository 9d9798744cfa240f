//! From families to bytes: the Prometheus text format 0.0.4.
//!
//! In come [`Descriptor`]s with samples, and families gathered from a `prometheus::Registry`; out comes one body,
//! families sorted by name.
//!
//! The `prometheus` crate's own encoder is not used: version 0.14 prints `inf` where the format says `+Inf`, and it
//! wants an owned family with owned labels per sample, thousands of allocations a scrape on a node with many groups.
//! Its counters, gauges and histograms are used wherever the agent counts for itself; the [`Writer`] prints them too.
//!
//! Not here: what the metrics mean, compression, OpenMetrics, time stamps.

mod descriptor;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gathered;
mod histogram;
mod number;
mod text;
mod writer;

pub use descriptor::{Descriptor, Kind};
pub use number::Value;
pub use writer::{Family, Mark, Writer, Written};

/// What the header `Content-Type` says of a body that a [`Writer`] made.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

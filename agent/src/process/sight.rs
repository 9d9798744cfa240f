//! The values of one process that passes have seen, and later readings of its files.

use std::sync::Arc;

use super::proportional::KnownProportional;
use super::threads::Threads;
use super::{Memory, Sample, State};

/// The values of a process in the last pass, without the totals, which are booked: half the size of a [`Sample`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) parent: u32,
    pub(super) threads: u32,
    pub(super) state: State,
    pub(super) memory: Memory,
    pub(super) fd_limit: Option<u64>,
    pub(super) ran_marker: u64,
    /// Whether the totals of this pass are booked.
    pub(super) is_credited: bool,
}

impl From<&Sample> for Held {
    fn from(sample: &Sample) -> Self {
        Self {
            parent: sample.parent,
            threads: sample.threads,
            state: sample.state,
            memory: sample.memory,
            fd_limit: sample.fd_limit,
            ran_marker: sample.ran_marker,
            is_credited: false,
        }
    }
}

/// The values of a process from passes, and from readings of its files.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Number of the last pass that saw it.
    pub(super) seen: u64,
    /// When a pass first missed it, nanoseconds since boot; `None` while passes see it.
    pub(super) absent_since_ns: Option<u64>,
    pub(super) held: Option<Held>,
    pub(super) threads: Threads,
    pub(super) proportional: KnownProportional,
    pub(super) open_files: Option<u64>,
    pub(super) wchan: Option<Arc<str>>,
    /// Value of `ran_marker` when the descriptors and the main thread's wait channel were last read.
    pub(super) probed: Option<u64>,
}

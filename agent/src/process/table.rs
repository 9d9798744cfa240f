//! The process table.

use super::{AccountId, ProcessId, Sample, State};

/// Counts about the table itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Processes that the last pass saw.
    pub live: u64,
    /// Gone from the last pass, final totals not there yet.
    pub pending: u64,
    /// Closed at their last known totals, because no final ones came within 60 s.
    pub unconfirmed: u64,
    /// Records that came after their process was forgotten, and were ignored.
    pub late_ignored: u64,
    /// Processes first heard of by a pass or by their end, because the record of their birth was lost.
    pub unannounced: u64,
}

/// A thread as collectors see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadView {
    /// State.
    pub state: State,
}

/// A live process as the grouper and collectors see it.
#[derive(Debug)]
pub struct Live<'a> {
    /// What the last pass saw.
    pub sample: &'a Sample,
    /// Where its use is booked.
    pub account: AccountId,
    /// Open descriptors; `None` while unreadable.
    pub open_files: Option<u64>,
}

/// All processes known, by identity.
#[derive(Debug, Default)]
pub struct Table {
    _processes: std::collections::HashMap<ProcessId, ()>,
}

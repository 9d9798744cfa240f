//! How far a process is on its way from its fork to its end.

use super::Counters;

/// The report of the exit record of a process.
#[derive(Debug)]
pub(super) struct AtExit {
    /// Totals at the exit; some of the last tick and of the exit itself are missing.
    pub(super) counters: Counters,
    /// Number of passes when the record came.
    pub(super) passes: u64,
}

/// How a process came to the image that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageOrigin {
    /// It was forked, and no exec record came: its use so far is its launch.
    Forked,
    /// An exec record came, or its launch does not matter any more.
    Known,
    /// It is older than the agent: the table takes its next totals over and books nothing.
    Older,
}

/// How far a process is on its way to its end.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its totals still rise, or its final totals are awaited and those of its exit record are booked.
    Running,
    /// Its exit record came. Its totals are to be booked if its final totals never come.
    Exited(Box<AtExit>),
    /// Its totals are final, though passes may still see it as a zombie.
    Projected,
}

/// Which events of a process are counted: their records may come twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) fork: bool,
    pub(super) exit: bool,
}

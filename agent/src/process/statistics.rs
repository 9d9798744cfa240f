//! Counts about the process table.

use super::{NetworkBooks, RequestBooks};

/// Counts about the table itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStatistics {
    /// Processes that the last pass saw.
    pub live: u64,
    /// Processes absent from the last pass whose final totals have not come yet.
    pub pending: u64,
    /// Processes closed without final totals, because none came within 60 s. Their last totals from a pass or an exit record
    /// stand.
    pub unconfirmed: u64,
    /// CPU time booked to no group, because the image that used it is unknown or its share was dropped, nanoseconds.
    pub dropped_cpu_ns: u64,
    /// Final records that came after the table had forgotten the process, and were ignored.
    pub late_ignored: u64,
    /// Processes first known from a pass or a record other than their fork, because the fork record was lost or late.
    pub unannounced: u64,
    /// Of these, processes whose fork record came later.
    pub announced_late: u64,
    /// Network accounting; `None` before its first reading.
    pub network: Option<NetworkBooks>,
    /// HTTP requests; `None` before their first reading.
    pub requests: Option<RequestBooks>,
}

impl TableStatistics {
    /// Saturates, as all sums of CPU time do: the kernel's records may hold any value.
    pub(super) const fn drop_cpu(&mut self, ns: u64) {
        self.dropped_cpu_ns = self.dropped_cpu_ns.saturating_add(ns);
    }
}

//! HTTP requests that processes have served: a reading of the kernel's counts, and how they are added up. Plain data.
//!
//! `served` books a reading to accounts. The kernel programs decide which process has served a request.

use agent_common::STATUS_5XX;
pub use agent_common::{
    METHOD_GET, METHOD_OTHER, METHODS, REQUEST_BOUNDS, REQUEST_OWNERS, RequestCounters,
    RequestTotals, STATUS_ABORTED, STATUSES, UNPARSED_HTTP2, UNPARSED_OTHER, UNPARSED_TLS,
};

use super::ProcessId;

/// The counts of the request programs since they were attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestReading {
    /// When it was begun, nanoseconds since boot.
    pub now_ns: u64,
    /// The counts of each process, in any order.
    pub owners: Vec<ServedReading>,
    /// Events that could not be counted.
    pub totals: RequestTotals,
    /// Runs of the programs that the kernel left out.
    pub missed_runs: u64,
}

/// The counts of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedReading {
    /// The process.
    pub id: ProcessId,
    /// Its counts.
    pub counters: RequestCounters,
}

/// The part of the readings that belongs to no account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestBooks {
    /// Events that the kernel programs could not count. Never falls.
    pub totals: RequestTotals,
    /// Runs of the programs that the kernel left out.
    pub missed_runs: u64,
    /// Exchanges of processes that the process table does not know.
    pub unattributed: u64,
}

/// HTTP requests added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestTally(RequestCounters);

impl RequestTally {
    /// The sums.
    pub const fn counters(&self) -> &RequestCounters {
        &self.0
    }

    /// Adds `more`.
    pub fn add(&mut self, more: &RequestCounters) {
        let sums: &mut [u64] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(&mut self.0));
        for (sum, more) in sums.iter_mut().zip(words(more)) {
            *sum = sum.saturating_add(*more);
        }
    }

    /// Requests that were answered or aborted.
    pub fn ended(&self) -> u64 {
        let counts = self.0.ended.iter().flatten();
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Those of them that were answered with a status from 500 on, or aborted.
    pub fn failed(&self) -> u64 {
        let failed = |of_method: &[u64; STATUSES]| {
            of_method[STATUS_5XX].saturating_add(of_method[STATUS_ABORTED])
        };
        let counts = self.0.ended.iter().map(failed);
        counts.fold(0, u64::saturating_add)
    }

    /// Requests that have no response yet.
    pub fn in_flight(&self) -> u64 {
        let sum = |counts: &[u64]| {
            counts
                .iter()
                .fold(0, |sum: u64, count| sum.saturating_add(*count))
        };
        let by_method = (0..METHODS).map(|method| {
            let ended = sum(&self.0.ended[method]).saturating_add(self.0.moved[method]);
            self.0.begun[method].saturating_sub(ended)
        });
        by_method.fold(0, u64::saturating_add)
    }

    /// Raises the sums to `now`. Returns the rise. If a count is lower than before, the kernel has begun the entry anew, and all of
    /// `now` is the rise. Busy time may be any number for a moment: it rises by `elapsed_ns` at most, and never falls.
    pub(super) fn raise(&mut self, now: &RequestCounters, elapsed_ns: u64) -> RequestCounters {
        let mut next = RequestCounters {
            busy_ns: self.0.busy_ns,
            ..*now
        };
        let mut pairs = words(&self.0).iter().zip(words(&next));
        if pairs.any(|(before, now)| before > now) {
            self.0 = RequestCounters::default();
        }
        let most_ns = self.0.busy_ns.saturating_add(elapsed_ns);
        next.busy_ns = now.busy_ns.clamp(self.0.busy_ns, most_ns);
        let mut rise = next;
        let sums: &mut [u64] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(&mut rise));
        for (sum, before) in sums.iter_mut().zip(words(&self.0)) {
            *sum -= before;
        }
        self.0 = next;
        rise
    }
}

fn words(counters: &RequestCounters) -> &[u64] {
    bytemuck::cast_slice(bytemuck::bytes_of(counters))
}

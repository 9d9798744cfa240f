//! What the sockets of processes have carried: a reading of the kernel's sums.

use agent_common::{NetworkCounters, NetworkSums, NetworkTotals, SCOPES};

use super::ProcessId;

/// What the kernel programs know of all sockets at one moment. All counters count since the programs were attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkReading {
    /// Number of the look at living sockets that this reading follows. Gauges with another number are of an earlier look.
    pub look: u64,
    /// The sums of each process, one entry for each scope in which it had a socket; in any order.
    pub owners: Vec<OwnerReading>,
    /// The sums of sockets whose owner the kernel programs do not know, by scope.
    pub unknown: [NetworkCounters; SCOPES],
    /// The sums of the node, which the kernel programs keep apart from those of the owners. Read after the owners.
    pub totals: NetworkTotals,
}

/// The sums of one process in one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerReading {
    /// The process.
    pub id: ProcessId,
    /// [`SCOPE_LOOPBACK`](agent_common::SCOPE_LOOPBACK) or another one. An entry with any other number is ignored.
    pub scope: usize,
    /// Counters, and the gauges of the last look that saw a socket of this entry.
    pub sums: NetworkSums,
}

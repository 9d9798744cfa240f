//! The payload of the sockets of processes: a reading of the kernel's sums, and how such sums are added up. Plain data.
//!
//! ```text
//! NetworkReading --sums by process and scope--> SocketOwners --rises--> accounts --> groups
//!                --sums of unknown owners-----> SocketOwners ---------> unattributed
//! ```
//!
//! `owners` books a reading to accounts. The kernel programs decide which process owns a socket.

#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod tally;

pub use agent_common::{
    FAILURE_OTHER, FAILURE_REFUSED, FAILURE_RESET, FAILURE_TIMEOUT, FAILURE_UNREACHABLE, FAILURES,
    NETWORK_OWNERS, NetworkCounters, NetworkGauges, NetworkSums, NetworkTotals, SCOPE_LISTEN,
    SCOPE_LOOPBACK, SCOPE_REMOTE, SCOPE_UDP_LOOPBACK, SCOPE_UDP_REMOTE, SCOPE_UDP_UNKNOWN, SCOPES,
};
pub use tally::{NetworkTally, Payload};
pub(super) use tally::{payload, raise};

use super::ProcessId;

/// The sums of the kernel programs for all sockets at one moment. All counters count since the programs were attached.
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
    /// Runs of the programs that the kernel left out.
    pub missed: u64,
}

/// The sums of one process in one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerReading {
    /// The process.
    pub id: ProcessId,
    /// [`SCOPE_LOOPBACK`], [`SCOPE_UDP_REMOTE`] or another one below [`SCOPES`]. An entry with any other number is ignored.
    pub scope: usize,
    /// Counters, and the gauges of the last look that saw a socket of this entry.
    pub sums: NetworkSums,
}

/// The part of a reading that belongs to no account, and the node's sums beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkBooks {
    /// Payload of sockets whose owner is unknown to the kernel programs or to the process table, or found the kernel's map full.
    pub unattributed: Payload,
    /// The node's sums as of the last reading. They never fall.
    pub totals: NetworkTotals,
    /// Runs of the programs that the kernel left out.
    pub missed: u64,
    /// Processes with sums at the last reading.
    pub owners: u64,
    /// Entries of the last reading that were left out: there were more processes than [`NETWORK_OWNERS`], or the scope is unknown.
    pub omitted: u64,
}

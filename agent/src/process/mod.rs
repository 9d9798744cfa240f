//! Processes: their identity, their use of resources, and the part of it that is booked to accounts.
//!
//! In come [`Event`]s and [`Pass`]es from a source; out go bookings to a [`Ledger`] (the grouper). This module does no I/O,
//! reads no clock and cannot fail.

mod account;
mod arguments;
mod attribution;
mod booked;
#[cfg(test)]
mod brief_tests;
mod cgroup;
mod container;
mod counters;
#[cfg(test)]
mod drained_tests;
mod entry;
mod event;
mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod graveyard;
mod held_arguments;
#[cfg(test)]
mod histories;
mod id;
#[cfg(test)]
mod image_histories;
mod launch;
mod live;
mod membership;
pub(crate) mod network;
pub(crate) mod owners;
mod phase;
mod probing;
mod proportional;
mod registry;
pub(crate) mod requests;
mod sample;
mod served;
mod sight;
mod statistics;
mod store;
#[cfg(any(test, fuzzing))]
pub(crate) mod sums;
mod table;
mod tally;
mod threads;
mod tombstones;
mod undecided;

pub use account::{AccountId, Booking, Ledger};
pub use arguments::Arguments;
pub use attribution::{Attribution, Folds};
pub use cgroup::{
    ContainerPath, Parent, container_path, container_path_within, is_container_id, systemd_slice,
    systemd_unit,
};
pub use container::Container;
pub use counters::{Counters, Cpu, Faults, Io, Switches};
pub use event::{Coarse, Event, ExitStatus, Released};
pub use facts::Facts;
pub use held_arguments::IncompleteExec;
pub use id::ProcessId;
pub use launch::{Former, Launch, Merged};
pub use live::{Live, LiveThreads, Probe, Reopened, Unclassified};
pub use network::{
    FAILURE_OTHER, FAILURE_REFUSED, FAILURE_RESET, FAILURE_TIMEOUT, FAILURE_UNREACHABLE, FAILURES,
    NETWORK_OWNERS, NetworkBooks, NetworkCounters, NetworkGauges, NetworkReading, NetworkSums,
    NetworkTally, NetworkTotals, OwnerReading, Payload, SCOPE_LISTEN, SCOPE_LOOPBACK, SCOPE_REMOTE,
    SCOPE_UDP_LOOPBACK, SCOPE_UDP_REMOTE, SCOPE_UDP_UNKNOWN, SCOPES,
};
pub use proportional::{Proportional, ProportionalReading, Wanted};
pub use requests::{
    METHOD_GET, METHOD_OTHER, METHODS, REQUEST_BOUNDS, REQUEST_OWNERS, RequestBooks,
    RequestCounters, RequestReading, RequestTally, RequestTotals, STATUS_ABORTED, STATUSES,
    ServedReading, UNPARSED_HTTP2, UNPARSED_OTHER, UNPARSED_TLS,
};
pub use sample::{Memory, Pass, Sample, State, TaskName, ThreadSample};
pub use statistics::TableStatistics;
pub use table::Table;
pub use tally::{Delta, IoAccess, Lifecycle, Tally};

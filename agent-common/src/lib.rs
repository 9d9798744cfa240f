//! The wire format between the kernel programs (agent-ebpf) and the agent: every record, map value and global variable
//! that both sides use.
//!
//! All types are `repr(C)` without padding and without `bool`, so any bytes of the right length are a valid value.
//! Names carry the unit: `_ns` is nanoseconds, `_bytes` bytes, `_pages` pages. `tgid` is a process id and `tid` a thread
//! id, both in the initial pid namespace. This crate only defines data: writing it is left to agent-ebpf, reading it to
//! `source/bpf` of the agent.
#![no_std]

mod exec;
mod exit;
mod fork;
mod network;
mod no_preempt;
mod offsets;
mod overflow;
mod plan;
mod release;
mod requests;
mod runqueue;
mod socket;
mod switch;
mod task;
mod tracepoint;

pub use exec::{
    ARGV_BYTES, ARGV_CUT, ARGV_PIECES, ARGV_SHORT_BYTES, EXEC_BORROWED_IDS, EXEC_REAL_UID,
    ExecHead, ExecRecord,
};
pub use exit::{EXIT_OOM, EXIT_UNTOLD, ExitRecord};
pub use fork::{CLONE_THREAD, ForkRecord};
pub use network::{
    FAILURE_OTHER, FAILURE_REFUSED, FAILURE_RESET, FAILURE_TIMEOUT, FAILURE_UNREACHABLE, FAILURES,
    NETWORK_GIVERS, NETWORK_OWNERS, NETWORK_SOCKETS, NetworkCounters, NetworkGauges, NetworkOwner,
    NetworkSums, NetworkTotals, SCOPE_LISTEN, SCOPE_LOOPBACK, SCOPE_REMOTE, SCOPE_UDP_LOOPBACK,
    SCOPE_UDP_REMOTE, SCOPE_UDP_UNKNOWN, SCOPES,
};
pub use no_preempt::{FUNCTIONS, KEEP_CPU, STOP_INTERRUPTS, TAKE_INTERRUPTS, YIELD_CPU};
pub use overflow::{
    COARSE_ENTRIES, CoarseSums, NodeTotals, OVERFLOW_EXECED, OVERFLOW_EXITED, OVERFLOW_FORKED,
    OVERFLOW_RELEASED, OverflowRecord,
};
pub use plan::{ABSENT, ARGV_NONE, ARGV_READ, Control, Layout, Offsets, RSS_HELPER, RSS_PLAIN};
pub use release::{RELEASE_PROJECTED, RELEASE_REPEATED, ReleaseRecord};
pub use requests::{
    METHOD_DELETE, METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_OTHER, METHOD_PATCH,
    METHOD_POST, METHOD_PUT, METHODS, REQUEST_BOUNDS, REQUEST_KILLS, REQUEST_OUTSIDERS,
    REQUEST_OWNERS, REQUESTS_ABANDONED, RequestCounters, RequestInFlight, RequestLayout,
    RequestOffsets, RequestSums, RequestTotals, STATUS_5XX, STATUS_ABORTED, STATUSES, UNPARSED,
    UNPARSED_HTTP2, UNPARSED_OTHER, UNPARSED_TLS,
};
pub use runqueue::{
    RUN_QUEUE_BOUNDS, RUN_QUEUE_COMMS, RUN_QUEUE_ENTRIES, RunQueueThread, RunQueueTotals,
    RunQueueWaits, SLOT_NOWHERE, SLOT_STAYS, SLOT_UNKNOWN, run_queue_bound_ns,
};
pub use socket::{CALLS, NetworkLayout, NetworkOffsets, SocketLook};
pub use switch::{RUN_TIMES_ENTRIES, RunTime, SwitchTotals};
pub use task::{
    COMM_BYTES, Comm, DeadThreadsRecord, EXIT_DEAD, Identity, LeaderRecord, ThreadRecord, Totals,
};
pub use tracepoint::{TraceFields, Traced, UNCOUNTED};

/// Record types: the first word of each record in the ring and in the iterator's output.
pub mod kind {
    /// A [`crate::ForkRecord`].
    pub const FORK: u32 = 1;
    /// A [`crate::ExecRecord`], followed by the first piece of its arguments.
    pub const EXEC: u32 = 2;
    /// A [`crate::ExitRecord`].
    pub const EXIT: u32 = 3;
    /// A [`crate::ReleaseRecord`].
    pub const RELEASE: u32 = 4;
    /// A [`crate::LeaderRecord`].
    pub const LEADER: u32 = 5;
    /// A [`crate::ThreadRecord`].
    pub const THREAD: u32 = 6;
    /// A [`crate::DeadThreadsRecord`].
    pub const DEAD_THREADS: u32 = 7;
    /// A [`crate::ExecRecord`], followed by a further piece of the arguments of an exec.
    pub const ARGUMENTS: u32 = 8;
}

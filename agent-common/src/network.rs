//! Map values of network accounting: the traffic of the sockets of each process. The programs credit every byte of a TCP socket
//! exactly once, to the process that owns the socket at that moment, and every byte of UDP to the process that makes the call;
//! user space reads the sums by owner.

use bytemuck::{Pod, Zeroable};

/// Number of entries in the map of owners: each process takes one for each scope in which it had a socket.
pub const NETWORK_OWNERS: u32 = 8192;

/// Number of entries in the map of sockets, on kernels without socket storage.
pub const NETWORK_SOCKETS: u32 = 65_536;

/// Number of entries in the map of processes that may have given a socket away: the process ids of a small machine.
pub const NETWORK_GIVERS: u32 = 32_768;

/// In [`NetworkOwner::scope`]: the peer is this machine (127.0.0.0/8, ::1, their mapped forms, or the socket's own address).
pub const SCOPE_LOOPBACK: u32 = 0;
/// In [`NetworkOwner::scope`]: the peer is another machine.
pub const SCOPE_REMOTE: u32 = 1;
/// In [`NetworkOwner::scope`]: a listening socket, which has no peer.
pub const SCOPE_LISTEN: u32 = 2;
/// In [`NetworkOwner::scope`]: UDP sockets whose peer is this machine.
pub const SCOPE_UDP_LOOPBACK: u32 = 3;
/// In [`NetworkOwner::scope`]: UDP sockets whose peer is another machine.
pub const SCOPE_UDP_REMOTE: u32 = 4;
/// In [`NetworkOwner::scope`]: UDP sockets without a connected peer, which may talk to any machine.
pub const SCOPE_UDP_UNKNOWN: u32 = 5;
/// Number of scopes.
pub const SCOPES: usize = 6;

/// Key of the map of owners. `tgid` is 0 for sockets whose owner is unknown: there is one such entry for each scope.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct NetworkOwner {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Which of the process's sockets: [`SCOPE_LOOPBACK`], [`SCOPE_UDP_REMOTE`] and the like.
    pub scope: u32,
    /// Start of the process, nanoseconds since boot.
    pub start_ns: u64,
}

/// Index in [`NetworkCounters::failures`]: the peer, or a host on the way, refused the connection (ECONNREFUSED).
pub const FAILURE_REFUSED: usize = 0;
/// Index in [`NetworkCounters::failures`]: the peer did not answer in time (ETIMEDOUT).
pub const FAILURE_TIMEOUT: usize = 1;
/// Index in [`NetworkCounters::failures`]: no way to the peer (EHOSTUNREACH, ENETUNREACH and the like).
pub const FAILURE_UNREACHABLE: usize = 2;
/// Index in [`NetworkCounters::failures`]: the peer reset an established connection (ECONNRESET, EPIPE).
pub const FAILURE_RESET: usize = 3;
/// Index in [`NetworkCounters::failures`]: any other error, and connection attempts that the process gave up.
pub const FAILURE_OTHER: usize = 4;
/// Number of reasons.
pub const FAILURES: usize = 5;

/// The traffic of sockets. The values only rise. Of UDP, only the bytes are counted.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct NetworkCounters {
    /// Payload transmitted, each byte once. Kernel: `tcp_sock.bytes_sent - bytes_retrans`. UDP: the bytes that the calls have
    /// taken.
    pub sent_bytes: u64,
    /// Payload that the kernel has queued in order, read or not. Kernel: `tcp_sock.bytes_received`, less the FIN. UDP: the bytes
    /// that the calls have returned.
    pub received_bytes: u64,
    /// Segments with payload, repeated ones included. Kernel: `tcp_sock.data_segs_out`.
    pub sent_segments: u64,
    /// Segments that were sent again. Kernel: `tcp_sock.total_retrans`.
    pub retransmitted_segments: u64,
    /// Connections that the process opened, and that were established.
    pub opened_client: u64,
    /// Connections that were established with a listening socket.
    pub opened_server: u64,
    /// Connections that were established and have ended: their sockets are in state CLOSE, or the kernel keeps only a small one.
    pub closed: u64,
    /// Connections that could not be established or that an error ended, by reason.
    pub failures: [u64; FAILURES],
    /// Smoothed round trip times of connections at their end, summed up, microseconds. Kernel: `tcp_sock.srtt_us >> 3`.
    pub rtt_sum_us: u64,
    /// Number of connections in `rtt_sum_us`.
    pub rtt_count: u64,
    /// Connections that listening sockets dropped. Kernel: `sock.sk_drops`.
    pub listen_drops: u64,
}

/// The gauges of the living sockets of an owner at the last look, which has the number `look`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct NetworkGauges {
    /// Number of the look that wrote this. If it is not that of the last look, the owner has no living socket.
    pub look: u64,
    /// Sockets in state ESTABLISHED.
    pub established: u32,
    /// Sockets in state LISTEN.
    pub listen: u32,
    /// Sockets in states FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK and CLOSING.
    pub closing: u32,
    /// Sockets in any other state.
    pub other: u32,
    /// Smoothed round trip times of established connections, summed up, microseconds.
    pub rtt_sum_us: u64,
    /// Number of connections in `rtt_sum_us`: those with a measured round trip.
    pub rtt_count: u32,
    /// The longest of them, microseconds.
    pub rtt_max_us: u32,
    /// Connections that wait to be accepted. Kernel: `sock.sk_ack_backlog`.
    pub listen_queue: u64,
    /// How many may wait. Kernel: `sock.sk_max_ack_backlog`.
    pub listen_queue_limit: u64,
}

/// Value of the map of owners.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct NetworkSums {
    /// The counts since the programs were attached.
    pub counters: NetworkCounters,
    /// The gauges of the last look.
    pub gauges: NetworkGauges,
}

/// Sums of the node on one CPU, kept apart from those of the owners.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct NetworkTotals {
    /// All payload sent, whichever process owns the sockets.
    pub sent_bytes: u64,
    /// All payload received.
    pub received_bytes: u64,
    /// The part of `sent_bytes` that could not be credited because the map of owners was full.
    pub unowned_sent_bytes: u64,
    /// The same of `received_bytes`.
    pub unowned_received_bytes: u64,
    /// Credits that found the map of owners full.
    pub owners_full: u64,
    /// Entries that the programs have made in the map of owners.
    pub owners_made: u64,
    /// Times that a socket got no storage, because the kernel had no memory. Its traffic without one is in no sum.
    pub storage_full: u64,
}

//! Map values of the request programs: the HTTP/1 exchanges that each process has served. The programs count every exchange
//! once, for the process that answers; user space reads the counts by process.

use bytemuck::{Pod, Zeroable};

use crate::Identity;
use crate::offsets::offsets;

/// Number of entries in the map of processes with exchanges.
pub const REQUEST_OWNERS: u32 = 8192;
/// Number of entries in the map of processes that are not watched. The kernel allocates them one by one.
pub const REQUEST_OUTSIDERS: u32 = 65_536;
/// Number of entries in the map of requests that are to be counted as aborted.
pub const REQUESTS_ABANDONED: u32 = 256;

/// Number of entries in the map of processes that their parent killed since the last pass. The kernel allocates them one by one.
pub const REQUEST_KILLS: u32 = 1024;

/// Indices of methods in [`RequestCounters`]. Any other method is [`METHOD_OTHER`].
pub const METHOD_GET: usize = 0;
/// As [`METHOD_GET`].
pub const METHOD_HEAD: usize = 1;
/// As [`METHOD_GET`].
pub const METHOD_POST: usize = 2;
/// As [`METHOD_GET`].
pub const METHOD_PUT: usize = 3;
/// As [`METHOD_GET`].
pub const METHOD_DELETE: usize = 4;
/// As [`METHOD_GET`].
pub const METHOD_PATCH: usize = 5;
/// As [`METHOD_GET`].
pub const METHOD_OPTIONS: usize = 6;
/// Also the method of responses whose request the programs did not see.
pub const METHOD_OTHER: usize = 7;
/// Number of methods.
pub const METHODS: usize = 8;

/// Index in [`RequestCounters::ended`] of statuses from 500 on.
pub const STATUS_5XX: usize = 4;
/// Index in [`RequestCounters::ended`] beside the classes of statuses, of which `1xx` is 0: the socket was closed before a response
/// began.
pub const STATUS_ABORTED: usize = 5;
/// Number of classes of statuses, with [`STATUS_ABORTED`].
pub const STATUSES: usize = 6;

/// Number of bounds of the duration histogram: 2^-11 to 2^6 seconds.
pub const REQUEST_BOUNDS: usize = 18;

/// Index in [`RequestCounters::unparsed`]: the client began with TLS.
pub const UNPARSED_TLS: usize = 0;
/// Index in [`RequestCounters::unparsed`]: the client began with HTTP/2.
pub const UNPARSED_HTTP2: usize = 1;
/// Index in [`RequestCounters::unparsed`]: the client began with something else, or the first answer was no HTTP/1.
pub const UNPARSED_OTHER: usize = 2;
/// Number of reasons why a connection is not parsed.
pub const UNPARSED: usize = 3;

/// The requests that a process has served. The values only rise. An exchange is in flight from its count in `begun` until it is
/// in `ended` or `moved`. A reader copies the words in this order, so a count that changes meanwhile is in flight for too long,
/// never too short.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RequestCounters {
    /// Exchanges that ended, by method and class of status.
    pub ended: [[u64; STATUSES]; METHODS],
    /// Begun exchanges that another process answered, or that proved to be no HTTP, by method.
    pub moved: [u64; METHODS],
    /// Exchanges that began, by method.
    pub begun: [u64; METHODS],
    /// Number of answered exchanges by duration: bucket n counts those of at most 2^(n-11) seconds, the last one the rest.
    pub durations: [u64; REQUEST_BOUNDS + 1],
    /// Sum of these durations.
    pub duration_ns: u64,
    /// The same of TCP connections, from their last data to the first receive.
    pub queue_durations: [u64; REQUEST_BOUNDS + 1],
    /// Sum of these.
    pub queue_ns: u64,
    /// The same of responses over TCP, from the head to the last byte.
    pub response_durations: [u64; REQUEST_BOUNDS + 1],
    /// Sum of these.
    pub response_ns: u64,
    /// Connections that are not parsed, by reason.
    pub unparsed: [u64; UNPARSED],
    /// Time in which at least one exchange was in flight. In the kernel it lacks the time of the present interval, from whose
    /// beginning the clock's value is subtracted: then it is below zero, because no process was busy for longer than the clock
    /// has run. [`RequestSums::counters_at`] completes it.
    pub busy_ns: u64,
}

/// The kernel's state of a process.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RequestSums {
    /// The requests that it has served.
    pub counters: RequestCounters,
    /// Exchanges that are in flight, for the programs only: they see by it where an interval of [`RequestCounters::busy_ns`] begins
    /// and ends.
    pub pending: u64,
    /// When its last thread ended; 0 while it lives.
    pub ended_ns: u64,
}

impl RequestSums {
    /// The counts at this time, nanoseconds of `CLOCK_MONOTONIC`, which was read before they were. One word says whether the process is busy and
    /// since when, so a reader need not stop the programs. While two CPUs change that word, `busy_ns` may be any number.
    pub const fn counters_at(&self, now_ns: u64) -> RequestCounters {
        let mut counters = self.counters;
        let until_ns = match self.ended_ns {
            0 => now_ns,
            ended_ns => ended_ns,
        };
        let busy_ns = counters.busy_ns.cast_signed();
        if busy_ns < 0 {
            // It is still below zero if the interval began after the time was read.
            let busy_ns = busy_ns.wrapping_add_unsigned(until_ns);
            counters.busy_ns = if busy_ns < 0 {
                0
            } else {
                busy_ns.cast_unsigned()
            };
        }
        counters
    }
}

/// A request in flight.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RequestInFlight {
    /// The process that counts it.
    pub owner: Identity,
    /// The number of the method.
    pub method: u64,
}

/// Sums of the node on one CPU: the events that the programs could not count.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RequestTotals {
    /// Exchanges whose response the programs could not read.
    pub unreadable: u64,
    /// Counts that found the map of processes full.
    pub owners_full: u64,
    /// Exchanges on sockets that got no storage, because the kernel had no memory.
    pub storage_full: u64,
    /// Processes that their parent killed, and that found the map of these full.
    pub kills_full: u64,
}

offsets! {
    RequestOffsets
    http_sock_family = "sock"."__sk_common.skc_family";
    http_sock_type = "sock"."sk_type";
    http_sock_protocol = "sock"."sk_protocol";
    http_sock_socket = "sock"."sk_socket";
    /// NULL for the kernel's own sockets.
    http_socket_file = "socket"."file";
    http_socket_sock = "socket"."sk";
    http_tcp_sent = "tcp_sock"."bytes_sent";
    /// When the last data came; first, when the connection was established. Ticks, 32 bits of them.
    http_tcp_received = "tcp_sock"."inet_conn.icsk_ack.lrcvtime";
    /// When the data that was acknowledged last was sent, microseconds of `CLOCK_MONOTONIC`.
    http_tcp_last_sent = "tcp_sock"."first_tx_mstamp";
    http_tcp_acknowledged = "tcp_sock"."snd_una";
    http_tcp_written = "tcp_sock"."write_seq";
    /// The name of the listening socket, if a process accepted the connection.
    http_unix_address = "unix_sock"."addr";
}

/// The global variable that user space freezes before it loads the request programs.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct RequestLayout {
    /// Offsets of the kernel fields.
    pub offsets: RequestOffsets,
    /// Offset of the system call's number in `pt_regs`.
    pub regs_call: u32,
    /// Offset of the system call's second argument in `pt_regs`.
    pub regs_second: u32,
    /// Numbers of the system calls whose second argument is a buffer.
    pub plain_calls: [u32; 4],
    /// Numbers of those where it is an array of `iovec`, and the third argument its length.
    pub vector_calls: [u32; 4],
    /// Numbers of those where it is a `msghdr`.
    pub message_calls: [u32; 2],
    /// Number of the system call that sends a file: never the head of a response.
    pub file_call: u32,
    /// Offset of the system call's third argument in `pt_regs`.
    pub regs_third: u32,
    /// Length of a tick, nanoseconds.
    pub tick_ns: u32,
    /// Offset of the system call's result in `pt_regs`.
    pub regs_result: u32,
    /// Offset of the value that is in that register during the call; [`crate::ABSENT`]: it is `-ENOSYS`.
    pub regs_no_result: u32,
    /// 1: the responses in one send are walked. 0: only the first one counts, where the verifier does not get through a walk.
    pub walks: u32,
}

impl RequestLayout {
    /// Nothing is known of the kernel.
    pub const ABSENT: Self = Self {
        offsets: RequestOffsets::ABSENT,
        regs_call: crate::ABSENT,
        regs_second: crate::ABSENT,
        plain_calls: [crate::ABSENT; 4],
        vector_calls: [crate::ABSENT; 4],
        message_calls: [crate::ABSENT; 2],
        file_call: crate::ABSENT,
        regs_third: crate::ABSENT,
        tick_ns: 0,
        regs_result: crate::ABSENT,
        regs_no_result: crate::ABSENT,
        walks: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy_at(busy_ns: i64, ended_ns: u64, now_ns: u64) -> u64 {
        let counters = RequestCounters {
            busy_ns: busy_ns.cast_unsigned(),
            ..RequestCounters::default()
        };
        let sums = RequestSums {
            counters,
            pending: 0,
            ended_ns,
        };
        sums.counters_at(now_ns).busy_ns
    }

    #[test]
    fn busy_time_goes_on_until_now_or_the_end_of_the_process() {
        assert_eq!(busy_at(30, 0, 1000), 30);
        // 30 ns before, and since 900.
        assert_eq!(busy_at(30 - 900, 0, 1000), 130);
        assert_eq!(busy_at(30 - 900, 950, 1000), 80);
        assert_eq!(busy_at(30 - 1001, 0, 900), 0);
    }
}

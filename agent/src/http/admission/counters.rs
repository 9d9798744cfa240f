//! The HTTP server's counters about itself. The connections write them; the collector `web` reads them.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use hyper::StatusCode;

use super::Limits;
use crate::collector::{ServingLimits, ServingStatistics, UnsentStatistics};

/// All status codes that the server ever sends.
const CODES: [(StatusCode, &str); 17] = [
    (StatusCode::OK, "200"),
    (StatusCode::CREATED, "201"),
    (StatusCode::BAD_REQUEST, "400"),
    (StatusCode::UNAUTHORIZED, "401"),
    (StatusCode::FORBIDDEN, "403"),
    (StatusCode::NOT_FOUND, "404"),
    (StatusCode::METHOD_NOT_ALLOWED, "405"),
    (StatusCode::NOT_ACCEPTABLE, "406"),
    (StatusCode::CONFLICT, "409"),
    (StatusCode::GONE, "410"),
    (StatusCode::PRECONDITION_FAILED, "412"),
    (StatusCode::PAYLOAD_TOO_LARGE, "413"),
    (StatusCode::UNPROCESSABLE_ENTITY, "422"),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "431"),
    (StatusCode::INTERNAL_SERVER_ERROR, "500"),
    (StatusCode::SERVICE_UNAVAILABLE, "503"),
    (StatusCode::INSUFFICIENT_STORAGE, "507"),
];

/// Which time limit was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// The client did not complete a request's header in time, including the TLS handshake before it and the password
    /// check after it.
    Header,
    /// The client did not read a response in time.
    Write,
    /// The state thread did not answer a question in time.
    Owner,
}

impl Timeout {
    /// All variants with their values of the label `phase`, in the order of the variants.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Header, "header"),
        (Self::Write, "write"),
        (Self::Owner, "owner"),
    ];
}

/// Counts since the start of the agent, and the limits that the metrics show beside them. Shared between the
/// connections and the collectors.
#[derive(Debug, Default)]
pub struct HttpCounters {
    limits: Limits,
    connections: ConnectionCounts,
    answers: AnswerCounts,
    /// Failed rereads after a change of the web configuration file or of a file that it names.
    reload_failures: AtomicU64,
    /// Requests by status code of the response, as in [`CODES`].
    requests: [AtomicU64; CODES.len()],
    /// Exceeded time limits, as in [`Timeout::ALL`].
    timeouts: [AtomicU64; Timeout::ALL.len()],
}

#[derive(Debug, Default)]
struct ConnectionCounts {
    /// Open connections now.
    open: AtomicU64,
    /// Connections closed right after accept, because no other could be evicted.
    rejected: AtomicU64,
    /// Connections closed to make room for new ones.
    evicted: AtomicU64,
    /// Failed `accept` calls while a connection waited.
    accept_errors: AtomicU64,
    /// Connections whose TLS handshake failed; handshakes that were too slow count as timeouts.
    handshake_failures: AtomicU64,
}

#[derive(Debug, Default)]
struct AnswerCounts {
    /// Bytes of all answers that clients have not read yet; answers that share one pass count once.
    unsent_bytes: AtomicU64,
    /// Connections closed because their clients did not read their answers while the memory for answers was
    /// exhausted.
    unread: AtomicU64,
    /// Passes delayed because requests came too often.
    delayed_passes: AtomicU64,
}

impl HttpCounters {
    /// All counts are 0.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The counts now, in the form that the collectors take. It includes status codes and phases with count 0.
    pub fn read(&self) -> ServingStatistics {
        let read = |count: &AtomicU64| count.load(Relaxed);
        let (connections, answers, limits) = (&self.connections, &self.answers, &self.limits);
        let codes = CODES.into_iter().map(|(_, name)| name);
        let phases = Timeout::ALL.into_iter().map(|(_, phase)| phase);
        let times = limits.times();
        ServingStatistics {
            connections: read(&connections.open),
            rejected: read(&connections.rejected),
            evicted: read(&connections.evicted),
            accept_errors: read(&connections.accept_errors),
            handshake_failures: read(&connections.handshake_failures),
            reload_failures: read(&self.reload_failures),
            unsent: UnsentStatistics {
                bytes: read(&answers.unsent_bytes),
                max_bytes: limits.unsent_bytes as u64,
                unread: read(&answers.unread),
                delayed_passes: read(&answers.delayed_passes),
            },
            requests: codes.zip(self.requests.iter().map(read)).collect(),
            timeouts: phases.zip(self.timeouts.iter().map(read)).collect(),
            limits: ServingLimits {
                connections: limits.connections as u64,
                header_bytes: limits.header_bytes as u64,
                header_lines: limits.header_lines as u64,
                seconds: times.map(|(name, time)| (name, time.as_secs_f64())).into(),
            },
        }
    }

    pub(in crate::http) fn set_connections(&self, open: usize) {
        self.connections.open.store(open as u64, Relaxed);
    }

    pub(in crate::http) fn count_rejected(&self) {
        self.connections.rejected.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_evicted(&self) {
        self.connections.evicted.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_accept_error(&self) {
        self.connections.accept_errors.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_handshake_failure(&self) {
        self.connections.handshake_failures.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_reload_failure(&self) {
        self.reload_failures.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn set_unsent(&self, bytes: usize) {
        self.answers.unsent_bytes.store(bytes as u64, Relaxed);
    }

    pub(in crate::http) fn count_unread(&self, connections: u64) {
        self.answers.unread.fetch_add(connections, Relaxed);
    }

    pub(in crate::http) fn count_delayed(&self) {
        self.answers.delayed_passes.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_request(&self, code: StatusCode) {
        let at = CODES.iter().position(|(known, _)| *known == code);
        debug_assert!(at.is_some(), "a status code without a counter: {code}");
        if let Some(at) = at {
            self.requests[at].fetch_add(1, Relaxed);
        }
    }

    pub(in crate::http) fn count_timeout(&self, timeout: Timeout) {
        self.timeouts[timeout as usize].fetch_add(1, Relaxed);
    }
}

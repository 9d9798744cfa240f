//! The HTTP server's counters about itself. The connections write them; the collector `web` reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::StatusCode;

use super::Limits;

/// All status codes that the server ever sends.
const CODES: [(StatusCode, &str); 9] = [
    (StatusCode::OK, "200"),
    (StatusCode::BAD_REQUEST, "400"),
    (StatusCode::UNAUTHORIZED, "401"),
    (StatusCode::FORBIDDEN, "403"),
    (StatusCode::NOT_FOUND, "404"),
    (StatusCode::METHOD_NOT_ALLOWED, "405"),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "431"),
    (StatusCode::INTERNAL_SERVER_ERROR, "500"),
    (StatusCode::SERVICE_UNAVAILABLE, "503"),
];

/// Which time limit was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// The client did not complete a request's header in time, including the TLS handshake before it and the password
    /// check after it.
    Header,
    /// The client did not read a response in time.
    Write,
    /// The owner of the state did not answer a question in time.
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

/// Counts since the start of the agent. Shared between the connections and the collectors.
#[derive(Debug, Default)]
pub struct HttpCounters {
    limits: Limits,
    connections: AtomicU64,
    rejected: AtomicU64,
    evicted: AtomicU64,
    accept_errors: AtomicU64,
    handshake_failures: AtomicU64,
    reload_failures: AtomicU64,
    unsent_bytes: AtomicU64,
    unread: AtomicU64,
    delayed: AtomicU64,
    requests: [AtomicU64; CODES.len()],
    timeouts: [AtomicU64; Timeout::ALL.len()],
}

impl HttpCounters {
    /// All counts are 0. `limits` are shown beside the counts.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The limits in force.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Open connections now.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Connections closed right after accept, because no other could be evicted.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    /// Connections closed to make room for new ones.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Failed `accept` calls while a connection waited.
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Relaxed)
    }

    /// Connections whose TLS handshake failed; handshakes that were too slow count as timeouts.
    pub fn handshake_failures(&self) -> u64 {
        self.handshake_failures.load(Relaxed)
    }

    /// Failed rereads after a change of the web configuration file or of a file that it names.
    pub fn reload_failures(&self) -> u64 {
        self.reload_failures.load(Relaxed)
    }

    /// Bytes of all answers that clients have not read yet; answers that share one pass count once.
    pub fn unsent_bytes(&self) -> u64 {
        self.unsent_bytes.load(Relaxed)
    }

    /// Connections closed because their clients did not read their answers while the memory for answers was
    /// exhausted.
    pub fn unread(&self) -> u64 {
        self.unread.load(Relaxed)
    }

    /// Passes delayed because requests came too often.
    pub fn delayed(&self) -> u64 {
        self.delayed.load(Relaxed)
    }

    /// Requests by status code of the response, including codes with count 0.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.requests.iter().map(|count| count.load(Relaxed));
        CODES.into_iter().map(|(_, name)| name).zip(counts)
    }

    /// Exceeded time limits, by [`Timeout`].
    pub fn timeouts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Timeout::ALL
            .into_iter()
            .map(|(timeout, phase)| (phase, self.timeouts[timeout as usize].load(Relaxed)))
    }

    pub(in crate::http) fn set_connections(&self, open: usize) {
        self.connections.store(open as u64, Relaxed);
    }

    pub(in crate::http) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_evicted(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_accept_error(&self) {
        self.accept_errors.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_handshake_failure(&self) {
        self.handshake_failures.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn count_reload_failure(&self) {
        self.reload_failures.fetch_add(1, Relaxed);
    }

    pub(in crate::http) fn set_unsent(&self, bytes: usize) {
        self.unsent_bytes.store(bytes as u64, Relaxed);
    }

    pub(in crate::http) fn count_unread(&self, connections: u64) {
        self.unread.fetch_add(connections, Relaxed);
    }

    pub(in crate::http) fn count_delayed(&self) {
        self.delayed.fetch_add(1, Relaxed);
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

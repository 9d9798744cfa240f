//! What the HTTP side counts about itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::StatusCode;

use super::Limits;

/// All status codes that are ever answered.
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

/// Whose time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// A client's, sending a request's header; before it there may be a handshake, after it a password to check.
    Header,
    /// A client's, taking a response.
    Write,
    /// The owner's, answering a question.
    Owner,
}

impl Timeout {
    /// All with the values of the label `phase`, in the order of the variants.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Header, "header"),
        (Self::Write, "write"),
        (Self::Owner, "owner"),
    ];
}

/// Counts since the start. Shared between the connections and whoever shows them.
#[derive(Debug, Default)]
pub struct Statistics {
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

impl Statistics {
    /// Nothing has happened yet under these `limits`, which are told beside the counts.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// What applies.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Open connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Connections closed at once, because none of the others had to give way.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    /// Connections closed to make room for new ones.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Connections that the system could not accept.
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Relaxed)
    }

    /// Connections that ended in their TLS handshake; those that were too slow are among the timeouts.
    pub fn handshake_failures(&self) -> u64 {
        self.handshake_failures.load(Relaxed)
    }

    /// Changes of the web configuration, or of a file it names, that could not be used.
    pub fn reload_failures(&self) -> u64 {
        self.reload_failures.load(Relaxed)
    }

    /// Bytes of all answers that clients have not taken yet; answers of one pass count once.
    pub fn unsent_bytes(&self) -> u64 {
        self.unsent_bytes.load(Relaxed)
    }

    /// Connections closed because their clients did not take answers while the memory for answers was used up.
    pub fn unread(&self) -> u64 {
        self.unread.load(Relaxed)
    }

    /// Passes that were put off because requests came too often.
    pub fn delayed(&self) -> u64 {
        self.delayed.load(Relaxed)
    }

    /// Requests by the status code of their answer, all codes that there are.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.requests.iter().map(|count| count.load(Relaxed));
        CODES.into_iter().map(|(_, name)| name).zip(counts)
    }

    /// Times up, by [`Timeout`].
    pub fn timeouts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Timeout::ALL
            .into_iter()
            .map(|(timeout, phase)| (phase, self.timeouts[timeout as usize].load(Relaxed)))
    }

    pub(super) fn set_connections(&self, open: usize) {
        self.connections.store(open as u64, Relaxed);
    }

    pub(super) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(super) fn count_evicted(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    pub(super) fn count_accept_error(&self) {
        self.accept_errors.fetch_add(1, Relaxed);
    }

    pub(super) fn count_handshake_failure(&self) {
        self.handshake_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn count_reload_failure(&self) {
        self.reload_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn set_unsent(&self, bytes: usize) {
        self.unsent_bytes.store(bytes as u64, Relaxed);
    }

    pub(super) fn count_unread(&self, connections: u64) {
        self.unread.fetch_add(connections, Relaxed);
    }

    pub(super) fn count_delayed(&self) {
        self.delayed.fetch_add(1, Relaxed);
    }

    pub(super) fn count_request(&self, code: StatusCode) {
        let at = CODES.iter().position(|(known, _)| *known == code);
        debug_assert!(at.is_some(), "a status code without a counter: {code}");
        if let Some(at) = at {
            self.requests[at].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn count_timeout(&self, timeout: Timeout) {
        self.timeouts[timeout as usize].fetch_add(1, Relaxed);
    }
}

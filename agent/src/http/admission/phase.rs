//! The phase of a connection, and its deadline.
//!
//! ```text
//!  start --> Head --(request admitted)--> Serving --(first byte)--> Writing --(last byte)--> Idle
//!              ^                                                                               |
//!              +----------------------------------(first byte)---------------------------------+
//! ```
//!
//! The stream and the service report events to the [`Watch`]; the connection's driver reads the deadline after each
//! step. `Serving` has no deadline here, because the time limit for the answer bounds it.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::Limits;
use super::origin::ClientOrigin;

/// The phase of a connection. The order matters: when a connection must be evicted, earlier variants go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) enum ConnectionPhase {
    /// Between two requests.
    Idle,
    /// A request is arriving: its TLS handshake, if any, its header, and the check of its password.
    Head,
    /// A response is being sent.
    Writing,
    /// The request waits for the answer of the state thread.
    Serving,
}

/// The phase of one connection and when it began.
#[derive(Debug)]
pub(in crate::http) struct Watch {
    /// The client's origin.
    pub(in crate::http) origin: ClientOrigin,
    limits: Limits,
    now: Mutex<(ConnectionPhase, Instant)>,
    evicted: tokio::sync::Notify,
}

impl Watch {
    pub(in crate::http) fn new(limits: Limits, origin: ClientOrigin) -> Self {
        let evicted = tokio::sync::Notify::new();
        Self {
            origin,
            limits,
            now: Mutex::new((ConnectionPhase::Head, Instant::now())),
            evicted,
        }
    }

    /// The phase and when it began.
    pub(in crate::http) fn now(&self) -> (ConnectionPhase, Instant) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the phase must be over; `None` while serving.
    pub(in crate::http) fn deadline(&self) -> Option<Instant> {
        let (phase, since) = self.now();
        match phase {
            ConnectionPhase::Idle => Some(since + self.limits.idle),
            ConnectionPhase::Head => Some(since + self.limits.header),
            ConnectionPhase::Writing => Some(since + self.limits.write),
            ConnectionPhase::Serving => None,
        }
    }

    /// Bytes arrived.
    pub(in crate::http) fn received(&self) {
        self.step(|phase| (phase == ConnectionPhase::Idle).then_some(ConnectionPhase::Head));
    }

    /// A request is complete and admitted.
    pub(in crate::http) fn serving(&self) {
        self.step(|_| Some(ConnectionPhase::Serving));
    }

    /// Bytes are about to be sent.
    pub(in crate::http) fn sending(&self) {
        self.step(|phase| (phase != ConnectionPhase::Writing).then_some(ConnectionPhase::Writing));
    }

    /// All bytes are sent.
    pub(in crate::http) fn flushed(&self) {
        self.step(|phase| (phase == ConnectionPhase::Writing).then_some(ConnectionPhase::Idle));
    }

    /// Makes the connection close at once.
    pub(in crate::http) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Ready once [`Self::evict`] was called.
    pub(in crate::http) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn step(&self, next: impl FnOnce(ConnectionPhase) -> Option<ConnectionPhase>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(phase) = next(now.0) {
            *now = (phase, Instant::now());
        }
    }
}

//! What a connection is doing, and until when it may.
//!
//! ```text
//!  start --> Head --(request admitted)--> Serving --(first byte)--> Writing --(last byte)--> Idle
//!              ^                                                                               |
//!              +----------------------------------(first byte)---------------------------------+
//! ```
//!
//! The stream and the service report, the connection's driver looks at the deadline after each step. Serving has none: the
//! owner's deadline bounds it.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::Limits;
use super::origin::Origin;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Between two requests.
    Idle,
    /// A request is arriving: a TLS handshake, if any, its header, and the check of its password.
    Head,
    /// A response is leaving.
    Writing,
    /// The owner is asked.
    Serving,
}

/// The phase of one connection, and since when.
#[derive(Debug)]
pub(super) struct Watch {
    /// Where its client is.
    pub(super) origin: Origin,
    limits: Limits,
    now: Mutex<(Phase, Instant)>,
    evicted: tokio::sync::Notify,
}

impl Watch {
    pub(super) fn new(limits: Limits, origin: Origin) -> Self {
        let evicted = tokio::sync::Notify::new();
        Self {
            origin,
            limits,
            now: Mutex::new((Phase::Head, Instant::now())),
            evicted,
        }
    }

    /// Phase and its beginning.
    pub(super) fn now(&self) -> (Phase, Instant) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the phase must be over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (phase, since) = self.now();
        match phase {
            Phase::Idle => Some(since + self.limits.idle),
            Phase::Head => Some(since + self.limits.header),
            Phase::Writing => Some(since + self.limits.write),
            Phase::Serving => None,
        }
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        self.step(|phase| (phase == Phase::Idle).then_some(Phase::Head));
    }

    /// A request is complete and may be answered.
    pub(super) fn serving(&self) {
        self.step(|_| Some(Phase::Serving));
    }

    /// Bytes are to go out.
    pub(super) fn sending(&self) {
        self.step(|phase| (phase != Phase::Writing).then_some(Phase::Writing));
    }

    /// All bytes are out.
    pub(super) fn flushed(&self) {
        self.step(|phase| (phase == Phase::Writing).then_some(Phase::Idle));
    }

    /// Asks the connection to end at once.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Ends when [`Self::evict`] was called.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn step(&self, next: impl FnOnce(Phase) -> Option<Phase>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(phase) = next(now.0) {
            *now = (phase, Instant::now());
        }
    }
}

//! Sums of counters: field by field, by scope, and the payload in them.

use super::{NetworkCounters, SCOPE_LISTEN, SCOPE_REMOTE, SCOPES};

/// Payload of TCP and UDP: without headers, without repetitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Payload {
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

impl Payload {
    /// Adds `more`.
    pub fn add(&mut self, more: Self) {
        self.sent_bytes = self.sent_bytes.saturating_add(more.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(more.received_bytes);
    }
}

/// The payload of sockets, by scope. Only `listen_drops` belongs to the scope of listening sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkTally([NetworkCounters; SCOPES]);

impl NetworkTally {
    /// The counters of a scope; zeros for a number that is no scope.
    pub fn of(&self, scope: usize) -> NetworkCounters {
        self.0.get(scope).copied().unwrap_or_default()
    }

    /// Adds `more` to `scope`. Counts that only connections have but that were made for a listening socket go to the scope
    /// `remote`, so that all payload is in a scope that is shown.
    pub fn put(&mut self, scope: usize, more: &NetworkCounters) {
        const LISTEN: usize = SCOPE_LISTEN as usize;
        const REMOTE: usize = SCOPE_REMOTE as usize;
        let listen_drops = self.0[LISTEN].listen_drops;
        self.0[LISTEN].listen_drops = listen_drops.saturating_add(more.listen_drops);
        let place = if scope == LISTEN { REMOTE } else { scope };
        let rest = NetworkCounters {
            listen_drops: 0,
            ..*more
        };
        if let Some(counters) = self.0.get_mut(place) {
            *counters = combined(counters, &rest, u64::saturating_add);
        }
    }

    /// Adds `more`.
    pub fn add(&mut self, more: &Self) {
        for (scope, more) in more.0.iter().enumerate() {
            self.put(scope, more);
        }
    }

    /// The payload of all scopes.
    pub fn payload(&self) -> Payload {
        let mut all = Payload::default();
        self.0.iter().for_each(|one| all.add(payload(one)));
        all
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The payload in `counters`.
pub(in super::super) const fn payload(counters: &NetworkCounters) -> Payload {
    Payload {
        sent_bytes: counters.sent_bytes,
        received_bytes: counters.received_bytes,
    }
}

/// Raises `booked` to `now`. Returns the rise. If a counter is lower than before, the kernel has begun the entry anew, and all of
/// `now` is the rise.
pub(in super::super) fn raise(
    booked: &mut NetworkCounters,
    now: &NetworkCounters,
) -> NetworkCounters {
    let before = combined(booked, now, u64::min);
    if before != *booked {
        *booked = NetworkCounters::default();
    }
    let rise = combined(now, booked, u64::saturating_sub);
    *booked = *now;
    rise
}

/// Combines two sets of counters field by field.
fn combined(
    one: &NetworkCounters,
    other: &NetworkCounters,
    with: impl Fn(u64, u64) -> u64,
) -> NetworkCounters {
    let mut failures = one.failures;
    for (failure, more) in failures.iter_mut().zip(other.failures) {
        *failure = with(*failure, more);
    }
    // Written out, so that the compiler rejects a new field that is missing here.
    NetworkCounters {
        sent_bytes: with(one.sent_bytes, other.sent_bytes),
        received_bytes: with(one.received_bytes, other.received_bytes),
        sent_segments: with(one.sent_segments, other.sent_segments),
        retransmitted_segments: with(one.retransmitted_segments, other.retransmitted_segments),
        opened_client: with(one.opened_client, other.opened_client),
        opened_server: with(one.opened_server, other.opened_server),
        closed: with(one.closed, other.closed),
        failures,
        rtt_sum_us: with(one.rtt_sum_us, other.rtt_sum_us),
        rtt_count: with(one.rtt_count, other.rtt_count),
        listen_drops: with(one.listen_drops, other.listen_drops),
    }
}

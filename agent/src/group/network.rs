//! The payload of the sockets of a group's members, and the gauges of the living ones.

use crate::process::{NetworkCounters, NetworkGauges, NetworkTally, SCOPES};

/// The sockets of one group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupNetwork {
    /// All that was ever booked to the group. Never falls.
    pub total: NetworkTally,
    /// The gauges of the living sockets of its members at the last look, by scope.
    pub living: [NetworkGauges; SCOPES],
    /// Whether a socket ever lived in a scope. Its counters stay when the last one is gone, even if they are 0.
    has_lived: [bool; SCOPES],
}

/// The sockets of one group in one scope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkScope {
    /// All that was ever booked.
    pub total: NetworkCounters,
    /// The gauges of the living sockets at the last look.
    pub living: NetworkGauges,
}

impl GroupNetwork {
    /// The sockets in the scope with the number `nth`; `None` if nothing was ever counted there, and no socket lived.
    pub fn scope(&self, nth: usize) -> Option<NetworkScope> {
        let scope = NetworkScope {
            total: self.total.of(nth),
            living: self.living.get(nth).copied().unwrap_or_default(),
        };
        let is_counted = scope.total != NetworkCounters::default();
        let has_lived = self.has_lived.get(nth) == Some(&true);
        (is_counted || has_lived || scope.sockets() > 0).then_some(scope)
    }

    /// Number of established connections at the last look.
    pub fn connections(&self) -> u64 {
        let established = self.living.iter();
        established
            .map(|living| u64::from(living.established))
            .sum()
    }

    /// Clears the gauges of living sockets, before they are summed up anew.
    pub(super) fn clear_living(&mut self) {
        self.living = Default::default();
    }

    /// Adds the gauges of the living sockets of one member in `scope`.
    pub(super) fn add_living(&mut self, scope: usize, more: &NetworkGauges) {
        let Some(sum) = self.living.get_mut(scope) else {
            return;
        };
        *sum = NetworkGauges {
            look: more.look,
            established: sum.established.saturating_add(more.established),
            listen: sum.listen.saturating_add(more.listen),
            closing: sum.closing.saturating_add(more.closing),
            other: sum.other.saturating_add(more.other),
            rtt_sum_us: sum.rtt_sum_us.saturating_add(more.rtt_sum_us),
            rtt_count: sum.rtt_count.saturating_add(more.rtt_count),
            rtt_max_us: sum.rtt_max_us.max(more.rtt_max_us),
            listen_queue: sum.listen_queue.saturating_add(more.listen_queue),
            listen_queue_limit: sum
                .listen_queue_limit
                .saturating_add(more.listen_queue_limit),
        };
        if let Some(has_lived) = self.has_lived.get_mut(scope) {
            *has_lived = true;
        }
    }
}

impl NetworkScope {
    /// Number of living sockets.
    pub fn sockets(&self) -> u64 {
        let NetworkGauges {
            established,
            listen,
            closing,
            other,
            ..
        } = self.living;
        [established, listen, closing, other]
            .map(u64::from)
            .iter()
            .sum()
    }
}

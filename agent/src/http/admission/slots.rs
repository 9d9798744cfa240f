//! The bounded set of open connections, and which connection closes when a new one arrives and all slots are taken.
//!
//! If the agent turned new connections away, 64 idle ones would be enough to lock Prometheus out. So it accepts the
//! new connection and evicts another: from the origin with most connections, the one that has waited longest for its
//! client. Idle connections go first, then those whose request does not arrive, then those whose response is not
//! read. A connection of another origin is evicted only if that origin has more connections than the new one's, so a
//! flood evicts its own. Connections that wait for the agent (phase `Serving`) are evicted only if their origin has
//! at least two more than the new one's: a flood of scrapes does not displace the scrapes of others.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::origin::ClientOrigin;
use super::phase::{ConnectionPhase, Watch};
use super::{HttpCounters, Limits};

/// The open connections, at most [`Limits::connections`].
#[derive(Debug)]
pub(in crate::http) struct ConnectionSlots {
    limits: Limits,
    counters: Arc<HttpCounters>,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    watches: HashMap<u64, Arc<Watch>>,
}

/// One slot among the open connections; dropping it frees the slot.
#[derive(Debug)]
pub(in crate::http) struct ConnectionSlot {
    pub(in crate::http) watch: Arc<Watch>,
    slots: Arc<ConnectionSlots>,
    id: u64,
}

impl ConnectionSlots {
    pub(in crate::http) fn new(limits: Limits, counters: Arc<HttpCounters>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counters,
            open: Mutex::default(),
        })
    }

    /// Takes a slot for a new connection from `origin`, evicting another connection if all are taken. `None` if no
    /// other may be evicted; the new connection is then counted as rejected.
    pub(in crate::http) fn take(self: &Arc<Self>, origin: ClientOrigin) -> Option<ConnectionSlot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.watches.len() >= self.limits.connections && !self.evict(&mut open, Some(origin)) {
            self.counters.count_rejected();
            return None;
        }
        let watch = Arc::new(Watch::new(self.limits.clone(), origin));
        let id = open.next;
        open.next += 1;
        open.watches.insert(id, Arc::clone(&watch));
        self.counters.set_connections(open.watches.len());
        Some(ConnectionSlot {
            watch,
            slots: Arc::clone(self),
            id,
        })
    }

    /// Evicts the connection that has waited longest, because the system has no descriptor for another. Returns
    /// whether there was one to evict.
    pub(in crate::http) fn evict_one(&self) -> bool {
        self.evict(
            &mut self.open.lock().unwrap_or_else(PoisonError::into_inner),
            None,
        )
    }

    /// Frees the slot at once; the connection's task ends a moment later.
    fn evict(&self, open: &mut OpenConnections, newcomer: Option<ClientOrigin>) -> bool {
        let victim = victim(&open.watches, newcomer);
        let Some(watch) = victim.and_then(|id| open.watches.remove(&id)) else {
            return false;
        };
        watch.evict();
        self.counters.count_evicted();
        true
    }
}

/// The connection to evict for one from `newcomer`, or, with `None`, to free a descriptor.
fn victim(watches: &HashMap<u64, Arc<Watch>>, newcomer: Option<ClientOrigin>) -> Option<u64> {
    let mut counts: HashMap<ClientOrigin, usize> = HashMap::new();
    for watch in watches.values() {
        *counts.entry(watch.origin).or_default() += 1;
    }
    let count = |origin: &ClientOrigin| counts.get(origin).copied().unwrap_or_default();
    let own = newcomer.as_ref().map_or(0, count);
    let gives_way = |origin: &ClientOrigin, phase: ConnectionPhase| {
        let waits = phase != ConnectionPhase::Serving;
        match newcomer {
            Some(newcomer) if newcomer != *origin => count(origin) > own + usize::from(!waits),
            _ => waits,
        }
    };
    watches
        .iter()
        .map(|(id, watch)| (&watch.origin, watch.now(), id))
        .filter(|(origin, (phase, _), _)| gives_way(origin, *phase))
        .min_by_key(|(origin, now, id)| (Reverse(count(origin)), *now, *id))
        .map(|(.., id)| *id)
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self
            .slots
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.watches.remove(&self.id);
        self.slots.counters.set_connections(open.watches.len());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn slots(connections: usize) -> (Arc<ConnectionSlots>, Arc<HttpCounters>) {
        let counters = Arc::new(HttpCounters::default());
        let limits = Limits {
            connections,
            ..Limits::default()
        };
        (
            ConnectionSlots::new(limits, Arc::clone(&counters)),
            counters,
        )
    }

    #[tokio::test]
    async fn longest_waiting_connection_is_evicted() {
        let (slots, counters) = slots(3);
        let served = slots.take(client_a()).unwrap();
        served.watch.serving();
        let writing = slots.take(client_a()).unwrap();
        writing.watch.sending();
        let head = slots.take(client_a()).unwrap();

        let newest = slots.take(client_a()).unwrap();
        newest.watch.serving();
        head.watch.evicted().await;
        drop(head);
        let newest_again = slots.take(client_a()).unwrap();
        newest_again.watch.serving();
        writing.watch.evicted().await;
        assert_eq!((counters.read().evicted, counters.read().rejected), (2, 0));

        assert!(slots.take(client_a()).is_none(), "all are being served");
        assert_eq!(
            (counters.read().connections, counters.read().rejected),
            (3, 1)
        );
        drop(served);
        assert_eq!(counters.read().connections, 2);
        assert!(slots.take(client_a()).is_some());
    }

    fn client_a() -> ClientOrigin {
        Ipv4Addr::new(10, 0, 0, 1).into()
    }

    fn client_b() -> ClientOrigin {
        Ipv4Addr::new(10, 0, 0, 2).into()
    }

    #[tokio::test]
    async fn new_connection_evicts_one_of_the_client_with_most() {
        let (slots, counters) = slots(3);
        let oldest = slots.take(client_a()).unwrap();
        let flood = [0, 1].map(|_| slots.take(client_b()).unwrap());
        let _third = slots.take(client_b()).unwrap();
        flood[0].watch.evicted().await;
        let _second = slots.take(client_a()).unwrap();
        flood[1].watch.evicted().await;
        // Now most connections are from client a.
        let _fourth = slots.take(client_b()).unwrap();
        oldest.watch.evicted().await;
        assert_eq!((counters.read().evicted, counters.read().rejected), (3, 0));
    }

    #[tokio::test]
    async fn served_connection_is_evicted_only_for_a_client_with_fewer() {
        let (slots, counters) = slots(4);
        let idle = slots.take(client_a()).unwrap();
        let served = [0, 1, 2].map(|_| slots.take(client_b()).unwrap());
        served.iter().for_each(|slot| slot.watch.serving());
        assert!(slots.take(client_b()).is_none());
        let second = slots.take(client_a()).unwrap();
        served[0].watch.evicted().await;
        second.watch.serving();
        assert_eq!((counters.read().evicted, counters.read().rejected), (1, 1));
        // Each origin has two, so neither has more than the other, and the idle one is from client a.
        assert!(slots.take(client_b()).is_none());
        let _third = slots.take(client_a()).unwrap();
        idle.watch.evicted().await;
    }
}

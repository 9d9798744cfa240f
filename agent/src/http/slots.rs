//! The bounded set of open connections, and who gives way when it is full.
//!
//! Were new connections turned away, sixty-four idle ones would be enough to keep Prometheus out. So the newest always gets in,
//! and the one that has waited longest for its client goes: idle ones first, then those whose request does not arrive, then those
//! whose response is not taken. Connections that wait for us are never closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::phase::{Phase, Watch};
use super::{Limits, Statistics};

/// The open connections.
#[derive(Debug)]
pub(super) struct Slots {
    limits: Limits,
    statistics: Arc<Statistics>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    watches: HashMap<u64, Arc<Watch>>,
}

/// One place among the open connections; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) watch: Arc<Watch>,
    slots: Arc<Slots>,
    id: u64,
}

impl Slots {
    pub(super) fn new(limits: Limits, statistics: Arc<Statistics>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            statistics,
            open: Mutex::default(),
        })
    }

    /// A place for a new connection; `None` when all others are being served.
    pub(super) fn take(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.watches.len() >= self.limits.connections && !self.evict_longest(&mut open) {
            self.statistics.count_rejected();
            return None;
        }
        let watch = Arc::new(Watch::new(self.limits.clone()));
        let id = open.next;
        open.next += 1;
        open.watches.insert(id, Arc::clone(&watch));
        self.statistics.set_connections(open.watches.len());
        Some(Slot {
            watch,
            slots: Arc::clone(self),
            id,
        })
    }

    /// Ends the connection that has waited longest, because the system has no descriptor for another. Tells whether one
    /// waited.
    pub(super) fn make_room(&self) -> bool {
        self.evict_longest(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The place is free at once, the connection's task ends a moment later.
    fn evict_longest(&self, open: &mut Open) -> bool {
        let longest = longest_waiting(&open.watches);
        let Some(watch) = longest.and_then(|id| open.watches.remove(&id)) else {
            return false;
        };
        watch.evict();
        self.statistics.count_evicted();
        true
    }
}

fn longest_waiting(watches: &HashMap<u64, Arc<Watch>>) -> Option<u64> {
    watches
        .iter()
        .map(|(id, watch)| (watch.now(), id))
        .filter(|((phase, _), _)| *phase != Phase::Serving)
        .min()
        .map(|(_, id)| *id)
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self
            .slots
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.watches.remove(&self.id);
        self.slots.statistics.set_connections(open.watches.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(connections: usize) -> (Arc<Slots>, Arc<Statistics>) {
        let statistics = Arc::new(Statistics::default());
        let limits = Limits {
            connections,
            ..Limits::default()
        };
        (Slots::new(limits, Arc::clone(&statistics)), statistics)
    }

    #[tokio::test]
    async fn the_connection_that_waited_longest_gives_way() {
        let (slots, statistics) = slots(3);
        let served = slots.take().unwrap();
        served.watch.serving();
        let writing = slots.take().unwrap();
        writing.watch.sending();
        let head = slots.take().unwrap();

        let newest = slots.take().unwrap();
        newest.watch.serving();
        head.watch.evicted().await;
        drop(head);
        let newest_again = slots.take().unwrap();
        newest_again.watch.serving();
        writing.watch.evicted().await;
        assert_eq!((statistics.evicted(), statistics.rejected()), (2, 0));

        assert!(slots.take().is_none(), "all are being served");
        assert_eq!((statistics.connections(), statistics.rejected()), (3, 1));
        drop(served);
        assert_eq!(statistics.connections(), 2);
        assert!(slots.take().is_some());
    }
}

//! The bounded set of open connections, and who gives way when it is full.
//!
//! Were new connections turned away, sixty-four idle ones would be enough to keep Prometheus out. So the newest gets in, and another
//! goes: of those from where most come, the one that has waited longest for its client; idle ones first, then those whose request does
//! not arrive, then those whose response is not taken. Nobody closes those of others who have no more, so a flood closes its own.
//! Connections that wait for us go only where their origin has more than the new one's: a flood of scrapes is no way in.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::origin::Origin;
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

    /// A place for a new connection from `origin`; `None` when no other must give way.
    pub(super) fn take(self: &Arc<Self>, origin: Origin) -> Option<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.watches.len() >= self.limits.connections && !self.evict(&mut open, Some(origin)) {
            self.statistics.count_rejected();
            return None;
        }
        let watch = Arc::new(Watch::new(self.limits.clone(), origin));
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
        self.evict(
            &mut self.open.lock().unwrap_or_else(PoisonError::into_inner),
            None,
        )
    }

    /// The place is free at once, the connection's task ends a moment later.
    fn evict(&self, open: &mut Open, newcomer: Option<Origin>) -> bool {
        let victim = victim(&open.watches, newcomer);
        let Some(watch) = victim.and_then(|id| open.watches.remove(&id)) else {
            return false;
        };
        watch.evict();
        self.statistics.count_evicted();
        true
    }
}

/// Who gives way to one from `newcomer`, or to nobody in particular.
fn victim(watches: &HashMap<u64, Arc<Watch>>, newcomer: Option<Origin>) -> Option<u64> {
    let mut counts: HashMap<Origin, usize> = HashMap::new();
    for watch in watches.values() {
        *counts.entry(watch.origin).or_default() += 1;
    }
    let count = |origin: &Origin| counts.get(origin).copied().unwrap_or_default();
    let own = newcomer.as_ref().map_or(0, count);
    let gives_way = |origin: &Origin, phase: Phase| {
        let waits = phase != Phase::Serving;
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
    use std::net::Ipv4Addr;

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
        let served = slots.take(here()).unwrap();
        served.watch.serving();
        let writing = slots.take(here()).unwrap();
        writing.watch.sending();
        let head = slots.take(here()).unwrap();

        let newest = slots.take(here()).unwrap();
        newest.watch.serving();
        head.watch.evicted().await;
        drop(head);
        let newest_again = slots.take(here()).unwrap();
        newest_again.watch.serving();
        writing.watch.evicted().await;
        assert_eq!((statistics.evicted(), statistics.rejected()), (2, 0));

        assert!(slots.take(here()).is_none(), "all are being served");
        assert_eq!((statistics.connections(), statistics.rejected()), (3, 1));
        drop(served);
        assert_eq!(statistics.connections(), 2);
        assert!(slots.take(here()).is_some());
    }

    fn here() -> Origin {
        Ipv4Addr::new(10, 0, 0, 1).into()
    }

    fn there() -> Origin {
        Ipv4Addr::new(10, 0, 0, 2).into()
    }

    #[tokio::test]
    async fn who_opens_many_closes_his_own() {
        let (slots, statistics) = slots(3);
        let oldest = slots.take(here()).unwrap();
        let flood = [0, 1].map(|_| slots.take(there()).unwrap());
        let _third = slots.take(there()).unwrap();
        flood[0].watch.evicted().await;
        let _second = slots.take(here()).unwrap();
        flood[1].watch.evicted().await;
        // Now most are from here.
        let _fourth = slots.take(there()).unwrap();
        oldest.watch.evicted().await;
        assert_eq!((statistics.evicted(), statistics.rejected()), (3, 0));
    }

    #[tokio::test]
    async fn who_is_served_much_makes_room_for_others_but_not_for_himself() {
        let (slots, statistics) = slots(4);
        let idle = slots.take(here()).unwrap();
        let served = [0, 1, 2].map(|_| slots.take(there()).unwrap());
        served.iter().for_each(|slot| slot.watch.serving());
        assert!(slots.take(there()).is_none());
        let second = slots.take(here()).unwrap();
        served[0].watch.evicted().await;
        second.watch.serving();
        assert_eq!((statistics.evicted(), statistics.rejected()), (1, 1));
        // Two each: nobody has too many, and the idle one is from here.
        assert!(slots.take(there()).is_none());
        let _third = slots.take(here()).unwrap();
        idle.watch.evicted().await;
    }
}

//! Turns at what only one may do at a time, origin by origin: however many wait from one, those of others have every second turn.
//!
//! Nothing is remembered of who does not wait. Who waits is in a round: the one after that of the present turn, or after the last of his
//! origin's who wait already. Of the earliest round the one who came first is next.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::http::origin::Origin;

/// A turn and the queue for it, which is as long as there are connections.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    is_taken: bool,
    /// That of the present turn.
    round: u64,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    origin: Origin,
    round: u64,
    call: oneshot::Sender<Turn>,
}

/// The right to go on; the next one has it when this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

impl Turns {
    /// Waits for a turn. Who stops waiting holds up nobody.
    pub(super) async fn turn(self: &Arc<Self>, origin: Origin) -> Turn {
        let (call, called) = oneshot::channel();
        {
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !queue.is_taken {
                queue.is_taken = true;
                return Turn(Arc::clone(self));
            }
            queue.waiting.retain(|waiting| !waiting.call.is_closed());
            let of_origin = queue.waiting.iter().filter(|one| one.origin == origin);
            let last = of_origin.map(|one| one.round).max();
            let round = last.unwrap_or(queue.round) + 1;
            queue.waiting.push(Waiting {
                origin,
                round,
                call,
            });
        }
        match called.await {
            Ok(turn) => turn,
            // Cannot be: a turn that is given up calls the next one.
            Err(_) => std::future::pending().await,
        }
    }

    /// Who is next; without anybody the turn is free.
    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.retain(|waiting| !waiting.call.is_closed());
        let first = queue.waiting.iter().enumerate();
        let first = first.min_by_key(|(at, waiting)| (waiting.round, *at));
        let first = first.map(|(at, _)| at);
        queue.is_taken = first.is_some();
        let next = queue.waiting.remove(first?);
        queue.round = next.round;
        Some(next.call)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(call) = self.0.next() {
            // One who has just left gives it back, and that drops it again.
            let _ = call.send(Turn(Arc::clone(&self.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::task::JoinHandle;

    fn origin(last: u8) -> Origin {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// One who waits, and puts his name into `order` when it is his turn.
    async fn queue(
        turns: &Arc<Turns>,
        from: u8,
        name: &'static str,
        order: &Arc<Mutex<Vec<&'static str>>>,
    ) -> JoinHandle<()> {
        let (turns, order) = (Arc::clone(turns), Arc::clone(order));
        let handle = tokio::spawn(async move {
            let _turn = turns.turn(origin(from)).await;
            order.lock().unwrap().push(name);
        });
        tokio::task::yield_now().await;
        handle
    }

    #[tokio::test]
    async fn who_floods_waits_for_himself() {
        let (turns, order) = (Arc::new(Turns::default()), Arc::default());
        let first = turns.turn(origin(1)).await;
        let mut waiting = Vec::new();
        for (from, name) in [
            (1, "a1"),
            (1, "a2"),
            (1, "a3"),
            (2, "b1"),
            (1, "a4"),
            (2, "b2"),
            (3, "c1"),
        ] {
            waiting.push(queue(&turns, from, name, &order).await);
        }
        drop(first);
        for one in waiting {
            one.await.unwrap();
        }
        let order = order.lock().unwrap();
        assert_eq!(*order, ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
    }

    #[tokio::test]
    async fn who_leaves_holds_up_nobody_and_takes_no_room() {
        let (turns, order) = (Arc::new(Turns::default()), Arc::default());
        let first = turns.turn(origin(1)).await;
        for _ in 0..100 {
            let gone = queue(&turns, 2, "gone", &order).await;
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        let last = queue(&turns, 1, "last", &order).await;
        assert_eq!(turns.0.lock().unwrap().waiting.len(), 1);
        drop(first);
        last.await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["last"]);
        assert!(!turns.0.lock().unwrap().is_taken);
    }

    /// Called, but not yet told so.
    #[tokio::test]
    async fn a_turn_that_is_not_taken_any_more_goes_on() {
        let (turns, order) = (Arc::new(Turns::default()), Arc::default());
        let first = turns.turn(origin(1)).await;
        let called = queue(&turns, 1, "called", &order).await;
        let next = queue(&turns, 1, "next", &order).await;
        drop(first);
        called.abort();
        next.await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["next"]);
    }
}

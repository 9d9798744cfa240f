//! A fair queue for work that runs one at a time (password hashes), round-robin by origin: however many requests of
//! one origin wait, other origins get at least every second turn.
//!
//! The queue keeps no state of origins without waiting requests. Each waiting request has a round: the one after the
//! present turn's, or after that of its origin's last waiting request. Of the earliest round, the request that came
//! first is next.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::origin::ClientOrigin;

/// The current turn and the queue for it. The queue is at most as long as there are connections.
#[derive(Debug, Default)]
pub(in crate::http) struct FairQueue(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    is_taken: bool,
    /// The round of the current turn.
    round: u64,
    /// In order of arrival.
    waiting: Vec<WaitingRequest>,
}

#[derive(Debug)]
struct WaitingRequest {
    origin: ClientOrigin,
    round: u64,
    call: oneshot::Sender<Turn>,
}

/// The permit to run; dropping it passes the turn to the next request.
#[derive(Debug)]
pub(in crate::http) struct Turn(Arc<FairQueue>);

impl FairQueue {
    /// Waits for a turn. A caller that stops waiting does not delay the others.
    pub(in crate::http) async fn turn(self: &Arc<Self>, origin: ClientOrigin) -> Turn {
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
            queue.waiting.push(WaitingRequest {
                origin,
                round,
                call,
            });
        }
        match called.await {
            Ok(turn) => turn,
            // Unreachable: a turn that is dropped always calls the next waiting request.
            Err(_) => std::future::pending().await,
        }
    }

    /// Removes and returns the next waiting request; without one, the turn becomes free.
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
            // If that request has just been cancelled, the turn comes back and is dropped, which calls the one after
            // it.
            let _ = call.send(Turn(Arc::clone(&self.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::task::JoinHandle;

    use super::*;

    fn origin(last: u8) -> ClientOrigin {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// Starts a task that waits for a turn and then appends its name to `order`.
    async fn enqueue(
        queue: &Arc<FairQueue>,
        from: u8,
        name: &'static str,
        order: &Arc<Mutex<Vec<&'static str>>>,
    ) -> JoinHandle<()> {
        let (queue, order) = (Arc::clone(queue), Arc::clone(order));
        let handle = tokio::spawn(async move {
            let _turn = queue.turn(origin(from)).await;
            order.lock().unwrap().push(name);
        });
        tokio::task::yield_now().await;
        handle
    }

    #[tokio::test]
    async fn flood_from_one_origin_delays_only_itself() {
        let (queue, order) = (Arc::new(FairQueue::default()), Arc::default());
        let first = queue.turn(origin(1)).await;
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
            waiting.push(enqueue(&queue, from, name, &order).await);
        }
        drop(first);
        for one in waiting {
            one.await.unwrap();
        }
        let order = order.lock().unwrap();
        assert_eq!(*order, ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
    }

    #[tokio::test]
    async fn cancelled_request_leaves_the_queue() {
        let (queue, order) = (Arc::new(FairQueue::default()), Arc::default());
        let first = queue.turn(origin(1)).await;
        for _ in 0..100 {
            let gone = enqueue(&queue, 2, "gone", &order).await;
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        let last = enqueue(&queue, 1, "last", &order).await;
        assert_eq!(queue.0.lock().unwrap().waiting.len(), 1);
        drop(first);
        last.await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["last"]);
        assert!(!queue.0.lock().unwrap().is_taken);
    }

    /// The request was called but cancelled before its task could run.
    #[tokio::test]
    async fn turn_of_a_cancelled_request_passes_to_the_next() {
        let (queue, order) = (Arc::new(FairQueue::default()), Arc::default());
        let first = queue.turn(origin(1)).await;
        let called = enqueue(&queue, 1, "called", &order).await;
        let next = enqueue(&queue, 1, "next", &order).await;
        drop(first);
        called.abort();
        next.await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["next"]);
    }
}

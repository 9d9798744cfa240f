//! The memory of answers that clients have not read yet, and of the parts of which they are made: one bound for all connections
//! together.
//!
//! ```text
//! pass, page --hold--> buffer, counted once --lend--> answers of connections
//!                        ^                               |
//!   room() waits         +---- its last answer ends -----+
//! ```
//!
//! A part of a scrape counts while it waits for another part ([`Unsent::reserve`]). Answers of one pass share a buffer. While the buffers use more than half of the bound, no new one is made:
//! [`Unsent::room`] waits. If clients do not read a buffer within [`GRACE`], it closes the connections that hold one
//! buffer: the buffer whose origins hold most answers, and of several such buffers the oldest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::HttpCounters;
use super::origin::ClientOrigin;
use super::phase::Watch;
use crate::http::gzip;

/// How long clients may hold a buffer while others wait for memory.
const GRACE: Duration = Duration::from_secs(1);
/// Smallest answer that is counted, in bytes; each connection has at most one smaller answer.
const MIN_COUNTED: usize = 32 * 1024;

/// Counts the buffers of unread answers and limits them to [`Limits::unsent_bytes`](super::Limits::unsent_bytes).
#[derive(Debug)]
pub(in crate::http) struct Unsent {
    max_bytes: usize,
    /// Whether [`HttpCounters`] shows its bytes.
    is_shown: bool,
    counters: Arc<HttpCounters>,
    buffers: Mutex<Buffers>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Buffers {
    next: u64,
    all: BTreeMap<u64, AnswerBuffer>,
    bytes: usize,
}

#[derive(Debug)]
struct AnswerBuffer {
    address: usize,
    counted: Weak<CountedBody>,
    bytes: usize,
    made: Instant,
    /// The connections that are sending this buffer.
    holders: HashMap<u64, Arc<Watch>>,
    is_closing: bool,
}

/// The action while there is no memory for another answer.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    Close(u64),
    WaitUntil(Instant),
}

impl Unsent {
    pub(in crate::http) fn new(counters: Arc<HttpCounters>) -> Arc<Self> {
        let max_bytes = counters.limits().unsent_bytes;
        Self::bounded(max_bytes, true, counters)
    }

    /// The memory of large answers of fan-in.
    pub(in crate::http) fn of_merged(counters: Arc<HttpCounters>) -> Arc<Self> {
        let max_bytes = counters.limits().merged_bytes;
        Self::bounded(max_bytes, false, counters)
    }

    fn bounded(max_bytes: usize, is_shown: bool, counters: Arc<HttpCounters>) -> Arc<Self> {
        Arc::new(Self {
            max_bytes,
            is_shown,
            counters,
            buffers: Mutex::default(),
            released: Notify::new(),
        })
    }

    /// Counts `body` from now until all its clones are dropped, once if it is held several times. Bodies below [`MIN_COUNTED`] are not
    /// counted.
    pub(in crate::http) fn hold(self: &Arc<Self>, body: impl Into<Bytes>) -> Bytes {
        let body = body.into();
        if body.len() < MIN_COUNTED {
            return body;
        }
        let known = self.lock().counted(&body);
        if let Some(known) = known {
            return Bytes::from_owner(known);
        }
        let counted = SharedBody(Arc::new_cyclic(|counted| {
            let id = self.lock().add(&body, counted.clone(), Instant::now());
            let unsent = Arc::clone(self);
            CountedBody { body, id, unsent }
        }));
        self.update_counter();
        Bytes::from_owner(counted)
    }

    /// Counts `bytes` of a part of a scrape that waits for another part, until the result is dropped. Parts below [`MIN_COUNTED`]
    /// are not counted.
    pub(in crate::http) fn reserve(self: &Arc<Self>, bytes: usize) -> Reservation {
        let bytes = if bytes < MIN_COUNTED { 0 } else { bytes };
        self.lock().bytes += bytes;
        self.update_counter();
        let unsent = Arc::clone(self);
        Reservation { bytes, unsent }
    }

    /// Registers that the connection of `watch` sends `body`, until the returned clone is dropped.
    pub(in crate::http) fn lend(self: &Arc<Self>, body: Bytes, watch: &Arc<Watch>) -> Bytes {
        let Some((buffer, holder)) = self.lock().lend(&body, watch) else {
            return body;
        };
        let unsent = Arc::clone(self);
        Bytes::from_owner(LentBody {
            body,
            buffer,
            holder,
            unsent,
        })
    }

    /// Compresses `body` and counts the result; `None` if there is no memory for that.
    pub(in crate::http) fn packed(self: &Arc<Self>, body: &Bytes) -> Option<Bytes> {
        if self.lock().bytes + body.len() > self.max_bytes {
            return None;
        }
        gzip::compress(body).ok().map(|packed| self.hold(packed))
    }

    /// Waits until at most half of the bound is in use, closing connections that do not read.
    pub(in crate::http) async fn room(&self) {
        loop {
            // Created before the check, so that no release is missed.
            let released = self.released.notified();
            let until = {
                let mut buffers = self.lock();
                if buffers.bytes <= self.max_bytes / 2 {
                    return;
                }
                let now = Instant::now();
                match buffers.remedy(now) {
                    Remedy::WaitUntil(until) => until,
                    Remedy::Close(buffer) => {
                        let closed = buffers.close(buffer);
                        self.counters.count_unread(closed);
                        now + GRACE
                    }
                }
            };
            let _ = timeout_at(until, released).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_counter(&self) {
        if self.is_shown {
            self.counters.set_unsent(self.lock().bytes);
        }
    }
}

impl Buffers {
    /// The body, if it is counted already.
    fn counted(&self, body: &Bytes) -> Option<SharedBody> {
        let address = body.as_ptr().addr();
        let mut all = self.all.values();
        let known = all.find(|one| one.address == address)?;
        known.counted.upgrade().map(SharedBody)
    }

    fn add(&mut self, body: &Bytes, counted: Weak<CountedBody>, now: Instant) -> u64 {
        let id = self.next;
        self.next += 1;
        self.bytes += body.len();
        let buffer = AnswerBuffer {
            address: body.as_ptr().addr(),
            counted,
            bytes: body.len(),
            made: now,
            holders: HashMap::new(),
            is_closing: false,
        };
        self.all.insert(id, buffer);
        id
    }

    /// Ids of the buffer and of its new holder; `None` for a body that is not counted.
    fn lend(&mut self, body: &Bytes, watch: &Arc<Watch>) -> Option<(u64, u64)> {
        let address = body.as_ptr().addr();
        let (id, buffer) = self
            .all
            .iter_mut()
            .find(|(_, one)| one.address == address)?;
        let holder = self.next;
        self.next += 1;
        buffer.holders.insert(holder, Arc::clone(watch));
        Some((*id, holder))
    }

    /// The buffer whose connections are to be closed, or the time of the next check.
    fn remedy(&self, now: Instant) -> Remedy {
        let held = || {
            self.all
                .iter()
                .filter(|(_, one)| !one.is_closing && !one.holders.is_empty())
        };
        let mut counts: HashMap<ClientOrigin, usize> = HashMap::new();
        for (_, buffer) in held() {
            for watch in buffer.holders.values() {
                *counts.entry(watch.origin).or_default() += 1;
            }
        }
        // The least greedy holder counts: an origin with few answers protects the buffer for all that share it.
        let greed = |buffer: &AnswerBuffer| {
            let greed = buffer
                .holders
                .values()
                .map(|watch| counts.get(&watch.origin));
            greed.min().flatten().copied().unwrap_or_default()
        };
        held()
            .filter(|(_, buffer)| now.saturating_duration_since(buffer.made) >= GRACE)
            .max_by_key(|(id, buffer)| (greed(buffer), std::cmp::Reverse(**id)))
            .map_or_else(
                || {
                    let next = held().map(|(_, buffer)| buffer.made + GRACE).min();
                    Remedy::WaitUntil(next.unwrap_or(now + GRACE))
                },
                |(id, _)| Remedy::Close(*id),
            )
    }

    /// Closes the connections that hold the buffer; they release it a moment later. Returns their number.
    fn close(&mut self, id: u64) -> u64 {
        let Some(buffer) = self.all.get_mut(&id) else {
            return 0;
        };
        buffer.is_closing = true;
        buffer.holders.values().for_each(|watch| watch.evict());
        buffer.holders.len() as u64
    }
}

/// A counted body: when all that share it are dropped, the buffer no longer counts.
#[derive(Debug)]
struct CountedBody {
    body: Bytes,
    id: u64,
    unsent: Arc<Unsent>,
}

/// The owner of a counted body.
#[derive(Debug)]
struct SharedBody(Arc<CountedBody>);

impl AsRef<[u8]> for SharedBody {
    fn as_ref(&self) -> &[u8] {
        &self.0.body
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        {
            let mut buffers = self.unsent.lock();
            let released = buffers.all.remove(&self.id);
            buffers.bytes -= released.map_or(0, |buffer| buffer.bytes);
        }
        self.unsent.update_counter();
        self.unsent.released.notify_waiters();
    }
}

/// The memory of a part that is no answer yet: when it is dropped, the part no longer counts.
#[derive(Debug)]
pub(in crate::http) struct Reservation {
    bytes: usize,
    unsent: Arc<Unsent>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.unsent.lock().bytes -= self.bytes;
        self.unsent.update_counter();
        self.unsent.released.notify_waiters();
    }
}

/// The answer of one connection: when it is dropped, the connection no longer holds the buffer.
#[derive(Debug)]
struct LentBody {
    body: Bytes,
    buffer: u64,
    holder: u64,
    unsent: Arc<Unsent>,
}

impl AsRef<[u8]> for LentBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for LentBody {
    fn drop(&mut self) {
        if let Some(buffer) = self.unsent.lock().all.get_mut(&self.buffer) {
            buffer.holders.remove(&self.holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::Limits;
    use super::*;

    const SIZE: usize = MIN_COUNTED;

    fn unsent() -> (Arc<Unsent>, Arc<HttpCounters>) {
        let limits = Limits {
            unsent_bytes: 2 * SIZE,
            ..Limits::default()
        };
        let counters = Arc::new(HttpCounters::new(limits));
        (Unsent::new(Arc::clone(&counters)), counters)
    }

    fn watch(host: u8) -> Arc<Watch> {
        let origin = Ipv4Addr::new(10, 0, 0, host).into();
        Arc::new(Watch::new(Limits::default(), origin))
    }

    fn body() -> Vec<u8> {
        vec![b'a'; SIZE]
    }

    #[tokio::test(start_paused = true)]
    async fn shared_body_counts_once_until_its_last_answer_ends() {
        let (unsent, counters) = unsent();
        let body = unsent.hold(body());
        let answers = [1, 2, 3].map(|host| unsent.lend(body.clone(), &watch(host)));
        assert_eq!(counters.read().unsent.bytes, SIZE as u64);
        assert!(answers.iter().all(|answer| answer == &body));
        drop(body);
        let [first, second, mut third] = answers;
        drop((first, second));
        let rest = third.split_off(SIZE - 1);
        drop(third);
        assert_eq!(counters.read().unsent.bytes, SIZE as u64);
        drop(rest);
        assert_eq!(counters.read().unsent.bytes, 0);
        assert_eq!(unsent.hold(vec![0; MIN_COUNTED - 1]).len(), MIN_COUNTED - 1);
        assert_eq!(
            counters.read().unsent.bytes,
            0,
            "small ones are not counted"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_is_held_twice_counts_once_until_both_are_dropped() {
        let (unsent, counters) = unsent();
        let body = Bytes::from(body());
        let (first, second) = (unsent.hold(body.clone()), unsent.hold(body.clone()));
        assert_eq!((&first, &second), (&body, &body));
        assert_eq!(counters.read().unsent.bytes, SIZE as u64);
        drop(first);
        assert_eq!(counters.read().unsent.bytes, SIZE as u64);
        drop(second);
        assert_eq!(counters.read().unsent.bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn parts_that_wait_count_until_they_are_dropped() {
        let (unsent, counters) = unsent();
        let (first, second) = (unsent.reserve(SIZE), unsent.reserve(SIZE));
        let small = unsent.reserve(MIN_COUNTED - 1);
        assert_eq!(counters.read().unsent.bytes, 2 * SIZE as u64);
        let joining = async {
            tokio::time::sleep(GRACE / 2).await;
            drop(first);
        };
        let begun = Instant::now();
        tokio::join!(unsent.room(), joining);
        assert_eq!(Instant::now() - begun, GRACE / 2);
        drop((second, small));
        assert_eq!(counters.read().unsent.bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn unread_connections_close_after_one_second() {
        let (unsent, counters) = unsent();
        let (old, new) = (unsent.hold(body()), unsent.hold(body()));
        let (slow, slower) = (watch(1), watch(1));
        let held = [unsent.lend(old, &slow), unsent.lend(new, &slower)];
        let begun = Instant::now();
        let closing = async {
            slow.evicted().await;
            assert_eq!(Instant::now() - begun, GRACE);
            drop(held.into_iter().next());
        };
        tokio::join!(unsent.room(), closing);
        assert_eq!(counters.read().unsent.unread, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_free_once_a_client_has_read() {
        let (unsent, counters) = unsent();
        let (old, new) = (unsent.hold(body()), unsent.hold(body()));
        let reading = async {
            tokio::time::sleep(GRACE / 2).await;
            drop(old);
        };
        let begun = Instant::now();
        tokio::join!(unsent.room(), reading);
        assert_eq!(
            (Instant::now() - begun, counters.read().unsent.unread),
            (GRACE / 2, 0)
        );
        drop(new);
        assert_eq!(unsent.packed(&Bytes::from(vec![0; 3 * SIZE])), None);
        assert!(unsent.packed(&Bytes::from(vec![0; 2 * SIZE])).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn buffer_of_the_origin_with_most_answers_closes_first() {
        let (unsent, _) = unsent();
        let now = Instant::now() + GRACE;
        let (honest, old, new) = (
            unsent.hold(body()),
            unsent.hold(body()),
            unsent.hold(body()),
        );
        let ids: Vec<u64> = unsent.lock().all.keys().copied().collect();
        let flood =
            [old.clone(), new.clone(), honest.clone()].map(|body| unsent.lend(body, &watch(2)));
        let reader = unsent.lend(honest, &watch(1));
        assert_eq!(unsent.lock().remedy(now - GRACE), Remedy::WaitUntil(now));
        assert_eq!(unsent.lock().remedy(now), Remedy::Close(ids[1]));
        assert_eq!(unsent.lock().close(ids[1]), 1);
        assert_eq!(unsent.lock().remedy(now), Remedy::Close(ids[2]));
        assert_eq!(unsent.lock().close(ids[2]), 1);
        assert_eq!(unsent.lock().remedy(now), Remedy::Close(ids[0]));
        drop((flood, reader, old, new));
        assert_eq!(unsent.lock().bytes, 0);
    }
}

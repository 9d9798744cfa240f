//! Admission of passes: questions that cost the state thread CPU time (scrapes, looks for the page, lists of
//! processes). One pass runs at a time. Frequent ones wait as [`Pace`] decides, and none begins while clients hold
//! too many unread answers ([`Unsent`]).

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep_until};

use super::HttpCounters;
use super::pace::Pace;
use super::unsent::Unsent;

/// CPU time that all threads except the calling one have used so far. Its increase during a pass is the cost of that
/// pass.
pub type CpuClock = fn() -> Duration;

/// The queue for passes, with their rate limit and the memory of their answers.
#[derive(Debug)]
pub(in crate::http) struct Passes {
    running: Arc<tokio::sync::Mutex<()>>,
    pace: Mutex<Pace>,
    cpu: CpuClock,
    unsent: Arc<Unsent>,
    counters: Arc<HttpCounters>,
}

/// The permit for one pass; dropping it admits the next.
#[derive(Debug)]
pub(in crate::http) struct PassPermit<'p> {
    passes: &'p Passes,
    _running: OwnedMutexGuard<()>,
}

impl Passes {
    pub(in crate::http) fn new(counters: Arc<HttpCounters>, cpu: CpuClock) -> Self {
        Self {
            running: Arc::default(),
            pace: Mutex::default(),
            cpu,
            unsent: Unsent::new(Arc::clone(&counters)),
            counters,
        }
    }

    pub(in crate::http) const fn unsent(&self) -> &Arc<Unsent> {
        &self.unsent
    }

    /// Notes a request. Returns whether it is rare, that is, comes after a period without requests.
    pub(in crate::http) fn arrived(&self) -> bool {
        self.pace().arrived(Instant::now())
    }

    /// Waits for the permit: until no other pass runs, the rate limit allows a pass, and there is memory for its
    /// answer.
    pub(in crate::http) async fn permit(&self, is_rare: bool) -> PassPermit<'_> {
        let running = Arc::clone(&self.running).lock_owned().await;
        let now = Instant::now();
        let begin = self.pace().begin_at(now, is_rare);
        if begin > now {
            self.counters.count_delayed();
            sleep_until(begin).await;
        }
        self.unsent.room().await;
        PassPermit {
            passes: self,
            _running: running,
        }
    }

    /// Makes a body with `join` and counts it until all its clones are dropped. The time it takes counts as CPU time of the last
    /// pass.
    pub(in crate::http) fn join(&self, join: impl FnOnce() -> Vec<u8>) -> Bytes {
        let began = Instant::now();
        let body = join();
        self.pace().add_cost(began.elapsed());
        self.unsent.hold(body)
    }

    /// Compresses `body`; `None` if there is no memory for the result. The time it takes counts as CPU time of the
    /// last pass.
    pub(in crate::http) fn pack(&self, body: &Bytes) -> Option<Bytes> {
        let began = Instant::now();
        let packed = self.unsent.packed(body);
        self.pace().add_cost(began.elapsed());
        packed
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PassPermit<'_> {
    /// Runs `question` and charges the CPU time used meanwhile to the rate limit.
    pub(in crate::http) async fn pass<T>(self, question: impl Future<Output = T>) -> T {
        let passes = self.passes;
        let (began, before) = (Instant::now(), (passes.cpu)());
        passes.pace().begun(began);
        let answer = question.await;
        let cost = (passes.cpu)().saturating_sub(before);
        passes.pace().ended(began, Instant::now(), cost);
        answer
    }
}

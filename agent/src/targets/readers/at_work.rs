//! A reader at work on the jobs of one user.
//!
//! The reader takes one job after another from a queue that it shares with its caller. A caller that leaves the reader behind
//! takes the rest of the queue back. When the reader comes back, it finds the queue closed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{BlockingJob, JobResult, Jobs};
use crate::blocking::{EACH, Pool, Reader, Replies};
use crate::targets::failure::Failure;

/// The job of a reader that is held up, and the lane that it keeps meanwhile.
#[derive(Debug)]
pub(super) struct HeldKey<K> {
    pub(super) key: K,
    _lane: Option<OwnedSemaphorePermit>,
}

/// Jobs for one reader.
pub(super) struct Errand {
    work: Box<dyn FnOnce() + Send>,
    /// Dropped when the reader has finished.
    end: oneshot::Sender<()>,
}

impl fmt::Debug for Errand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Errand(..)")
    }
}

/// The work of a reader.
pub(super) fn work(request: Errand, _: &Replies<()>) -> oneshot::Sender<()> {
    (request.work)();
    request.end
}

/// The jobs that a reader and its caller share.
struct JobQueue<K, T> {
    left: Jobs<K, T>,
    /// The job at work.
    current: Option<K>,
    results: Vec<JobResult<K, T>>,
    /// Whether the caller has left the reader behind and wants no more results.
    is_left: bool,
}

/// Results, and the jobs that were not begun.
type Rest<K, T> = (Vec<JobResult<K, T>>, Jobs<K, T>);
type SharedQueue<K, T> = Arc<Mutex<JobQueue<K, T>>>;

/// A reader at work. When this value is dropped, a reader that has not finished is left behind.
pub(super) struct AtWork<'a, K: Clone, T> {
    pool: &'a Mutex<Pool<HeldKey<K>, Errand, ()>>,
    user: u32,
    reader: Option<Reader<Errand, ()>>,
    lane: Option<OwnedSemaphorePermit>,
    queue: SharedQueue<K, T>,
    end: oneshot::Receiver<()>,
}

impl<'a, K: Clone + Eq + Send + 'static, T: Send + 'static> AtWork<'a, K, T> {
    pub(super) fn begin(
        pool: &'a Mutex<Pool<HeldKey<K>, Errand, ()>>,
        user: u32,
        (reader, lane): (Reader<Errand, ()>, Option<OwnedSemaphorePermit>),
        jobs: Jobs<K, T>,
    ) -> Self {
        let queue = Arc::new(Mutex::new(JobQueue {
            left: jobs,
            current: None,
            results: Vec::new(),
            is_left: false,
        }));
        let (sender, end) = oneshot::channel();
        let theirs = Arc::clone(&queue);
        reader.ask(Errand {
            work: Box::new(move || work_off(&theirs)),
            end: sender,
        });
        Self {
            pool,
            user,
            reader: Some(reader),
            lane,
            queue,
            end,
        }
    }

    /// Waits until all jobs are done, or one of them holds the reader up.
    ///
    /// # Errors
    /// The deadline has passed.
    pub(super) async fn wait(&mut self, deadline: Instant) -> Result<(), Failure> {
        let mut before = None;
        loop {
            let look = Instant::now() + EACH / 2;
            if timeout_at(look.min(deadline), &mut self.end).await.is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Failure::Timeout);
            }
            let asleep_in = self.asleep_in();
            if asleep_in.is_some() && asleep_in == before {
                return Ok(());
            }
            before = asleep_in;
        }
    }

    /// The job in which the reader sleeps.
    fn asleep_in(&self) -> Option<K> {
        let current = lock(&self.queue).current.clone()?;
        let is_asleep = self.reader.as_ref().is_some_and(Reader::is_asleep);
        is_asleep.then_some(current)
    }

    /// Ends the work, whether or not the jobs are done.
    pub(super) fn leave(mut self) -> Rest<K, T> {
        self.part()
    }
}

impl<K: Clone, T> AtWork<'_, K, T> {
    /// Takes the results and the remaining jobs, and keeps the reader or leaves it behind.
    fn part(&mut self) -> Rest<K, T> {
        let (current, mut results, left) = {
            let mut queue = lock(&self.queue);
            // From here on the reader adds no result, and takes no job.
            queue.is_left = true;
            let results = std::mem::take(&mut queue.results);
            (
                queue.current.take(),
                results,
                std::mem::take(&mut queue.left),
            )
        };
        results.extend(
            current
                .iter()
                .map(|key| (key.clone(), Err(Failure::Timeout))),
        );
        if let Some(reader) = self.reader.take() {
            let mut pool = lock(self.pool);
            match (reader.try_wait(), current) {
                (Ok(()), _) => pool.keep(reader),
                (Err(_), Some(key)) => {
                    let _lane = self.lane.take();
                    pool.leave(HeldKey { key, _lane }, self.user, reader);
                }
                // The reader has done its last job, and ends because it gets no further request.
                (Err(_), None) => {}
            }
        }
        (results, left)
    }
}

impl<K: Clone, T> Drop for AtWork<'_, K, T> {
    fn drop(&mut self) {
        self.part();
    }
}

/// Works off the queue, in the reader's thread.
fn work_off<K: Clone, T>(queue: &Mutex<JobQueue<K, T>>) {
    let mut done = None;
    while let Some(job) = next(queue, done.take()) {
        done = Some(job());
    }
}

/// Notes the result of the job at work, and takes the next one.
fn next<K: Clone, T>(queue: &Mutex<JobQueue<K, T>>, done: Option<T>) -> Option<BlockingJob<T>> {
    let mut queue = lock(queue);
    if queue.is_left {
        return None;
    }
    if let (Some(key), Some(result)) = (queue.current.take(), done) {
        queue.results.push((key, Ok(result)));
    }
    let (key, job) = queue.left.pop_front()?;
    queue.current = Some(key);
    Some(job)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

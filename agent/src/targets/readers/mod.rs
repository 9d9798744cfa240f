//! An async interface to the threads that may be left behind ([`crate::blocking`]), for work on files of targets.
//!
//! In: jobs, each with a key and the user on whose files it works. Out: their results, or the reasons why there are none. No
//! caller polls: the end of the last job wakes it.
//!
//! ```text
//! jobs of one user --> turn (one reader a user) --> lane (eight for all but root) --> a reader, one job after another
//!                                              asleep in the same job at two looks: left behind, another reader goes on
//! ```
//!
//! * A job that sleeps fails with [`Failure::Timeout`] after 0.1 to 0.3 s, and its reader is left behind. As long as that reader
//!   has not come back, each job of this key fails with [`Failure::Busy`] at once. A job that only gets no CPU is awaited.
//! * The files of one user hold up two readers at most, those of all users but root eight, those of root four. At the bound all
//!   jobs of the user fail with [`Failure::Busy`].
//! * Jobs wait for other jobs of the same user: at most 0.3 s for each reader that these hold up. They wait for those of other
//!   users only if eight of them are at work, and those of root never do. So one user who holds up as many readers as possible
//!   delays no other. Four such users take the readers of all users but root, and jobs of these users then fail.
//! * A caller that is dropped leaves its reader behind, too: every thread is counted until it comes back.

mod at_work;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use at_work::{AtWork, Errand, HeldKey, lock};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use crate::blocking::{Bound, Pool};

const THREAD: &str = "headcount-find";
const ROOT: u32 = 0;
/// Readers that may be held up at a time.
const HELD_UP: Bound = Bound {
    root: 4,
    each: 2,
    others: 8,
};

/// Work that may block for ever.
pub(super) type BlockingJob<T> = Box<dyn FnOnce() -> T + Send>;
/// The result of the job with this key, or the reason why it has none.
pub(super) type JobResult<K, T> = (K, Result<T, Failure>);

type Jobs<K, T> = VecDeque<(K, BlockingJob<T>)>;

/// Readers for jobs with keys `K`.
#[derive(Debug)]
pub(super) struct Readers<K> {
    pool: Mutex<Pool<HeldKey<K>, Errand, ()>>,
    /// One for each reader that works, or is held up, for a user other than root.
    lanes: Arc<Semaphore>,
    /// The users whose jobs are at work or wait.
    turns: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<()>>>>,
}

impl<K: Clone + Eq + Send + 'static> Readers<K> {
    pub(super) fn new() -> Self {
        Self {
            pool: Mutex::new(Pool::new(THREAD, HELD_UP)),
            lanes: Arc::new(Semaphore::new(HELD_UP.others)),
            turns: Mutex::default(),
        }
    }

    /// Does one job on files of `user`.
    ///
    /// # Errors
    /// [`Failure::Timeout`] if it does not end, or not before the deadline; [`Failure::Busy`] if a job of this key, or too many
    /// of this user, have not ended yet; [`Failure::Limit`] if the system starts no thread.
    #[cfg(test)]
    async fn run<T: Send + 'static>(
        &self,
        (key, user): (K, u32),
        deadline: Instant,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let jobs: Vec<(K, BlockingJob<T>)> = vec![(key, Box::new(job))];
        let mut results = self.run_all(user, deadline, jobs).await;
        results
            .pop()
            .map_or(Err(Failure::Timeout), |(_, result)| result)
    }

    /// Does jobs on files of `user`, one after another; those behind one that does not end are done, too. Returns one
    /// result for each, in any order; the failures are [`Failure::Timeout`] if a job does not end, or not before
    /// the deadline; [`Failure::Busy`] if a job of this key, or too many of this user, have not ended yet; [`Failure::Limit`] if the
    /// system starts no thread.
    pub(super) async fn run_all<T: Send + 'static>(
        &self,
        user: u32,
        deadline: Instant,
        jobs: Vec<(K, BlockingJob<T>)>,
    ) -> Vec<JobResult<K, T>> {
        let mut results = Vec::with_capacity(jobs.len());
        let mut left = VecDeque::from(jobs);
        let mut end = Ok(());
        let turn = timeout_at(deadline, self.turn(user)).await;
        if turn.is_err() {
            end = Err(Failure::Timeout);
        }
        while end.is_ok() {
            self.set_aside(&mut left, &mut results);
            if left.is_empty() {
                break;
            }
            end = match self.lane(user, deadline).await {
                Ok(lane) => {
                    self.work_off(user, lane, deadline, &mut left, &mut results)
                        .await
                }
                Err(failure) => Err(failure),
            };
        }
        let failure = end.err().unwrap_or(Failure::Timeout);
        results.extend(left.into_iter().map(|(key, _)| (key, Err(failure))));
        results
    }

    /// Number of readers that are held up.
    pub(super) fn held_up(&self) -> usize {
        let mut pool = lock(&self.pool);
        pool.release(drop);
        pool.held_up.len()
    }

    /// Waits until no other jobs of `user` are at work.
    async fn turn(&self, user: u32) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = lock(&self.turns);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(user).or_default())
        };
        turn.lock_owned().await
    }

    /// Refuses the jobs whose key is held up.
    fn set_aside<T>(&self, left: &mut Jobs<K, T>, results: &mut Vec<JobResult<K, T>>) {
        let mut pool = lock(&self.pool);
        pool.release(drop);
        left.retain(|(key, _)| {
            let is_held = pool.held_up.keys().any(|held| held.key == *key);
            if is_held {
                results.push((key.clone(), Err(Failure::Busy)));
            }
            !is_held
        });
    }

    /// Waits for a lane, if the user is not at the bound; root needs none.
    async fn lane(
        &self,
        user: u32,
        deadline: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        if !lock(&self.pool).held_up.admits(|| user) {
            return Err(Failure::Busy);
        }
        if user == ROOT {
            return Ok(None);
        }
        let lane = timeout_at(deadline, Arc::clone(&self.lanes).acquire_owned()).await;
        let lane = lane.map_err(|_| Failure::Timeout)?;
        // The semaphore is never closed.
        lane.map(Some).map_err(|_| Failure::Busy)
    }

    /// Has one reader do the jobs in `left`, and takes their results. If a job holds the reader up, the jobs after it stay in
    /// `left`.
    async fn work_off<T: Send + 'static>(
        &self,
        user: u32,
        lane: Option<OwnedSemaphorePermit>,
        deadline: Instant,
        left: &mut Jobs<K, T>,
        results: &mut Vec<JobResult<K, T>>,
    ) -> Result<(), Failure> {
        let reader = lock(&self.pool)
            .reader(|_| at_work::work)
            .map_err(|_| Failure::Limit)?;
        let mut at_work = AtWork::begin(&self.pool, user, (reader, lane), std::mem::take(left));
        let end = at_work.wait(deadline).await;
        let (done, rest) = at_work.leave();
        results.extend(done);
        *left = rest;
        end
    }
}

#[cfg(test)]
mod tests;

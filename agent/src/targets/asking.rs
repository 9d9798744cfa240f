//! Asks targets within bounds: at most [`AT_ONCE`] at a time, of these at most [`AT_ONCE_OF_USER`] of one user other than root,
//! and each for at most [`EACH`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;

/// Targets that are asked at the same time.
const AT_ONCE: usize = 16;
/// Targets of one user other than root that are asked at the same time. Further ones wait, so that slow targets of one user leave
/// room for those of other users.
const AT_ONCE_OF_USER: usize = 4;
/// The longest time that the agent waits for one target.
pub(crate) const EACH: Duration = Duration::from_secs(1);

/// The places of one round of questions.
#[derive(Debug)]
pub(crate) struct Places {
    /// When the round ends, even if targets have not answered.
    deadline: Instant,
    all: Arc<Semaphore>,
    of_users: HashMap<u32, Arc<Semaphore>>,
}

/// A target's answer or the reason why there is none, and how long the question took.
#[derive(Debug)]
pub(crate) struct TimedAnswer<T> {
    pub(crate) answer: Result<T, Failure>,
    pub(crate) took: Duration,
}

impl Places {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            all: Arc::new(Semaphore::new(AT_ONCE)),
            of_users: HashMap::new(),
        }
    }

    /// Asks `question` of a target of `uid` as soon as there is a place for it. The time of waiting for a place does not count,
    /// but if the round ends meanwhile, the result is a timeout.
    pub(crate) fn ask<T, F: Future<Output = Result<T, Failure>>>(
        &mut self,
        uid: u32,
        question: F,
    ) -> impl Future<Output = TimedAnswer<T>> + use<T, F> {
        let deadline = self.deadline;
        let all = Arc::clone(&self.all);
        let of_user = (uid != 0).then(|| {
            let places = self.of_users.entry(uid);
            let places = places.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_OF_USER)));
            Arc::clone(places)
        });
        async move {
            let place = async {
                // Neither semaphore is ever closed.
                let of_user = match &of_user {
                    Some(places) => places.acquire().await.ok(),
                    None => None,
                };
                (of_user, all.acquire().await.ok())
            };
            let Ok(_place) = timeout_at(deadline, place).await else {
                return TimedAnswer {
                    answer: Err(Failure::Timeout),
                    took: Duration::ZERO,
                };
            };
            let began = Instant::now();
            let answer = timeout_at(deadline.min(began + EACH), question).await;
            TimedAnswer {
                answer: answer.unwrap_or(Err(Failure::Timeout)),
                took: began.elapsed(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, test)
    }

    /// Asks `hanging` targets of user 7 that never answer, then one of `uid` that answers. Returns the result of the last one.
    async fn behind(hanging: usize, uid: u32, seconds: u64) -> TimedAnswer<u32> {
        let mut places = Places::until(Instant::now() + Duration::from_secs(seconds));
        let begun = Rc::new(Cell::new(0));
        let waiting: Vec<_> = (0..hanging)
            .map(|_| {
                let begun = Rc::clone(&begun);
                places.ask(7, async move {
                    begun.set(begun.get() + 1);
                    pending::<Result<u32, Failure>>().await
                })
            })
            .map(|question| tokio::task::spawn_local(async { question.await.took }))
            .collect();
        while begun.get() < hanging.min(AT_ONCE_OF_USER) {
            tokio::task::yield_now().await;
        }
        let asked = places.ask(uid, async { Ok(5) }).await;
        waiting.iter().for_each(|one| one.abort());
        asked
    }

    #[test]
    fn hanging_targets_of_one_user_delay_only_targets_of_that_user() {
        run(async {
            let began = Instant::now();
            assert_eq!(behind(100, 8, 10).await.answer, Ok(5));
            assert_eq!(behind(100, 0, 10).await.answer, Ok(5));
            assert_eq!(began.elapsed(), Duration::ZERO);
            assert_eq!(behind(4, 7, 10).await.answer, Ok(5));
            assert_eq!(began.elapsed(), EACH, "a place is free again");
        });
    }

    #[test]
    fn round_ends_while_targets_wait() {
        run(async {
            let began = Instant::now();
            let asked = behind(100, 7, 3).await;
            assert_eq!(asked.answer, Err(Failure::Timeout));
            assert_eq!(asked.took, Duration::ZERO, "it was not asked");
            assert_eq!(began.elapsed(), Duration::from_secs(3));
        });
    }

    #[test]
    fn question_ends_with_the_round_or_after_a_second() {
        run(async {
            for (seconds, took) in [(10, EACH), (0, Duration::ZERO)] {
                let mut places = Places::until(Instant::now() + Duration::from_secs(seconds));
                let asked = places.ask(0, pending::<Result<(), Failure>>()).await;
                assert_eq!((asked.answer, asked.took), (Err(Failure::Timeout), took));
            }
        });
    }

    #[test]
    fn sixteen_are_asked_at_the_same_time() {
        run(async {
            let count = Cell::new(0);
            let asked = &count;
            let mut places = Places::until(Instant::now() + Duration::from_millis(500));
            let questions: Vec<_> = (0..40)
                .map(|uid| {
                    let question = async move {
                        asked.set(asked.get() + 1);
                        pending::<Result<(), Failure>>().await
                    };
                    Box::pin(places.ask(uid, question))
                })
                .collect();
            let mut questions = questions;
            let poll = std::future::poll_fn(|context| {
                for question in &mut questions {
                    let _ = question.as_mut().poll(context);
                }
                std::task::Poll::Ready(())
            });
            poll.await;
            assert_eq!(asked.get(), 16);
        });
    }
}

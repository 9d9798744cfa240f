//! Questions to the owner of the state, and answers shared by requests that ask at the same time.
//!
//! ```text
//!  request --+                       (one question of a kind at a time)
//!  request --+--> Owner::metrics ----> Question::Metrics(reply) ----> the owner's task
//!  request --+         ^                                                  |
//!            +---------+---------------- the same answer <----------------+
//! ```
//!
//! An answer never begins before the request that gets it: a scrape, a look or a reload is shared by the requests that came before it was
//! asked for. Later ones wait for its end and share the next. Scrapes and looks take turns, see [`passes`](super::passes).
//!
//! A question is asked by a tokio task of its own, so it outlives the request that caused it: a client that hangs up takes
//! no answer away from the others. A pass that no client waits for any more when its turn comes is left out. An owner that hangs has at most one question of each kind before it.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::passes::Passes;
use super::unsent::Unsent;
use super::{Overview, Processes, Statistics};

/// What the owner is asked. A reply that is dropped means [`Unavailable`].
#[derive(Debug)]
pub enum Question {
    /// Scrape, and give the exposition.
    Metrics(oneshot::Sender<Bytes>),
    /// How are you?
    Health(oneshot::Sender<Health>),
    /// Reload the configuration, and say why that changed nothing, if it did not.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Look at the node, and tell what the page shows of it.
    Overview(oneshot::Sender<Arc<Overview>>),
    /// Which processes did the last look see in this group?
    Processes(u64, oneshot::Sender<Option<Processes>>),
}

/// The state's own view of itself, shown at `/health`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// In one word.
    pub status: Status,
    /// Why not better; empty when ok.
    pub reasons: Vec<String>,
}

/// How the agent is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The first pass is not done.
    Starting,
    /// All is well.
    Ok,
    /// It works, but less exactly than it could.
    Degraded,
}

/// The owner of the state is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the owner of the state gives no answer")]
pub struct Unavailable;

/// Where questions go. Clones share their answers.
#[derive(Debug, Clone)]
pub struct Owner {
    questions: mpsc::Sender<Question>,
    metrics: Shared<Arc<Exposition>>,
    health: Shared<Health>,
    reload: Shared<Result<(), String>>,
    overview: Shared<Arc<Overview>>,
    /// One reload is asked for at a time.
    reloading: Arc<tokio::sync::Mutex<()>>,
    /// One question for the processes of a group is asked at a time: its answer is no use to requests for other groups.
    turn: Arc<Semaphore>,
    passes: Arc<Passes>,
}

/// The exposition of one scrape, for all requests that share it.
#[derive(Debug)]
pub struct Exposition {
    plain: Bytes,
    packed: OnceLock<Option<Bytes>>,
}

impl Exposition {
    /// As it was written.
    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// Compressed by the first request that wants that; `None` where it cannot be.
    pub(super) fn packed(&self, owner: &Owner) -> Option<Bytes> {
        let pack = || owner.passes.pack(&self.plain);
        self.packed.get_or_init(pack).clone()
    }
}

/// CPU time that all threads but the asking one have used so far: what is told of it is how much a pass costs.
pub type CpuClock = fn() -> Duration;

/// An [`Owner`], and the end where its questions arrive.
pub fn owner(statistics: &Arc<Statistics>, cpu: CpuClock) -> (Owner, mpsc::Receiver<Question>) {
    // One question of each kind is under way at most.
    let (questions, inbox) = mpsc::channel(5);
    (
        Owner {
            questions,
            metrics: Shared::default(),
            health: Shared::default(),
            overview: Shared::default(),
            reloading: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
            reload: Shared::default(),
            passes: Arc::new(Passes::new(Arc::clone(statistics), cpu)),
        },
        inbox,
    )
}

impl Owner {
    /// The exposition of a pass that begins from now on.
    pub async fn metrics(&self) -> Result<Arc<Exposition>, Unavailable> {
        let is_rare = self.passes.arrived();
        self.metrics
            .answer(|open| {
                let (passes, questions) = (Arc::clone(&self.passes), self.questions.clone());
                async move {
                    let turn = passes.turn(is_rare).await;
                    // From now on requests wait for the next one.
                    open.close()?;
                    let body = turn.pass(ask(questions, Question::Metrics)).await?;
                    Ok(Arc::new(Exposition {
                        plain: passes.unsent().hold(body),
                        packed: OnceLock::new(),
                    }))
                }
            })
            .await
    }

    /// How the owner is.
    pub async fn health(&self) -> Result<Health, Unavailable> {
        self.health
            .answer(|open| {
                let questions = self.questions.clone();
                async move {
                    let health = ask(questions, Question::Health).await;
                    drop(open);
                    health
                }
            })
            .await
    }

    /// Has the configuration reloaded from what the file says now or later; why that changed nothing, if it did not.
    pub async fn reload(&self) -> Result<Result<(), String>, Unavailable> {
        self.reload
            .answer(|open| {
                let (turn, questions) = (Arc::clone(&self.reloading), self.questions.clone());
                async move {
                    let _turn = turn.lock_owned().await;
                    drop(open);
                    ask(questions, Question::Reload).await
                }
            })
            .await
    }

    /// The node and its groups, by a look that begins from now on.
    pub async fn overview(&self) -> Result<Arc<Overview>, Unavailable> {
        let is_rare = self.passes.arrived();
        self.overview
            .answer(|open| {
                let (passes, questions) = (Arc::clone(&self.passes), self.questions.clone());
                async move {
                    let turn = passes.turn(is_rare).await;
                    open.close()?;
                    turn.pass(ask(questions, Question::Overview)).await
                }
            })
            .await
    }

    /// The processes of a group as the last look saw them; `None` where there is no such group. One after another.
    pub async fn processes(&self, group: u64) -> Result<Option<Processes>, Unavailable> {
        let is_rare = self.passes.arrived();
        let first = Arc::clone(&self.turn).acquire_owned().await;
        let first = first.map_err(|_| Unavailable)?;
        let (passes, questions) = (Arc::clone(&self.passes), self.questions.clone());
        let asking = tokio::spawn(async move {
            let turn = passes.turn(is_rare).await;
            let asked = ask(questions, |reply| Question::Processes(group, reply));
            let answer = turn.pass(asked).await;
            drop(first);
            answer
        });
        asking.await.map_err(|_| Unavailable)?
    }

    /// The memory of answers.
    pub(super) fn unsent(&self) -> &Arc<Unsent> {
        self.passes.unsent()
    }
}

async fn ask<T>(
    questions: mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Unavailable> {
    let (reply, answer) = oneshot::channel();
    questions
        .send(question(reply))
        .await
        .map_err(|_| Unavailable)?;
    answer.await.map_err(|_| Unavailable)
}

type Answer<T> = Option<Result<T, Unavailable>>;

type UnderWay<T> = Arc<Mutex<Option<watch::Receiver<Answer<T>>>>>;

/// At most one question that is still open to be shared.
#[derive(Debug)]
struct Shared<T>(UnderWay<T>);

/// Dropped, the question is shared with no further request.
struct Open<T> {
    under_way: UnderWay<T>,
    answer: watch::Sender<Answer<T>>,
}

impl<T> Open<T> {
    /// The same. An error where all requests that shared it have given up.
    fn close(self) -> Result<(), Unavailable> {
        let answer = self.answer.clone();
        drop(self);
        (answer.receiver_count() > 0)
            .then_some(())
            .ok_or(Unavailable)
    }
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        *self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

// By hand: derived ones would want the same of T.
impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone + Send + Sync + 'static> Shared<T> {
    /// The answer to the question that is open, or to a new one.
    async fn answer<F>(&self, question: impl FnOnce(Open<T>) -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, Unavailable>> + Send + 'static,
    {
        let mut answer = {
            let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*under_way {
                Some(answer) => answer.clone(),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    let question = question(Open {
                        under_way: Arc::clone(&self.0),
                        answer: sender.clone(),
                    });
                    tokio::spawn(async move {
                        let answer = question.await;
                        sender.send_replace(Some(answer));
                    });
                    under_way.insert(receiver).clone()
                }
            }
        };
        let answer = answer
            .wait_for(Option::is_some)
            .await
            .map_err(|_| Unavailable)?;
        answer.clone().unwrap_or(Err(Unavailable))
    }
}

#[cfg(test)]
mod tests;

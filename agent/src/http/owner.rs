//! The handle of the state thread: requests ask it questions, and requests that ask at the same time share one
//! answer.
//!
//! ```text
//!  request --+                       (one question of a kind at a time)
//!  request --+--> Owner::metrics ----> Question::Metrics(reply) ----> the state thread
//!  request --+         ^                                                    |
//!            +---------+---------------- the same answer <------------------+
//! ```
//!
//! An answer never begins before the request that gets it: a scrape, a look for the page or a reload is shared by the
//! requests that arrived before it was asked for. Later requests wait until it ends and share the next one. Scrapes,
//! looks and lists of processes run one at a time, in the order that [`passes`](super::passes) grants.
//!
//! A tokio task of its own asks each question, so the question outlives the request that caused it: a client that
//! disconnects does not take the answer away from the others. A scrape or look that no client waits for when its turn
//! comes is skipped. A state thread that hangs has at most one question of each kind in its inbox.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::passes::Passes;
use super::unsent::Unsent;
use super::{Overview, Processes, Statistics};

/// A question to the state thread, with the channel for its answer. If the state thread drops the reply, the request
/// gets [`Unavailable`].
#[derive(Debug)]
pub enum Question {
    /// Scrape all collectors; the answer is the exposition.
    Metrics(oneshot::Sender<Bytes>),
    /// The agent's health.
    Health(oneshot::Sender<Health>),
    /// Reload the configuration; the answer is an error with the reason if that changed nothing.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Take a look at all processes; the answer is what the page shows.
    Overview(oneshot::Sender<Arc<Overview>>),
    /// The processes of the group with this id, as the last look saw them; `None` if there is no such group.
    Processes(u64, oneshot::Sender<Option<Processes>>),
}

/// The agent's health as the state thread reports it, shown at `/health`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// The health in one word.
    pub status: Status,
    /// The reasons why it is not `ok`; empty when it is.
    pub reasons: Vec<String>,
}

/// The agent's health in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The first pass over the processes is not done yet.
    Starting,
    /// Everything works as configured.
    Ok,
    /// The agent works, but less exactly than it could.
    Degraded,
}

/// The state thread has ended or dropped the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state thread does not answer")]
pub struct Unavailable;

/// Sends questions to the state thread. Clones share their answers.
#[derive(Debug, Clone)]
pub struct Owner {
    questions: mpsc::Sender<Question>,
    metrics: Shared<Arc<Exposition>>,
    health: Shared<Health>,
    reload: Shared<Result<(), String>>,
    overview: Shared<Arc<Overview>>,
    /// At most one reload is under way.
    reloading: Arc<tokio::sync::Mutex<()>>,
    /// At most one question for the processes of a group is under way: requests for other groups cannot share its
    /// answer.
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
    /// The uncompressed exposition.
    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// The exposition compressed with gzip. The first request that wants it compresses it. `None` if there is no
    /// memory for it.
    pub(super) fn packed(&self, owner: &Owner) -> Option<Bytes> {
        let pack = || owner.passes.pack(&self.plain);
        self.packed.get_or_init(pack).clone()
    }
}

/// CPU time that all threads except the calling one have used so far. Its increase during a pass is the cost of that
/// pass.
pub type CpuClock = fn() -> Duration;

/// Creates an [`Owner`] and the receiver of its questions, which the state thread reads.
pub fn owner(statistics: &Arc<Statistics>, cpu: CpuClock) -> (Owner, mpsc::Receiver<Question>) {
    // At most one question of each of the five kinds is under way.
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
    /// The exposition of a scrape that begins after this call.
    pub async fn metrics(&self) -> Result<Arc<Exposition>, Unavailable> {
        let is_rare = self.passes.arrived();
        self.metrics
            .answer(|open| {
                let (passes, questions) = (Arc::clone(&self.passes), self.questions.clone());
                async move {
                    let turn = passes.turn(is_rare).await;
                    // Requests that arrive from now on wait for the next scrape.
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

    /// The agent's health.
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

    /// Reloads the configuration from the file's content at this time or later. The inner error is the reason why
    /// that changed nothing.
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

    /// The node and its groups, from a look that begins after this call.
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

    /// The processes of a group as the last look saw them; `None` if there is no such group. Requests run one after
    /// another.
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

    /// The memory of unread answers.
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

/// The question that new requests may still join, if there is one.
#[derive(Debug)]
struct Shared<T>(UnderWay<T>);

/// The right to join a question. Dropping it closes the question to further requests.
struct Open<T> {
    under_way: UnderWay<T>,
    answer: watch::Sender<Answer<T>>,
}

impl<T> Open<T> {
    /// Closes the question to further requests. Fails if all requests that shared it have given up.
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

// Implemented by hand: derived impls would require the same traits of `T`.
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
    /// Joins the open question, or asks a new one; returns its answer.
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

//! Questions to the owner of the state, and answers shared by those who ask at the same time.
//!
//! ```text
//!  request --+                       (one question of a kind at a time)
//!  request --+--> Owner::metrics ----> Question::Metrics(reply) ----> the owner's task
//!  request --+         ^                                                  |
//!            +---------+----------------- the same Bytes <----------------+
//! ```
//!
//! Reloads do not share the answer of one that is under way, which may have read an older file: they wait for its end, and
//! share the next one.
//!
//! A question is asked by a tokio task of its own, so it outlives the request that caused it: a client that hangs up takes
//! no answer away from the others. An owner that hangs has at most one question of each kind before it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{Overview, Processes};

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
    metrics: Shared<Bytes>,
    health: Shared<Health>,
    reload: Shared<Result<(), String>>,
    overview: Shared<Arc<Overview>>,
    /// Whose turn it is to ask for the processes of a group: answers are no use to others, who mean other groups.
    turn: Arc<Semaphore>,
}

/// An [`Owner`], and the end where its questions arrive.
pub fn owner() -> (Owner, mpsc::Receiver<Question>) {
    // One question of each kind is under way at most.
    let (questions, inbox) = mpsc::channel(5);
    (
        Owner {
            questions,
            metrics: Shared::default(),
            health: Shared::default(),
            overview: Shared::default(),
            turn: Arc::new(Semaphore::new(1)),
            reload: Shared::by_turns(),
        },
        inbox,
    )
}

impl Owner {
    /// The exposition; scrapes that arrive while one is under way share its answer.
    pub async fn metrics(&self) -> Result<Bytes, Unavailable> {
        self.metrics
            .answer(|| ask(self.questions.clone(), Question::Metrics))
            .await
    }

    /// How the owner is.
    pub async fn health(&self) -> Result<Health, Unavailable> {
        self.health
            .answer(|| ask(self.questions.clone(), Question::Health))
            .await
    }

    /// Has the configuration reloaded from what the file says now or later; why that changed nothing, if it did not.
    pub async fn reload(&self) -> Result<Result<(), String>, Unavailable> {
        self.reload
            .answer(|| ask(self.questions.clone(), Question::Reload))
            .await
    }

    /// The node and its groups; viewers that ask while a look is under way share its answer.
    pub async fn overview(&self) -> Result<Arc<Overview>, Unavailable> {
        self.overview
            .answer(|| ask(self.questions.clone(), Question::Overview))
            .await
    }

    /// The processes of a group as the last look saw them; `None` where there is no such group. One after another.
    pub async fn processes(&self, group: u64) -> Result<Option<Processes>, Unavailable> {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.map_err(|_| Unavailable)?;
        let questions = self.questions.clone();
        let asking = tokio::spawn(async move {
            let answer = ask(questions, |reply| Question::Processes(group, reply)).await;
            drop(turn);
            answer
        });
        asking.await.map_err(|_| Unavailable)?
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

/// At most one question under way; who asks meanwhile waits for its answer.
#[derive(Debug)]
struct Shared<T> {
    under_way: Arc<Mutex<Option<watch::Receiver<Answer<T>>>>>,
    /// Held by the question that was asked, where only those share its answer who came before that.
    turn: Option<Arc<tokio::sync::Mutex<()>>>,
}

// By hand: derived ones would want the same of T.
impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            under_way: Arc::default(),
            turn: None,
        }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            under_way: Arc::clone(&self.under_way),
            turn: self.turn.clone(),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Shared<T> {
    /// One question is asked and one waits, at most; who asks shares the one that waits.
    fn by_turns() -> Self {
        Self {
            turn: Some(Arc::default()),
            ..Self::default()
        }
    }

    async fn answer<F>(&self, question: impl FnOnce() -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, Unavailable>> + Send + 'static,
    {
        let mut answer = {
            let mut under_way = self
                .under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match &*under_way {
                Some(answer) => answer.clone(),
                None => under_way.insert(self.begin(question())).clone(),
            }
        };
        let answer = answer
            .wait_for(Option::is_some)
            .await
            .map_err(|_| Unavailable)?;
        answer.clone().unwrap_or(Err(Unavailable))
    }

    fn begin(
        &self,
        question: impl Future<Output = Result<T, Unavailable>> + Send + 'static,
    ) -> watch::Receiver<Answer<T>> {
        let (sender, receiver) = watch::channel(None);
        let Self { under_way, turn } = self.clone();
        let end = move || *under_way.lock().unwrap_or_else(PoisonError::into_inner) = None;
        tokio::spawn(async move {
            let answer = match turn {
                Some(turn) => {
                    let _turn = turn.lock_owned().await;
                    // First the end, then the question: who asks from now on waits for the next one.
                    end();
                    question.await
                }
                None => {
                    let answer = question.await;
                    // First the end, then the answer: who asks from now on gets a fresh one.
                    end();
                    answer
                }
            };
            sender.send_replace(Some(answer));
        });
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next_reply(inbox: &mut mpsc::Receiver<Question>) -> oneshot::Sender<Bytes> {
        match inbox.recv().await {
            Some(Question::Metrics(reply)) => reply,
            other => panic!("not a scrape: {other:?}"),
        }
    }

    #[tokio::test]
    async fn coinciding_scrapes_share_one_answer_and_later_ones_do_not() {
        let (owner, mut inbox) = owner();
        let clone = owner.clone();
        let answers = async { tokio::join!(owner.metrics(), clone.metrics(), owner.metrics()) };
        let answering = async {
            let reply = next_reply(&mut inbox).await;
            reply.send(Bytes::from_static(b"1")).unwrap();
        };
        let ((a, b, c), ()) = tokio::join!(answers, answering);
        for answer in [a, b, c] {
            assert_eq!(answer.unwrap(), "1");
        }
        assert!(inbox.try_recv().is_err(), "one question only");

        let answering = async {
            next_reply(&mut inbox)
                .await
                .send(Bytes::from_static(b"2"))
                .unwrap();
        };
        let (again, ()) = tokio::join!(owner.metrics(), answering);
        assert_eq!(again.unwrap(), "2");
    }

    #[tokio::test]
    async fn a_reload_begins_after_it_was_asked_for_and_is_shared_by_all_who_wait() {
        let (owner, mut inbox) = owner();
        let begin = || {
            let owner = owner.clone();
            tokio::spawn(async move { owner.reload().await.unwrap() })
        };
        let first = begin();
        let Some(Question::Reload(reply)) = inbox.recv().await else {
            panic!("not a reload");
        };
        // On one thread, each task runs until it waits.
        let later = [begin(), begin()];
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(inbox.try_recv().is_err(), "one at a time");
        reply.send(Err("old".to_owned())).unwrap();
        let Some(Question::Reload(reply)) = inbox.recv().await else {
            panic!("not a reload");
        };
        reply.send(Ok(())).unwrap();
        assert_eq!(first.await.unwrap(), Err("old".to_owned()));
        for one in later {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        assert!(inbox.try_recv().is_err(), "the two were one");
    }

    #[tokio::test]
    async fn who_gives_up_takes_no_answer_from_the_others() {
        let (owner, mut inbox) = owner();
        let first = tokio::spawn({
            let owner = owner.clone();
            async move { owner.metrics().await }
        });
        let reply = next_reply(&mut inbox).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let answering = async { reply.send(Bytes::from_static(b"1")).unwrap() };
        let (second, ()) = tokio::join!(owner.metrics(), answering);
        assert_eq!(second.unwrap(), "1");
    }

    #[tokio::test]
    async fn a_dropped_reply_or_inbox_is_no_answer() {
        let (owner, mut inbox) = owner();
        let dropping = async { drop(next_reply(&mut inbox).await) };
        let (answer, ()) = tokio::join!(owner.metrics(), dropping);
        assert_eq!(answer, Err(Unavailable));
        drop(inbox);
        assert_eq!(owner.health().await, Err(Unavailable));
    }
}

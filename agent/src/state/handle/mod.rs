//! The interface of the state to other threads: questions to the thread that owns it, and the types of its answers.
//!
//! ```text
//!  request --+                       (one question of a kind at a time)
//!  request --+--> Handle::health -----> Question::Health(reply) ----> the state thread
//!  request --+         ^                                                    |
//!            +---------+---------------- the same answer <------------------+
//! ```
//!
//! Requests that ask at the same time share one answer (`shared.rs`). A reload never begins before the request that gets
//! its result: requests that arrive while one runs wait until it ends and share the next one.
//!
//! A tokio task of its own asks each question, so the question outlives the request that caused it: a client that
//! disconnects does not take the answer away from the others.
//!
//! Left to others: when to ask for scrapes, overviews and lists of processes (`http/answers`).

mod shared;
mod shown;
mod view;

use std::sync::Arc;

pub(crate) use shared::Shared;
pub use shown::Shown;
use tokio::sync::{mpsc, oneshot};
pub use view::{
    GroupRow, GunicornRow, MOST_GROUPS, MOST_PROCESSES, Overview, Placed, ProcessRow, Processes,
};

use crate::collector::CollectedPart;

/// A question to the state thread, with the channel for its answer. If the state thread drops the reply, the request
/// gets [`Unavailable`].
#[derive(Debug)]
pub enum Question {
    /// Scrape; the answer has the families of the state's collectors.
    Metrics(oneshot::Sender<CollectedPart>),
    /// The agent's health.
    Health(oneshot::Sender<Health>),
    /// Reload the configuration; the answer is an error with the reason if that changed nothing.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Take a pass for the page; the answer is the content of the page.
    Overview(oneshot::Sender<Arc<Overview>>),
    /// The processes of the group with this id, as of the last pass; `None` if there is no such group.
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

impl Health {
    /// The health of an agent that has done its first pass.
    pub(crate) fn of(reasons: Vec<String>) -> Self {
        let status = match reasons.is_empty() {
            true => Status::Ok,
            false => Status::Degraded,
        };
        Self { status, reasons }
    }
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
pub struct Handle {
    questions: mpsc::Sender<Question>,
    health: Shared<Health>,
    reload: Shared<Result<(), String>>,
    /// At most one reload is under way.
    reloading: Arc<tokio::sync::Mutex<()>>,
}

/// Creates a [`Handle`] and the receiver of its questions, which the state thread reads.
pub fn channel() -> (Handle, mpsc::Receiver<Question>) {
    // At most one question of each of the five kinds is under way.
    let (questions, inbox) = mpsc::channel(5);
    (
        Handle {
            questions,
            health: Shared::default(),
            reload: Shared::default(),
            reloading: Arc::default(),
        },
        inbox,
    )
}

impl Handle {
    /// The agent's health.
    pub async fn health(&self) -> Result<Health, Unavailable> {
        self.health
            .answer(|open| {
                let state = self.clone();
                async move {
                    let health = state.ask(Question::Health).await;
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
                let state = self.clone();
                async move {
                    let _turn = state.reloading.lock().await;
                    drop(open);
                    state.ask(Question::Reload).await
                }
            })
            .await
    }

    /// Asks one question, which no other request shares.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let asked = self.questions.send(question(reply)).await;
        asked.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reloads_requested_during_a_reload_share_the_next_one() {
        let (state, mut inbox) = channel();
        let begin = || {
            let state = state.clone();
            tokio::spawn(async move { state.reload().await.unwrap() })
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
}

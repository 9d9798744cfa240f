//! The thread that owns the state, and the events that wake it.
//!
//! ```text
//! requests from HTTP ----+
//! ring half full --------+--> one at a time --> AgentState
//! every 10 s ------------+
//! ```
//!
//! Until the first pass is done, [`stand_in`] answers: it reports health "starting", and all other requests wait.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::AgentState;
use super::handle::{Health, Question, Status};

/// How often the agent drains records between scrapes. The names in an exec record wait no longer than this in the kernel.
const DRAIN_INTERVAL: Duration = Duration::from_secs(10);
/// The same interval while the self-test waits for its record.
const SELF_TEST_INTERVAL: Duration = Duration::from_secs(1);

/// Answers in place of the state thread until `ready`. Returns the inbox and the requests that wait: at most one of each kind.
pub(crate) async fn stand_in(
    mut inbox: mpsc::Receiver<Question>,
    mut ready: oneshot::Receiver<()>,
) -> (mpsc::Receiver<Question>, Vec<Question>) {
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            _ = &mut ready => return (inbox, waiting),
            Some(question) = inbox.recv() => match question {
                Question::Health(reply) => {
                    let reasons = vec!["the first pass over the processes is under way".to_owned()];
                    // The requester may be gone.
                    let _ = reply.send(Health { status: Status::Starting, reasons });
                }
                question => waiting.push(question),
            },
        }
    }
}

/// Owns `state` and answers requests until all senders are gone.
pub(crate) async fn own(
    mut state: AgentState,
    mut inbox: mpsc::Receiver<Question>,
    waiting: Vec<Question>,
) -> io::Result<()> {
    let ring = Ring::new(state.wake_fd()?)?;
    for question in waiting {
        answer(&mut state, question);
    }
    loop {
        let interval = if state.is_self_test_pending() {
            SELF_TEST_INTERVAL
        } else {
            DRAIN_INTERVAL
        };
        tokio::select! {
            question = inbox.recv() => match question {
                Some(question) => answer(&mut state, question),
                None => return Ok(()),
            },
            result = ring.half_full() => {
                result?;
                state.drain();
            }
            () = tokio::time::sleep(interval) => state.drain(),
        }
    }
}

/// Answers one request; if the requester is gone, the answer is dropped.
fn answer(state: &mut AgentState, question: Question) {
    match question {
        Question::Metrics(reply) => {
            let _ = reply.send(state.scrape());
        }
        Question::Health(reply) => {
            let _ = reply.send(state.health());
        }
        // The caller notifies the service manager of the reload, before and after it.
        Question::Reload(reply) => {
            let _ = reply.send(state.reload());
        }
        Question::Overview(reply) => {
            let _ = reply.send(state.overview().into());
        }
        Question::Processes(group, reply) => {
            let _ = reply.send(state.processes(group));
        }
    }
}

/// The kernel's ring; `None` without kernel programs.
struct Ring(Option<AsyncFd<OwnedFd>>);

impl Ring {
    fn new(fd: Option<OwnedFd>) -> io::Result<Self> {
        let watch = |fd| {
            // SAFETY: `AsyncFd` owns the descriptor, so the descriptor stays open while it is registered.
            unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        };
        Ok(Self(fd.map(watch).transpose()?))
    }

    async fn half_full(&self) -> io::Result<()> {
        match &self.0 {
            Some(ring) => {
                ring.readable().await?.clear_ready();
                Ok(())
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_before_first_pass_wait_except_health() {
        let (questions, inbox) = mpsc::channel(3);
        let (ready, is_ready) = oneshot::channel();
        let asking = async {
            let (reply, health) = oneshot::channel();
            questions
                .send(Question::Reload(oneshot::channel().0))
                .await
                .unwrap();
            questions
                .send(Question::Metrics(oneshot::channel().0))
                .await
                .unwrap();
            questions.send(Question::Health(reply)).await.unwrap();
            assert_eq!(health.await.unwrap().status, Status::Starting);
            ready.send(()).unwrap();
        };
        let ((_, waiting), ()) = tokio::join!(stand_in(inbox, is_ready), asking);
        assert!(
            matches!(waiting[..], [Question::Reload(_), Question::Metrics(_)]),
            "{waiting:?}"
        );
    }
}

//! The thread that owns the state, and what wakes it.
//!
//! ```text
//! questions from HTTP ---+
//! ring half full --------+--> one at a time --> pipeline
//! every 10 s ------------+
//! ```
//!
//! Until the first pass is done a stand-in answers: health is "starting", scrapes wait.

use crate::{
    http::{Health, Question, Status},
    pipeline::Pipeline,
};
use std::{io, os::fd::OwnedFd, time::Duration};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, oneshot},
};

/// How often records are taken when nobody scrapes. An exec's names wait no longer than this in the kernel.
const SLOW: Duration = Duration::from_secs(10);
/// The same while the self-test waits for its record.
const SELF_TEST: Duration = Duration::from_secs(1);

/// Answers in the owner's place until `ready`; gives back the inbox, and the questions that wait.
pub(crate) async fn stand_in(
    mut inbox: mpsc::Receiver<Question>,
    mut ready: oneshot::Receiver<()>,
) -> (mpsc::Receiver<Question>, Vec<Question>) {
    // One question of each kind is under way at most.
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            _ = &mut ready => return (inbox, waiting),
            question = inbox.recv() => match question {
                Some(Question::Health(reply)) => {
                    let reasons = vec!["the first pass over the processes is under way".to_owned()];
                    // Who asked may be gone.
                    let _ = reply.send(Health { status: Status::Starting, reasons });
                }
                Some(look) => waiting.push(look),
                // Nobody will ask any more; whether the pipeline is ready is still to be waited for.
                None => {
                    let _ = (&mut ready).await;
                    return (inbox, waiting);
                }
            },
        }
    }
}

/// Owns `pipeline` until the last questioner is gone.
pub(crate) async fn own(
    mut pipeline: Pipeline,
    mut inbox: mpsc::Receiver<Question>,
    waiting: Vec<Question>,
) -> io::Result<()> {
    let ring = Ring::new(pipeline.wake_fd()?)?;
    for question in waiting {
        answer(&mut pipeline, question);
    }
    loop {
        let pause = if pipeline.is_self_test_pending() {
            SELF_TEST
        } else {
            SLOW
        };
        tokio::select! {
            question = inbox.recv() => match question {
                Some(question) => answer(&mut pipeline, question),
                None => return Ok(()),
            },
            result = ring.half_full() => {
                result?;
                pipeline.drain_and_heal();
            }
            () = tokio::time::sleep(pause) => pipeline.drain_and_heal(),
        }
    }
}

/// Who asked may be gone; then the answer is for nobody.
fn answer(pipeline: &mut Pipeline, question: Question) {
    match question {
        Question::Metrics(reply) => {
            let _ = reply.send(pipeline.scrape().into());
        }
        Question::Health(reply) => {
            let _ = reply.send(pipeline.health());
        }
        Question::Overview(reply) => {
            let _ = reply.send(pipeline.overview().into());
        }
        Question::Processes(group, reply) => {
            let _ = reply.send(pipeline.processes(group));
        }
    }
}

/// The kernel's ring, if there is one.
struct Ring(Option<AsyncFd<OwnedFd>>);

impl Ring {
    fn new(fd: Option<OwnedFd>) -> io::Result<Self> {
        let watch = |fd| {
            // SAFETY: the descriptor is owned, so it stays open and its own for as long as it is watched.
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
    async fn who_asks_before_the_first_pass_is_answered_after_it() {
        let (questions, inbox) = mpsc::channel(4);
        let (ready, is_ready) = oneshot::channel();
        let (scrape, look, health) = (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let asked = [
            Question::Metrics(scrape.0),
            Question::Overview(look.0),
            Question::Health(health.0),
        ];
        for question in asked {
            questions.send(question).await.unwrap();
        }
        let telling = async {
            assert_eq!(health.1.await.unwrap().status, Status::Starting);
            ready.send(()).unwrap();
        };
        let ((_inbox, waiting), ()) = tokio::join!(stand_in(inbox, is_ready), telling);
        assert!(
            matches!(waiting[..], [Question::Metrics(_), Question::Overview(_)]),
            "{waiting:?}"
        );
    }
}

//! The thread that asks targets, in rounds.
//!
//! ```text
//! question --+                                      +--> the answer to all that waited
//! question --+--> round: find, then ask, all kinds --+
//! question ------ joins the round under way ---------+   (at its own deadline: the answers so far)
//! ```
//!
//! A round begins with a question and ends when all targets have answered or failed, at the latest [`MARGIN`] before the deadline
//! of that question. Questions that arrive meanwhile share it, so no target is asked twice at the same time. A question whose own
//! deadline is earlier gets the answers so far. The thread asks no target without a question. A handle with the part of a round
//! that found no target asks no question as long as no target can appear.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::handle::{Applications, KindRun, TargetsPart, TargetsQuestion};
use super::kind::{AskedAll, TargetKind};
use crate::exposition::Writer;
use crate::host::{boottime_ns, thread_cpu_ns};

/// The part of a scrape's time that is reserved for joining and sending its parts.
const MARGIN: Duration = Duration::from_millis(50);

/// Answers questions until the last handle is dropped.
pub(crate) async fn answer(
    kinds: &[Box<dyn TargetKind>],
    mut questions: mpsc::Receiver<TargetsQuestion>,
) {
    while let Some(first) = questions.recv().await {
        let (began, before_ns) = (Instant::now(), thread_cpu_ns());
        let answer = || Arc::new(part(kinds, began, before_ns));
        let mut asking = pin!(ask_all(kinds, end(&first)));
        let mut waiting = vec![first];
        loop {
            let next = waiting.iter().map(end).min();
            tokio::select! {
                biased;
                () = &mut asking => break,
                () = until(next) => {
                    let now = Instant::now();
                    let early = answer();
                    for question in waiting.extract_if(.., |one| end(one) <= now) {
                        reply(question, &early);
                    }
                }
                question = questions.recv() => match question {
                    Some(question) => waiting.push(question),
                    None => return,
                },
            }
        }
        let complete = answer();
        for question in waiting {
            reply(question, &complete);
        }
    }
}

/// Asks the targets of all kinds at the same time.
async fn ask_all(kinds: &[Box<dyn TargetKind>], end: Instant) {
    let mut asking: Vec<Option<Pin<Box<AskedAll<'_>>>>> =
        kinds.iter().map(|kind| Some(kind.ask(end))).collect();
    poll_fn(|context| {
        for one in &mut asking {
            if let Some(future) = one
                && future.as_mut().poll(context).is_ready()
            {
                *one = None;
            }
        }
        match asking.iter().all(Option::is_none) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// The families of the answers so far.
fn part(kinds: &[Box<dyn TargetKind>], began: Instant, before_ns: u64) -> TargetsPart {
    let mut writer = Writer::default();
    let mut applications = Applications {
        time: boottime_ns() as f64 / 1e9,
        ..Applications::default()
    };
    let runs = kinds.iter().map(|kind| {
        kind.write(&mut writer);
        kind.show(&mut applications);
        KindRun {
            collector: kind.name(),
            is_success: true,
            duration: began.elapsed(),
        }
    });
    let runs = runs.collect();
    let stillness: Option<Vec<_>> = kinds.iter().map(|kind| kind.stillness()).collect();
    TargetsPart {
        part: writer.take(),
        applications,
        runs,
        stillness: stillness.map(|all| all.concat()),
        cpu: Duration::from_nanos(thread_cpu_ns().saturating_sub(before_ns)),
    }
}

/// The latest time at which the answer to `question` is sent.
fn end(question: &TargetsQuestion) -> Instant {
    let deadline = question.deadline;
    deadline.checked_sub(MARGIN).unwrap_or(deadline)
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}

fn reply(question: TargetsQuestion, part: &Arc<TargetsPart>) {
    // The scrape may have ended without waiting for the answer.
    let _ = question.reply.send(Arc::clone(part));
}

//! Which requests share an answer, and how many questions reach the state thread.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::collector::{CollectedPart, Runs};
use crate::exposition::{Part, assemble};
use crate::state::handle::channel;
use crate::targets::handle::{Applications, TargetsQuestion, channel as targets_channel};

/// Makes expositions of the parts alone, as they are.
pub(super) fn plain_joiner() -> Joiner {
    Joiner::made_by(|state, targets| {
        let state = state.map(CollectedPart::part);
        let targets = targets.map(|targets| &targets.part);
        let parts: Vec<&Part> = state.into_iter().chain(targets).collect();
        assemble(&parts)
    })
}

fn idle_state() -> (Answers, mpsc::Receiver<Question>) {
    let (state, inbox) = channel();
    let answers = Answers::new(state, None, plain_joiner(), &Arc::default(), || {
        Duration::ZERO
    });
    (answers, inbox)
}

/// A deadline that no test reaches.
pub(super) fn late() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

pub(super) fn part(text: &str) -> CollectedPart {
    Part::verbatim(text.to_owned()).into()
}

pub(super) async fn next_reply(
    inbox: &mut mpsc::Receiver<Question>,
) -> oneshot::Sender<CollectedPart> {
    match inbox.recv().await {
        Some(Question::Metrics(reply)) => reply,
        other => panic!("not a scrape: {other:?}"),
    }
}

#[tokio::test]
async fn concurrent_scrapes_share_one_answer_and_later_ones_do_not() {
    let (answers, mut inbox) = idle_state();
    let clone = answers.clone();
    let asking = async {
        tokio::join!(
            answers.metrics(late()),
            clone.metrics(late()),
            answers.metrics(late())
        )
    };
    let answering = async {
        let reply = next_reply(&mut inbox).await;
        reply.send(part("1")).unwrap();
    };
    let ((a, b, c), ()) = tokio::join!(asking, answering);
    for answer in [a, b, c] {
        assert_eq!(answer.unwrap().plain(), "1");
    }
    assert!(inbox.try_recv().is_err(), "one question only");

    let answering = async {
        next_reply(&mut inbox).await.send(part("2")).unwrap();
    };
    let (again, ()) = tokio::join!(answers.metrics(late()), answering);
    assert_eq!(again.unwrap().plain(), "2");
}

#[tokio::test]
async fn cancelled_request_leaves_the_answer_to_the_others() {
    let (answers, mut inbox) = idle_state();
    let ask = || {
        let answers = answers.clone();
        tokio::spawn(async move { answers.metrics(late()).await })
    };
    let (first, second) = (ask(), ask());
    let reply = next_reply(&mut inbox).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    reply.send(part("1")).unwrap();
    assert_eq!(second.await.unwrap().unwrap().plain(), "1");
}

#[tokio::test]
async fn request_during_a_pass_gets_the_next_pass() {
    let (answers, mut inbox) = idle_state();
    let ask = || {
        let answers = answers.clone();
        tokio::spawn(async move { answers.metrics(late()).await.unwrap().plain() })
    };
    let first = ask();
    let reply = next_reply(&mut inbox).await;
    // These two arrive during the pass.
    let later = [ask(), ask()];
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(inbox.try_recv().is_err(), "one pass at a time");
    reply.send(part("old")).unwrap();
    assert_eq!(first.await.unwrap(), "old");
    let reply = next_reply(&mut inbox).await;
    reply.send(part("new")).unwrap();
    for request in later {
        assert_eq!(request.await.unwrap(), "new");
    }
    assert!(inbox.try_recv().is_err(), "the two shared one");
}

/// CPU time of the passes in the test below so far.
static SPENT_MS: AtomicU64 = AtomicU64::new(0);

#[tokio::test(start_paused = true)]
async fn requests_without_pause_use_at_most_a_fifth_of_a_core() {
    const COST_MS: u64 = 100;
    const SECONDS: u64 = 100;
    let counters = Arc::<HttpCounters>::default();
    let clock = || Duration::from_millis(SPENT_MS.load(Relaxed));
    let (state, mut inbox) = channel();
    let answers = Answers::new(state, None, plain_joiner(), &counters, clock);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let answers = answers.clone();
        clients.spawn(async move { while answers.metrics(late()).await.is_ok() {} });
    }
    // A viewer of the page asks at the same time.
    let viewer = answers.clone();
    clients.spawn(async move { while viewer.overview().await.is_ok() {} });
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let mut passes = 0;
    while Instant::now() < end {
        let question = inbox.recv().await.unwrap();
        passes += 1;
        SPENT_MS.fetch_add(COST_MS, Relaxed);
        tokio::time::sleep(Duration::from_millis(COST_MS)).await;
        match question {
            Question::Metrics(reply) => reply.send(part("")).unwrap(),
            // The viewer gets `Unavailable` and asks again.
            Question::Overview(_) => {}
            other => panic!("not a pass: {other:?}"),
        }
    }
    clients.shutdown().await;
    let used_ms = passes * COST_MS;
    assert!(used_ms < SECONDS * 1000 / 5, "{passes} passes");
    assert!(used_ms > SECONDS * 1000 / 10, "{passes} passes");
    assert!(counters.read().unsent.delayed_passes > 0);
}

#[tokio::test]
async fn dropped_reply_or_inbox_makes_the_state_unavailable() {
    let (answers, mut inbox) = idle_state();
    let dropping = async { drop(next_reply(&mut inbox).await) };
    let (answer, ()) = tokio::join!(answers.metrics(late()), dropping);
    assert_eq!(answer.unwrap_err(), Unavailable);
    drop(inbox);
    assert_eq!(answers.state().health().await, Err(Unavailable));
}

fn with_targets() -> (
    Answers,
    mpsc::Receiver<Question>,
    mpsc::Receiver<TargetsQuestion>,
) {
    let (state, inbox) = channel();
    let (targets, questions) = targets_channel(vec!["k"], Arc::default());
    let source = TargetsSource::new(targets, Runs::new().unwrap());
    let answers = Answers::new(state, Some(source), plain_joiner(), &Arc::default(), || {
        Duration::ZERO
    });
    (answers, inbox, questions)
}

#[tokio::test]
async fn page_and_scrape_share_a_question_to_targets() {
    let (answers, mut inbox, mut questions) = with_targets();
    let asking = async { tokio::join!(answers.metrics(late()), answers.targets(late())) };
    let answering = async {
        next_reply(&mut inbox).await.send(part("1")).unwrap();
        let question = questions.recv().await.unwrap();
        let applications = Applications {
            instances: 3,
            ..Applications::default()
        };
        let part = TargetsPart {
            applications,
            ..TargetsPart::default()
        };
        question.reply.send(Arc::new(part)).unwrap();
    };
    let ((metrics, targets), ()) = tokio::join!(asking, answering);
    assert_eq!(metrics.unwrap().plain(), "1");
    assert_eq!(targets.unwrap().applications.instances, 3);
    assert!(questions.try_recv().is_err(), "one question only");
}

#[tokio::test(start_paused = true)]
async fn targets_that_are_late_are_not_waited_for() {
    let (answers, _inbox, mut questions) = with_targets();
    let began = Instant::now();
    let limit = Duration::from_millis(500);
    let asking = answers.targets(began + limit);
    let (targets, question) = tokio::join!(asking, questions.recv());
    assert!(targets.is_none() && question.is_some());
    assert_eq!(began.elapsed(), limit);
}

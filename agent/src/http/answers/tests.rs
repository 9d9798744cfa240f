//! Which requests share an answer, and how many questions reach the state thread.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::*;
use crate::state::handle::channel;

fn idle_state() -> (Answers, mpsc::Receiver<Question>) {
    let (state, inbox) = channel();
    let answers = Answers::new(state, &Arc::default(), || Duration::ZERO);
    (answers, inbox)
}

async fn next_reply(inbox: &mut mpsc::Receiver<Question>) -> oneshot::Sender<Bytes> {
    match inbox.recv().await {
        Some(Question::Metrics(reply)) => reply,
        other => panic!("not a scrape: {other:?}"),
    }
}

#[tokio::test]
async fn concurrent_scrapes_share_one_answer_and_later_ones_do_not() {
    let (answers, mut inbox) = idle_state();
    let clone = answers.clone();
    let asking = async { tokio::join!(answers.metrics(), clone.metrics(), answers.metrics()) };
    let answering = async {
        let reply = next_reply(&mut inbox).await;
        reply.send(Bytes::from_static(b"1")).unwrap();
    };
    let ((a, b, c), ()) = tokio::join!(asking, answering);
    for answer in [a, b, c] {
        assert_eq!(answer.unwrap().plain(), "1");
    }
    assert!(inbox.try_recv().is_err(), "one question only");

    let answering = async {
        next_reply(&mut inbox)
            .await
            .send(Bytes::from_static(b"2"))
            .unwrap();
    };
    let (again, ()) = tokio::join!(answers.metrics(), answering);
    assert_eq!(again.unwrap().plain(), "2");
}

#[tokio::test]
async fn cancelled_request_leaves_the_answer_to_the_others() {
    let (answers, mut inbox) = idle_state();
    let ask = || {
        let answers = answers.clone();
        tokio::spawn(async move { answers.metrics().await })
    };
    let (first, second) = (ask(), ask());
    let reply = next_reply(&mut inbox).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    reply.send(Bytes::from_static(b"1")).unwrap();
    assert_eq!(second.await.unwrap().unwrap().plain(), "1");
}

#[tokio::test]
async fn request_during_a_pass_gets_the_next_pass() {
    let (answers, mut inbox) = idle_state();
    let ask = || {
        let answers = answers.clone();
        tokio::spawn(async move { answers.metrics().await.unwrap().plain() })
    };
    let first = ask();
    let reply = next_reply(&mut inbox).await;
    // These two arrive during the pass.
    let later = [ask(), ask()];
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(inbox.try_recv().is_err(), "one pass at a time");
    reply.send(Bytes::from_static(b"old")).unwrap();
    assert_eq!(first.await.unwrap(), "old");
    let reply = next_reply(&mut inbox).await;
    reply.send(Bytes::from_static(b"new")).unwrap();
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
    let answers = Answers::new(state, &counters, clock);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let answers = answers.clone();
        clients.spawn(async move { while answers.metrics().await.is_ok() {} });
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
            Question::Metrics(reply) => reply.send(Bytes::new()).unwrap(),
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
    let (answer, ()) = tokio::join!(answers.metrics(), dropping);
    assert_eq!(answer.unwrap_err(), Unavailable);
    drop(inbox);
    assert_eq!(answers.state().health().await, Err(Unavailable));
}

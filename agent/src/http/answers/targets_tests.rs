//! Scrapes of two parts: which requests share a part, and the effect of a thread that hangs.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::tests::{late, next_reply, part, plain_joiner};
use super::*;
use crate::collector::{RunOutcome, Runs};
use crate::exposition::Part;
use crate::state::handle::channel;
use crate::targets::handle::{KindRun, TargetsPart, TargetsQuestion};

const SECOND: Duration = Duration::from_secs(1);

/// The inboxes of both threads, which the tests answer, and the [`Answers`] that sends to them.
struct FakeThreads {
    answers: Answers,
    counters: Arc<HttpCounters>,
    runs: Runs,
    state: mpsc::Receiver<Question>,
    targets: mpsc::Receiver<TargetsQuestion>,
}

/// Largest targets' part in these tests.
const MOST: usize = 100;

fn threads(joiner: Joiner) -> FakeThreads {
    let runs = Runs::new().unwrap();
    runs.limit(MOST * 8, true);
    let counters = Arc::<HttpCounters>::default();
    let (handle, state) = channel();
    let (source, targets) = crate::targets::handle::channel(vec!["kind"], Arc::default());
    let source = TargetsSource::new(source, runs.clone());
    let answers = Answers::new(handle, Some(source), joiner, &counters, || Duration::ZERO);
    FakeThreads {
        answers,
        counters,
        runs,
        state,
        targets,
    }
}

impl FakeThreads {
    fn ask(&self, deadline: Instant) -> JoinHandle<String> {
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let exposition = answers.metrics(deadline).await.unwrap();
            String::from_utf8(exposition.plain().to_vec()).unwrap()
        })
    }

    async fn answer_state(&mut self, text: &str) {
        next_reply(&mut self.state).await.send(part(text)).unwrap();
    }

    async fn answer_targets(&mut self, text: &str) {
        let question = self.targets.recv().await.unwrap();
        let _ = question.reply.send(targets_part(text, Duration::ZERO));
    }
}

fn targets_part(text: &str, cpu: Duration) -> Arc<TargetsPart> {
    let run = KindRun {
        collector: "kind",
        is_success: true,
        duration: SECOND,
    };
    Arc::new(TargetsPart {
        part: Part::verbatim(text.to_owned()),
        runs: vec![run],
        cpu,
        ..TargetsPart::default()
    })
}

/// Lets all tasks run until they wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn both_parts_are_asked_for_at_the_same_time() {
    for is_state_first in [true, false] {
        let mut threads = threads(plain_joiner());
        let scrape = threads.ask(late());
        let reply = next_reply(&mut threads.state).await;
        let question = threads.targets.recv().await.unwrap();
        let targets = targets_part("t 1\n", Duration::ZERO);
        if is_state_first {
            reply.send(part("s 1\n")).unwrap();
            settle().await;
            question.reply.send(targets).unwrap();
        } else {
            question.reply.send(targets).unwrap();
            settle().await;
            reply.send(part("s 1\n")).unwrap();
        }
        assert_eq!(scrape.await.unwrap(), "s 1\nt 1\n");
        assert_eq!(threads.runs.count("kind", RunOutcome::Success), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn part_of_a_thread_that_hangs_is_left_out_at_the_deadline() {
    let mut threads = threads(plain_joiner());
    let owner = |threads: &FakeThreads| threads.counters.read().timeouts[2];
    let begun = Instant::now();
    let scrape = threads.ask(begun + 3 * SECOND);
    threads.answer_targets("t 1\n").await;
    assert_eq!(scrape.await.unwrap(), "t 1\n");
    assert_eq!(Instant::now(), begun + 3 * SECOND);
    assert_eq!(owner(&threads), ("owner", 1));

    // The state thread answers again, and now the targets thread hangs.
    threads.answer_state("late 1\n").await;
    let begun = Instant::now();
    let scrape = threads.ask(begun + 3 * SECOND);
    threads.answer_state("s 1\n").await;
    assert_eq!(scrape.await.unwrap(), "s 1\n");
    assert_eq!(Instant::now(), begun + 3 * SECOND);
    assert_eq!(owner(&threads), ("owner", 1));
    assert_eq!(threads.runs.count("kind", RunOutcome::Success), 1);

    // Neither delays the next scrape.
    drop(threads.targets.recv().await);
    let scrape = threads.ask(late());
    threads.answer_targets("t 2\n").await;
    threads.answer_state("s 2\n").await;
    assert_eq!(scrape.await.unwrap(), "s 2\nt 2\n");
}

#[tokio::test(start_paused = true)]
async fn state_that_has_ended_fails_the_scrape_at_once() {
    let FakeThreads {
        answers,
        state,
        targets: _targets,
        ..
    } = threads(plain_joiner());
    drop(state);
    let begun = Instant::now();
    let answer = answers.metrics(late()).await;
    assert_eq!(answer.unwrap_err(), Unavailable);
    assert_eq!(Instant::now(), begun);
}

#[tokio::test(start_paused = true)]
async fn targets_thread_that_has_ended_is_not_waited_for() {
    let mut threads = threads(plain_joiner());
    threads.targets.close();
    let begun = Instant::now();
    let scrape = threads.ask(late());
    threads.answer_state("s 1\n").await;
    assert_eq!(scrape.await.unwrap(), "s 1\n");
    assert_eq!(Instant::now(), begun);
}

/// Expositions made in the test below.
static MADE: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(start_paused = true)]
async fn requests_with_the_same_parts_share_one_exposition_and_no_part_outlives_them() {
    let joiner = plain_joiner();
    let mut threads = threads(Joiner::made_by(move |state, targets| {
        MADE.fetch_add(1, Relaxed);
        joiner.join(state, targets)
    }));
    let hasty = threads.ask(Instant::now() + 2 * SECOND);
    let patient: Vec<_> = (0..3).map(|_| threads.ask(late())).collect();
    let text = format!("s {}\n", "1".repeat(40_000));
    let reply = next_reply(&mut threads.state).await;
    reply.send(part(&text)).unwrap();
    settle().await;
    let waiting = threads.counters.read().unsent.bytes;
    assert_eq!(waiting, text.len() as u64, "the part that waits counts");
    // The first request has asked the question, and the others have joined it.
    let question = threads.targets.recv().await.unwrap();
    assert_eq!(hasty.await.unwrap(), text);
    assert_eq!(MADE.load(Relaxed), 1);
    drop(question);
    for scrape in patient {
        assert_eq!(
            scrape.await.unwrap(),
            text,
            "the question was without answer"
        );
    }
    assert_eq!(MADE.load(Relaxed), 1, "the same pair");
    assert_eq!(threads.counters.read().unsent.bytes, 0);

    let answers = threads.answers.clone();
    let shared = tokio::spawn(async move { Arc::downgrade(&answers.state_part().await.unwrap()) });
    let scrapes = [(); 3].map(|()| threads.ask(late()));
    threads.answer_targets("t 2\n").await;
    threads.answer_state("s 2\n").await;
    for scrape in scrapes {
        assert_eq!(scrape.await.unwrap(), "s 2\nt 2\n");
    }
    assert_eq!(MADE.load(Relaxed), 2);
    assert_eq!(
        shared.await.unwrap().strong_count(),
        0,
        "the text of the part is dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_share_the_targets_part_while_the_state_hangs() {
    let mut threads = threads(plain_joiner());
    let deadline = Instant::now() + 2 * SECOND;
    let scrapes = [(); 3].map(|()| {
        let answers = threads.answers.clone();
        tokio::spawn(async move { answers.metrics(deadline).await.unwrap() })
    });
    threads.answer_targets("t 1\n").await;
    let mut made = Vec::new();
    for scrape in scrapes {
        made.push(scrape.await.unwrap());
    }
    assert_eq!(made[0].plain(), "t 1\n");
    assert!(made.iter().all(|one| Arc::ptr_eq(one, &made[0])));
}

#[tokio::test(start_paused = true)]
async fn request_joins_the_question_that_is_under_way() {
    let mut threads = threads(plain_joiner());
    let first = threads.ask(late());
    let question = threads.targets.recv().await.unwrap();
    threads.answer_state("s 1\n").await;
    let second = threads.ask(late());
    settle().await;
    assert!(
        threads.targets.try_recv().is_err(),
        "one question at a time"
    );
    let targets = targets_part("t 1\n", Duration::ZERO);
    question.reply.send(targets).unwrap();
    assert_eq!(first.await.unwrap(), "s 1\nt 1\n");
    threads.answer_state("s 2\n").await;
    assert_eq!(second.await.unwrap(), "s 2\nt 1\n");
    assert_eq!(threads.runs.count("kind", RunOutcome::Success), 1);
}

#[tokio::test(start_paused = true)]
async fn hasty_client_does_not_cut_the_question_of_others_short() {
    let mut threads = threads(plain_joiner());
    let begun = Instant::now();
    let hasty = threads.ask(begun + Duration::from_millis(1));
    let question = threads.targets.recv().await.unwrap();
    assert_eq!(
        question.deadline,
        begun + targets::HASTY,
        "time for healthy targets"
    );
    let patient = threads.ask(begun + 5 * SECOND);
    settle().await;
    assert!(
        threads.targets.try_recv().is_err(),
        "one question at a time"
    );
    assert_eq!(hasty.await.unwrap(), "");
    drop(question);
    let question = threads.targets.recv().await.unwrap();
    assert_eq!(question.deadline, begun + 5 * SECOND);
    threads.answer_state("late 1\n").await;
    threads.answer_state("s 1\n").await;
    let targets = targets_part("t 1\n", Duration::ZERO);
    question.reply.send(targets).unwrap();
    assert_eq!(patient.await.unwrap(), "s 1\nt 1\n");

    // A client that can wait gets a question in which every target has its full time.
    let begun = Instant::now();
    let _scrape = threads.ask(begun + targets::PATIENT);
    let question = threads.targets.recv().await.unwrap();
    assert_eq!(question.deadline, begun + targets::PATIENT);
}

#[tokio::test(start_paused = true)]
async fn part_longer_than_its_share_is_left_out() {
    let mut threads = threads(plain_joiner());
    for (bytes, is_shown) in [(MOST, true), (MOST + 1, false)] {
        let text = format!("{}\n", "t".repeat(bytes - 1));
        let scrape = threads.ask(late());
        threads.answer_targets(&text).await;
        threads.answer_state("s 1\n").await;
        let body = scrape.await.unwrap();
        assert_eq!(body.contains(&text), is_shown, "{bytes}");
        assert!(body.contains("s 1\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn targets_use_at_most_a_fifth_of_a_core_for_clients_that_ask_without_pause() {
    const COST: Duration = Duration::from_millis(100);
    const SECONDS: u32 = 100;
    let mut threads = threads(plain_joiner());
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let answers = threads.answers.clone();
        clients.spawn(async move { while answers.metrics(late()).await.is_ok() {} });
    }
    let end = Instant::now() + SECONDS * SECOND;
    let mut parts = 0;
    while Instant::now() < end {
        tokio::select! {
            Some(question) = threads.targets.recv() => {
                parts += 1;
                tokio::time::sleep(COST).await;
                let _ = question.reply.send(targets_part("", COST));
            }
            // Here the state uses no CPU time.
            reply = next_reply(&mut threads.state) => drop(reply.send(part(""))),
        }
    }
    clients.shutdown().await;
    let used = COST * parts;
    assert!(used < SECONDS * SECOND / 5, "{parts} parts");
    assert!(used > SECONDS * SECOND / 10, "{parts} parts");
}

use std::io::{PipeReader, PipeWriter, Read as _, pipe};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use super::*;
use crate::blocking::EACH;

type Numbered = Readers<u32>;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// A job that ends when the writer is dropped.
fn stuck() -> (PipeWriter, BlockingJob<u32>) {
    let (reader, writer) = pipe().unwrap();
    (writer, Box::new(move || read(reader)))
}

fn read(mut pipe: PipeReader) -> u32 {
    let _ = pipe.read(&mut [0]);
    99
}

fn ready(number: u32) -> (u32, BlockingJob<u32>) {
    (number, Box::new(move || number))
}

/// Holds up a reader for this user; dropping the returned value frees it.
async fn hold_up(readers: &Numbered, key: u32, user: u32) -> PipeWriter {
    let (writer, job) = stuck();
    let result = readers.run((key, user), soon(), job).await;
    assert_eq!(result, Err(Failure::Timeout));
    writer
}

async fn await_released(readers: &Numbered, held_up: usize) {
    while readers.held_up() > held_up {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn jobs_are_done_by_one_reader() {
    let readers = Numbered::new();
    let thread = || std::thread::current().id();
    let first = readers.run((1, 0), soon(), thread).await.unwrap();
    for user in [0, 1000, 1001] {
        assert_eq!(readers.run((1, user), soon(), thread).await, Ok(first));
    }
    assert_ne!(first, thread());
}

#[tokio::test]
async fn job_that_does_not_end_fails_alone_and_is_busy_until_it_ends() {
    let readers = Numbered::new();
    let (writer, job) = stuck();
    let jobs = vec![ready(1), (2, job), ready(3), ready(4)];
    let mut results = readers.run_all(7, soon(), jobs).await;
    results.sort_by_key(|(key, _)| *key);
    let wanted = [
        (1, Ok(1)),
        (2, Err(Failure::Timeout)),
        (3, Ok(3)),
        (4, Ok(4)),
    ];
    assert_eq!(results, wanted);
    assert_eq!(readers.held_up(), 1);
    let mut results = readers.run_all(7, soon(), vec![ready(2), ready(5)]).await;
    results.sort_by_key(|(key, _)| *key);
    assert_eq!(results, [(2, Err(Failure::Busy)), (5, Ok(5))]);
    drop(writer);
    await_released(&readers, 0).await;
    assert_eq!(readers.run((2, 7), soon(), || 2).await, Ok(2));
}

#[tokio::test]
async fn user_at_the_bound_is_busy_and_others_are_not() {
    let readers = Numbered::new();
    let mut held = Vec::new();
    for key in 0..2 {
        held.push(hold_up(&readers, key, 7).await);
    }
    assert_eq!(readers.run((9, 7), soon(), || ()).await, Err(Failure::Busy));
    for user in [0, 8] {
        assert_eq!(readers.run((9, user), soon(), || ()).await, Ok(()));
    }
    held.pop();
    await_released(&readers, 1).await;
    assert_eq!(readers.run((9, 7), soon(), || ()).await, Ok(()));
}

#[tokio::test]
async fn all_users_at_the_bound_leave_root_its_readers() {
    let readers = Numbered::new();
    let mut held = Vec::new();
    for key in 0..8 {
        held.push(hold_up(&readers, key, 100 + key / 2).await);
    }
    assert_eq!(
        readers.run((50, 200), soon(), || ()).await,
        Err(Failure::Busy)
    );
    for key in 8..12 {
        assert_eq!(readers.run((50, 0), soon(), || ()).await, Ok(()));
        held.push(hold_up(&readers, key, 0).await);
    }
    assert_eq!(
        readers.run((50, 0), soon(), || ()).await,
        Err(Failure::Busy)
    );
    assert_eq!(readers.held_up(), 12);
    held.clear();
    await_released(&readers, 0).await;
    assert_eq!(readers.run((50, 200), soon(), || ()).await, Ok(()));
}

#[tokio::test]
async fn jobs_that_do_not_end_do_not_delay_another_user() {
    let readers = Numbered::new();
    let begun = Instant::now();
    let (_writers, jobs): (Vec<_>, Vec<_>) = (0..4).map(|_| stuck()).unzip();
    let jobs = (10..).zip(jobs).collect();
    let hostile = async {
        let results = readers.run_all(7, soon(), jobs).await;
        (results, begun.elapsed())
    };
    let other = async {
        let result = readers.run((1, 8), soon(), || 1).await;
        (result, begun.elapsed())
    };
    let ((results, hostile), (result, other)) = tokio::join!(hostile, other);
    assert_eq!(result, Ok(1));
    assert!(
        other < hostile && hostile > EACH / 2,
        "{other:?} {hostile:?}"
    );
    let failed = |failure| {
        results
            .iter()
            .filter(|(_, result)| *result == Err(failure))
            .count()
    };
    assert_eq!((failed(Failure::Timeout), failed(Failure::Busy)), (2, 2));
}

#[tokio::test]
async fn deadline_ends_the_waiting_and_the_reader_is_counted() {
    let readers = Numbered::new();
    let spins = Arc::new(AtomicBool::new(true));
    let job: BlockingJob<u32> = {
        let spins = Arc::clone(&spins);
        Box::new(move || {
            while spins.load(SeqCst) {}
            1
        })
    };
    let deadline = Instant::now() + 3 * EACH;
    let mut results = readers.run_all(7, deadline, vec![(1, job), ready(2)]).await;
    results.sort_by_key(|(key, _)| *key);
    assert_eq!(
        results,
        [(1, Err(Failure::Timeout)), (2, Err(Failure::Timeout))]
    );
    assert_eq!(readers.held_up(), 1);
    assert_eq!(readers.run((1, 7), soon(), || ()).await, Err(Failure::Busy));
    spins.store(false, SeqCst);
    await_released(&readers, 0).await;
}

#[tokio::test]
async fn caller_that_is_dropped_leaves_its_reader_counted() {
    let readers = Numbered::new();
    let (reader, writer) = pipe().unwrap();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let job = move || {
        begin.send(()).unwrap();
        read(reader)
    };
    tokio::select! {
        biased;
        _ = begun => {}
        _ = readers.run((1, 7), soon(), job) => unreachable!("it waits for the pipe"),
    }
    assert_eq!(readers.held_up(), 1);
    assert_eq!(readers.run((1, 7), soon(), || ()).await, Err(Failure::Busy));
    drop(writer);
    await_released(&readers, 0).await;
}

#[tokio::test]
async fn job_that_works_long_is_awaited() {
    let readers = Numbered::new();
    let spin = || {
        let begun = std::time::Instant::now();
        while begun.elapsed() < 3 * EACH {}
        1
    };
    assert_eq!(readers.run((1, 7), soon(), spin).await, Ok(1));
    assert_eq!(readers.held_up(), 0);
}

#[tokio::test]
async fn jobs_of_one_user_take_turns() {
    let readers = Numbered::new();
    let at_work = Arc::new(AtomicU32::new(0));
    let job = || {
        let at_work = Arc::clone(&at_work);
        move || {
            let others = at_work.fetch_add(1, SeqCst);
            std::thread::yield_now();
            at_work.fetch_sub(1, SeqCst);
            others
        }
    };
    let results = tokio::join!(
        readers.run((1, 7), soon(), job()),
        readers.run((2, 7), soon(), job()),
        readers.run((3, 7), soon(), job()),
    );
    assert_eq!(results, (Ok(0), Ok(0), Ok(0)));
}

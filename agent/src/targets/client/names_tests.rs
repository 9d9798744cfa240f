use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};

use tokio::task::LocalSet;

use super::*;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs questions as the targets thread does.
fn run<T>(questions: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build().unwrap();
    LocalSet::new().block_on(&runtime, questions)
}

/// The answer to a question with enough time.
async fn ask(names: &HostNames, host: &str) -> Result<Vec<String>, Failure> {
    let host = HostPort::parse(host).unwrap();
    let found = names.addresses(&host, Instant::now() + PATIENCE).await?;
    Ok(found.iter().map(ToString::to_string).collect())
}

fn all(addresses: &[&str]) -> io::Result<Vec<SocketAddr>> {
    let addresses = addresses.iter().map(|one| one.parse().unwrap());
    Ok(addresses.collect())
}

/// A resolver, and the number of its look-ups.
fn counted(answer: &'static [&'static str]) -> (HostNames, Arc<AtomicUsize>) {
    let count = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&count);
    let names = HostNames::by(
        || (),
        move |_| {
            counter.fetch_add(1, Relaxed);
            match answer {
                [] => Err(io::ErrorKind::NotFound.into()),
                _ => all(answer),
            }
        },
    );
    (names, count)
}

/// Sets the age of the answer for a name.
fn age(names: &HostNames, name: &str, age: Duration) {
    let mut known = names.known.borrow_mut();
    let answer = known[name].borrow().clone().unwrap();
    let at = answer.at.checked_sub(age).unwrap();
    let (_, aged) = watch::channel(Some(NameAnswer { at, ..answer }));
    known.insert(name.into(), aged);
}

#[test]
fn addresses_keep_the_order_of_the_resolver_without_those_of_no_single_host() {
    let (names, count) = counted(&[
        "[fd00::1]:0",
        "10.0.0.2:0",
        "0.0.0.0:0",
        "10.0.0.2:0",
        "224.0.0.1:0",
        "10.0.0.1:0",
    ]);
    let found = run(ask(&names, "db:80")).unwrap();
    assert_eq!(found, ["[fd00::1]:80", "10.0.0.2:80", "10.0.0.1:80"]);
    let found = run(ask(&names, "10.0.0.9:80")).unwrap();
    assert_eq!(found, ["10.0.0.9:80"]);
    assert_eq!(count.load(Relaxed), 1, "an address is not resolved");
    let many: Vec<SocketAddr> = (1..100_u8).map(|n| ([10, 0, 0, n], 0).into()).collect();
    let names = HostNames::by(|| (), move |_| Ok(many.clone()));
    assert_eq!(run(ask(&names, "db:80")).unwrap().len(), MOST_ADDRESSES);
}

#[test]
fn answer_is_shared_and_kept_for_some_time_also_if_it_is_a_failure() {
    for (answer, fresh) in [(&["10.0.0.1:0"][..], FRESH), (&[], FAILED_FRESH)] {
        let (names, count) = counted(answer);
        run(async {
            let (first, second) = tokio::join!(ask(&names, "db:80"), ask(&names, "db:81"));
            let expected = |port: u16| match answer {
                [] => Err(Failure::Unresolved),
                _ => Ok(vec![format!("10.0.0.1:{port}")]),
            };
            assert_eq!((first, second), (expected(80), expected(81)));
            assert_eq!(count.load(Relaxed), 1);
            age(&names, "db", fresh / 2);
            assert_eq!(ask(&names, "db:80").await, expected(80));
            assert_eq!(count.load(Relaxed), 1);
            age(&names, "db", fresh);
            assert_eq!(ask(&names, "db:80").await, expected(80));
            assert_eq!(count.load(Relaxed), 2);
        });
    }
}

/// Holds look-ups until it opens.
#[derive(Default)]
struct Gate {
    begun: Mutex<usize>,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        *self.begun.lock().unwrap() += 1;
        let is_open = self.is_open.lock().unwrap();
        let wait = self.opened.wait_while(is_open, |is_open| !*is_open);
        drop(wait.unwrap());
    }

    fn begun(&self) -> usize {
        *self.begun.lock().unwrap()
    }

    /// Waits until `count` look-ups have begun, while the other tasks of the thread run.
    async fn wait_for(&self, count: usize) {
        while self.begun() < count {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn hanging_resolver_delays_its_names_only_until_their_deadline() {
    let gate = Arc::<Gate>::default();
    let theirs = Arc::clone(&gate);
    let names = HostNames::by(
        || (),
        move |name| {
            if name != "good" {
                theirs.pass();
            }
            all(&["10.0.0.1:0"])
        },
    );
    run(async {
        let hangs = HostPort::parse("hangs:80").unwrap();
        let soon = Instant::now() + Duration::from_millis(10);
        let answer = names.addresses(&hangs, soon).await;
        assert_eq!(answer, Err(Failure::Unresolved));
        gate.wait_for(1).await;
        assert_eq!(ask(&names, "good:80").await.unwrap(), ["10.0.0.1:80"]);
        for n in 1..2 * OF_SOURCES {
            let other = HostPort::parse(&format!("other{n}:80")).unwrap();
            let answer = names.addresses(&other, Instant::now()).await;
            assert_eq!(answer, Err(Failure::Unresolved));
        }
        gate.wait_for(OF_SOURCES).await;
        assert_eq!(gate.begun(), OF_SOURCES);
        *gate.is_open.lock().unwrap() = true;
        gate.opened.notify_all();
        assert_eq!(ask(&names, "hangs:80").await.unwrap(), ["10.0.0.1:80"]);
        let last = format!("other{}:80", 2 * OF_SOURCES - 1);
        assert_eq!(ask(&names, &last).await.unwrap(), ["10.0.0.1:80"]);
        gate.wait_for(2 * OF_SOURCES).await;
    });
}

#[test]
fn names_of_sources_that_hang_hold_up_no_name_of_the_configuration() {
    let gate = Arc::<Gate>::default();
    let theirs = Arc::clone(&gate);
    let mut names = HostNames::by(
        || (),
        move |name| {
            if name != "router" {
                theirs.pass();
            }
            all(&["10.0.0.1:0"])
        },
    );
    names.reserve([HostPort::parse("router:80").unwrap()].iter());
    run(async {
        for n in 0..2 * OF_SOURCES {
            let other = HostPort::parse(&format!("other{n}:80")).unwrap();
            let answer = names.addresses(&other, Instant::now()).await;
            assert_eq!(answer, Err(Failure::Unresolved));
        }
        gate.wait_for(OF_SOURCES).await;
        let answer = ask(&names, "router:80").await;
        // So that the threads end, also if the test fails.
        *gate.is_open.lock().unwrap() = true;
        gate.opened.notify_all();
        assert_eq!(answer.unwrap(), ["10.0.0.1:80"]);
        let last = format!("other{}:80", 2 * OF_SOURCES - 1);
        assert_eq!(ask(&names, &last).await.unwrap(), ["10.0.0.1:80"]);
        gate.wait_for(2 * OF_SOURCES).await;
    });
}

#[test]
fn name_whose_thread_has_ended_is_unresolved_and_looked_up_again() {
    let names = HostNames::by(|| (), |_| std::panic::resume_unwind(Box::new(())));
    for _ in 0..2 {
        assert_eq!(run(ask(&names, "db:80")), Err(Failure::Unresolved));
    }
}

#[test]
fn names_are_bounded_and_old_ones_make_room() {
    let (mut names, _) = counted(&["10.0.0.1:0"]);
    names.reserve([HostPort::parse("router:80").unwrap()].iter());
    let known = |at: Instant| {
        let addresses = Arc::from([]);
        watch::channel(Some(NameAnswer { at, addresses })).1
    };
    let now = known(Instant::now());
    for n in 0..MOST_NAMES {
        let name = format!("n{n}").into();
        names.known.borrow_mut().insert(name, now.clone());
    }
    assert_eq!(run(ask(&names, "db:80")), Err(Failure::Limit));
    let old = known(Instant::now().checked_sub(FAILED_FRESH).unwrap());
    names.known.borrow_mut().insert("n7".into(), old);
    assert!(run(ask(&names, "db:80")).is_ok());
    assert_eq!(names.known.borrow().len(), MOST_NAMES);
    assert!(run(ask(&names, "router:80")).is_ok());
}

#[test]
fn system_resolver_finds_localhost() {
    let names = HostNames::start(|| ());
    let found = run(ask(&names, "localhost:80")).unwrap();
    assert!(
        found.contains(&"127.0.0.1:80".to_owned()) || found.contains(&"[::1]:80".to_owned()),
        "{found:?}"
    );
}

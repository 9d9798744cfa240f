//! Tests of the totals over made-up histories of an instance.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::targets::passenger::examples::{application, identity, pool, worker};
use crate::targets::passenger::names;
use crate::targets::passenger::pool::{Application, Worker};

/// The totals, with one instance that is asked.
struct Scraper {
    totals: PassengerTotals,
    identity: InstanceIdentity,
}

type ByName = BTreeMap<String, ApplicationCounts>;

impl Scraper {
    fn new() -> Self {
        Self {
            totals: PassengerTotals::new(4),
            identity: identity(0, 1),
        }
    }

    fn scrape(&mut self, applications: Vec<Application>) -> ByName {
        let pool = pool(applications);
        let full: Vec<&str> = pool
            .applications
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        let names = names::within(&full);
        self.totals.begin([&self.identity].into_iter());
        let shown = self.totals.add_pool(&self.identity, &pool, &names);
        let shown = names.into_iter().zip(shown);
        shown
            .filter_map(|(name, counts)| Some((name?.to_owned(), counts?)))
            .collect()
    }

    fn fail(&mut self) {
        self.totals.begin([&self.identity].into_iter());
    }
}

fn counts(requests: u64, spawned: u64) -> ApplicationCounts {
    ApplicationCounts { requests, spawned }
}

fn shown<const N: usize>(names: [(&str, ApplicationCounts); N]) -> ByName {
    names.map(|(name, counts)| (name.to_owned(), counts)).into()
}

#[test]
fn ended_workers_keep_counting() {
    let mut scraper = Scraper::new();
    let blog = |workers| vec![application("/a/blog", workers)];
    assert_eq!(
        scraper.scrape(blog(vec![worker(1, 5)])),
        shown([("blog", counts(5, 1))])
    );
    let both = blog(vec![worker(1, 9), worker(2, 1)]);
    assert_eq!(scraper.scrape(both), shown([("blog", counts(10, 2))]));
    assert_eq!(
        scraper.scrape(blog(vec![worker(2, 3)])),
        shown([("blog", counts(12, 2))])
    );
    assert_eq!(
        scraper.scrape(blog(vec![])),
        shown([("blog", counts(12, 2))])
    );
    // The same pid, another gupid.
    let again = Worker {
        gupid: "other".to_owned(),
        ..worker(2, 1)
    };
    assert_eq!(
        scraper.scrape(blog(vec![again])),
        shown([("blog", counts(13, 3))])
    );
}

#[test]
fn application_that_comes_back_continues() {
    let mut scraper = Scraper::new();
    scraper.scrape(vec![application("/a/blog", vec![worker(1, 5)])]);
    assert_eq!(scraper.scrape(vec![]), ByName::new());
    scraper.fail();
    let back = scraper.scrape(vec![application("/a/blog", vec![worker(2, 2)])]);
    assert_eq!(back, shown([("blog", counts(7, 2))]));
}

#[test]
fn short_name_that_another_application_takes_over_continues() {
    let mut scraper = Scraper::new();
    let a = || application("/a/blog", vec![worker(1, 100)]);
    let b = |processed| application("/b/blog", vec![worker(2, processed)]);
    assert_eq!(scraper.scrape(vec![a()]), shown([("blog", counts(100, 1))]));
    // In full, each has its own total.
    let both = shown([("/a/blog", counts(100, 1)), ("/b/blog", counts(50, 1))]);
    assert_eq!(scraper.scrape(vec![b(50), a()]), both);
    // The short name goes on from where it was, by the requests of its new owner.
    assert_eq!(
        scraper.scrape(vec![b(50)]),
        shown([("blog", counts(100, 1))])
    );
    assert_eq!(
        scraper.scrape(vec![b(57)]),
        shown([("blog", counts(107, 1))])
    );
    let another = application("/a/blog", vec![worker(3, 5)]);
    assert_eq!(
        scraper.scrape(vec![another]),
        shown([("blog", counts(112, 2))])
    );
}

#[test]
fn repeated_gupid_and_count_that_falls_add_nothing() {
    let mut scraper = Scraper::new();
    let blog = |workers| vec![application("/a/blog", workers)];
    let twice = blog(vec![worker(1, 5), worker(1, 9)]);
    assert_eq!(scraper.scrape(twice), shown([("blog", counts(5, 1))]));
    for processed in [3, 5] {
        let total = scraper.scrape(blog(vec![worker(1, processed)]));
        assert_eq!(total, shown([("blog", counts(5, 1))]));
    }
    let total = scraper.scrape(blog(vec![worker(1, u64::MAX), worker(2, u64::MAX)]));
    assert_eq!(total, shown([("blog", counts(u64::MAX, 2))]));
}

#[test]
fn same_gupid_in_two_applications_counts_in_both() {
    let mut scraper = Scraper::new();
    let total = scraper.scrape(vec![
        application("/a/blog", vec![worker(1, 5)]),
        application("/a/api", vec![worker(1, 7)]),
    ]);
    assert_eq!(
        total,
        shown([("blog", counts(5, 1)), ("api", counts(7, 1))])
    );
}

#[test]
fn workers_beyond_the_bound_are_counted_once_others_have_left() {
    let mut scraper = Scraper::new();
    let blog = |pids: std::ops::Range<u32>| {
        let workers = pids.map(|pid| worker(pid, 1)).collect();
        vec![application("/a/blog", workers)]
    };
    assert_eq!(
        scraper.scrape(blog(0..3000)),
        shown([("blog", counts(2048, 2048))])
    );
    assert_eq!(
        scraper.scrape(blog(0..3000)),
        shown([("blog", counts(2048, 2048))])
    );
    assert_eq!(
        scraper.scrape(blog(2000..3000)),
        shown([("blog", counts(3000, 3000))])
    );
}

#[test]
fn applications_beyond_the_bound_have_no_totals_and_change_no_other() {
    let mut scraper = Scraper::new();
    let many = |from: usize, to: usize| {
        let applications = (from..to).rev();
        applications
            .map(|n| application(&format!("/a/{n:04}"), vec![worker(1, 3)]))
            .collect()
    };
    assert_eq!(scraper.scrape(many(0, 1024)).len(), 1024);
    let more = scraper.scrape(many(0, 1100));
    assert_eq!(more.len(), 1024);
    assert_eq!(
        (more.get("1023"), more.get("1024")),
        (Some(&counts(3, 1)), None)
    );
    // Those out of the pool make room, the one that is out for the longest time first.
    scraper.scrape(many(1, 1024));
    let after = scraper.scrape(many(2, 1025));
    assert_eq!(after["1024"], counts(3, 1));
    // These two are back, with new workers: one begins again, the other continues.
    let back = scraper.scrape(many(0, 2));
    assert_eq!((back["0000"], back["0001"]), (counts(3, 1), counts(6, 2)));
}

#[test]
fn instance_that_is_found_never_makes_room_for_another() {
    let mut totals = PassengerTotals::new(2);
    let [a, b, c] = [1, 2, 3].map(|number| identity(0, number));
    let blog = pool(vec![application("/a/blog", vec![worker(1, 3)])]);
    let add = |totals: &mut PassengerTotals, one| totals.add_pool(one, &blog, &[Some("blog")]);
    totals.begin([&a, &b].into_iter());
    assert_eq!(add(&mut totals, &a), [Some(counts(3, 1))]);
    totals.begin([&c, &b, &a].into_iter());
    assert_eq!(add(&mut totals, &c), [None]);
    assert_eq!(totals.add_server(&c, &ServerCounts::default(), None), None);
    assert!(totals.rank(&a) < totals.rank(&b) && totals.rank(&b) < totals.rank(&c));
    totals.begin([&c, &b].into_iter());
    assert_eq!(add(&mut totals, &c), [Some(counts(3, 1))]);
    // Another instance in the same place is another instance.
    let renamed = InstanceIdentity {
        name: "other".to_owned(),
        ..b.clone()
    };
    add(&mut totals, &b);
    totals.begin([&renamed, &c].into_iter());
    let other = pool(vec![application("/a/blog", vec![worker(2, 5)])]);
    let shown = totals.add_pool(&renamed, &other, &[Some("blog")]);
    assert_eq!(shown, [Some(counts(5, 1))]);
}

#[derive(Debug, Clone)]
enum PoolEvent {
    Spawn(usize),
    /// Requests to a worker, by its place among all that live.
    Serve(usize, u64),
    Kill(usize),
    Failure,
    /// All workers end.
    CoreRestart,
    Scrape,
}

fn event() -> impl Strategy<Value = PoolEvent> {
    prop_oneof![
        3 => (0_usize..3).prop_map(PoolEvent::Spawn),
        6 => (0_usize..8, 0_u64..9).prop_map(|(worker, requests)| PoolEvent::Serve(worker, requests)),
        2 => (0_usize..8).prop_map(PoolEvent::Kill),
        1 => Just(PoolEvent::Failure),
        1 => Just(PoolEvent::CoreRestart),
        2 => Just(PoolEvent::Scrape),
    ]
}

/// Applications whose names never collide, and the same with two that do.
const APART: [&str; 3] = ["/a/blog (p)", "/a/api (p)", "chat"];
const COLLIDING: [&str; 3] = ["/a/blog (p)", "/b/blog (p)", "chat"];

/// The true history of an instance.
struct PoolHistory {
    scraper: Scraper,
    roots: [&'static str; 3],
    living: Vec<(usize, Worker)>,
    /// By application.
    truth: [ApplicationCounts; 3],
    spawned: u32,
    last: ByName,
}

impl PoolHistory {
    fn new(roots: [&'static str; 3]) -> Self {
        Self {
            scraper: Scraper::new(),
            roots,
            living: Vec::new(),
            truth: [ApplicationCounts::default(); 3],
            spawned: 0,
            last: ByName::new(),
        }
    }

    /// Takes a step; before a worker ends, the agent sees it once more.
    fn take(&mut self, event: &PoolEvent) -> Result<(), TestCaseError> {
        match *event {
            PoolEvent::Spawn(application) => {
                self.spawned += 1;
                self.truth[application].spawned += 1;
                self.living.push((application, worker(self.spawned, 0)));
            }
            PoolEvent::Serve(worker, requests) => {
                if let Some((application, worker)) = self.living.get_mut(worker) {
                    worker.processed += requests;
                    self.truth[*application].requests += requests;
                }
            }
            PoolEvent::Kill(worker) if worker < self.living.len() => {
                self.scrape()?;
                self.living.swap_remove(worker);
            }
            PoolEvent::Kill(_) => {}
            PoolEvent::Failure => self.scraper.fail(),
            PoolEvent::CoreRestart => {
                self.scrape()?;
                self.living.clear();
            }
            PoolEvent::Scrape => self.scrape()?,
        }
        Ok(())
    }

    fn scrape(&mut self) -> Result<(), TestCaseError> {
        let present =
            (0..3).filter(|n| self.living.iter().any(|(application, _)| application == n));
        let present: Vec<usize> = present.collect();
        let applications = present.iter().map(|n| {
            let workers = self
                .living
                .iter()
                .filter(|(application, _)| application == n);
            application(
                self.roots[*n],
                workers.map(|(_, worker)| worker.clone()).collect(),
            )
        });
        let applications: Vec<Application> = applications.collect();
        let shown = self.scraper.scrape(applications);
        prop_assert_eq!(shown.len(), present.len());
        for (name, counts) in &shown {
            let before = self.last.get(name).copied().unwrap_or_default();
            prop_assert!(counts.requests >= before.requests, "{}: {:?}", name, before);
            prop_assert!(counts.spawned >= before.spawned, "{}: {:?}", name, before);
        }
        for n in present {
            let name = if self.roots == APART {
                names::short(self.roots[n])
            } else {
                self.roots[n]
            };
            // A short name that two applications share in turn is not the total of either.
            if let Some(counts) = shown.get(name) {
                prop_assert_eq!(*counts, self.truth[n], "{}", name);
            }
        }
        self.last.extend(shown);
        Ok(())
    }
}

proptest! {
    #[test]
    fn totals_never_fall_and_equal_the_truth(
        events in prop::collection::vec(event(), 1..80),
        collide in any::<bool>(),
    ) {
        let mut history = PoolHistory::new(if collide { COLLIDING } else { APART });
        for event in &events {
            history.take(event)?;
        }
        history.scrape()?;
    }

    #[test]
    fn totals_of_a_lying_instance_never_fall(
        scrapes in prop::collection::vec(
            prop::collection::vec((0_usize..3, 0_u32..4, any::<u64>()), 0..8),
            1..20,
        ),
    ) {
        let mut scraper = Scraper::new();
        let mut last = ByName::new();
        for scrape in scrapes {
            let applications = scrape.into_iter().map(|(n, pid, processed)| {
                application(COLLIDING[n], vec![worker(pid, processed), worker(pid, processed / 2)])
            });
            let shown = scraper.scrape(applications.collect());
            for (name, counts) in shown {
                let before = last.insert(name, counts).unwrap_or_default();
                prop_assert!(counts.requests >= before.requests && counts.spawned >= before.spawned);
            }
        }
    }
}

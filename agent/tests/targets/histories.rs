//! Random histories of workers and cores: no counter falls, and requests are counted exactly.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::support::passenger::FakePassenger;
use crate::support::passenger::core::Behaviour;
use crate::support::passenger::documents::{FakeApplication, FakeCounts, FakePool, FakeWorker};
use crate::support::scrape::Scrape;
use crate::{Node, up};

const STEPS: usize = 200;
const APPLICATIONS: [&str; 2] = ["blog", "shop"];
const MOST_WORKERS: usize = 6;

/// An instance, and the answers that the agent has had.
struct History {
    instance: FakePassenger,
    seed: u64,
    random: Rng,
    counts: FakeCounts,
    /// By application.
    workers: [Vec<FakeWorker>; 2],
    /// Requests finished, as of the last answer, by gupid; ended workers too.
    told: [BTreeMap<String, u64>; 2],
    next: u32,
}

impl History {
    fn new(instance: FakePassenger, seed: u64) -> Self {
        Self {
            seed,
            random: Rng::with_seed(seed ^ u64::from(instance.name.as_bytes()[0])),
            instance,
            counts: FakeCounts::default(),
            workers: Default::default(),
            told: Default::default(),
            next: 1,
        }
    }

    /// Something happens; whether the instance answers now.
    fn step(&mut self) -> bool {
        self.instance.core.behave(Behaviour::Answer);
        let number = self.random.usize(..APPLICATIONS.len());
        match self.random.u32(..100) {
            // All workers end with the core, and its counts begin again.
            0..5 => {
                self.instance.core.refuse();
                self.instance.core.listen();
                self.workers = Default::default();
                self.counts = FakeCounts::default();
            }
            5..10 => self.instance.core.behave(Behaviour::Status(500)),
            10..30 => self.spawn(number),
            30..45 if !self.workers[number].is_empty() => {
                let gone = self.random.usize(..self.workers[number].len());
                self.workers[number].remove(gone);
            }
            _ => self.work(),
        }
        self.show();
        self.random.u32(..20) > 0
    }

    /// A worker starts; pids are used again, gupids are not.
    fn spawn(&mut self, number: usize) {
        if self.workers[number].len() < MOST_WORKERS {
            let pid = 100 + 10 * u32::try_from(number).unwrap() + self.next % 7;
            self.workers[number].retain(|worker| worker.pid != pid);
            let gupid = format!("1c88d52-{}", self.next);
            self.next += 1;
            self.workers[number].push(FakeWorker {
                gupid,
                ..FakeWorker::new(pid)
            });
        }
    }

    fn work(&mut self) {
        for worker in self.workers.iter_mut().flatten() {
            let finished = self.random.u64(..5);
            worker.processed += finished;
            self.counts.begun += finished;
        }
        self.counts.accepted += self.random.u64(..9);
        self.counts.fetches += self.random.u64(..9);
        self.counts.hits += self.random.u64(..5);
        self.counts.stores += self.random.u64(..5);
    }

    fn show(&self) {
        let applications = APPLICATIONS.iter().zip(&self.workers);
        // An application without processes may be in the pool or not; an empty pool has none.
        let applications = applications.filter(|(_, workers)| !workers.is_empty());
        let pool = applications.fold(FakePool::new(), |pool, (name, workers)| {
            pool.with(FakeApplication::new(&format!("/srv/{name}")).with(workers.iter().cloned()))
        });
        self.instance.show(&pool, self.counts);
    }

    /// Notes the answers that the agent has had, and checks the values that it shows.
    fn check(&mut self, scrape: &Scrape) {
        if up(scrape, &self.instance.name) != Some(1.0) {
            return;
        }
        for ((name, workers), told) in APPLICATIONS.iter().zip(&self.workers).zip(&mut self.told) {
            told.extend(workers.iter().map(|one| (one.gupid.clone(), one.processed)));
            if workers.is_empty() {
                continue;
            }
            let instance = self.instance.name.as_str();
            let labels = [("name", *name), ("passenger_instance", instance)];
            let shown = |family| scrape.value(family, &labels);
            let shown = [
                "passenger_app_requests_total",
                "passenger_app_processes_spawned_total",
            ]
            .map(shown);
            let expected = [told.values().sum(), told.len() as u64];
            let expected = expected.map(|count| Some(count as f64));
            assert_eq!(shown, expected, "seed {}: {name}, {instance}", self.seed);
        }
    }
}

/// All counters about Passenger, but those of single processes, which end with them.
fn counters(scrape: &Scrape) -> BTreeMap<String, f64> {
    let lines = scrape.body.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.filter_map(|line| line.rsplit_once(' '));
    let is_counter = |key: &str| {
        let name = key.split('{').next().unwrap();
        name.ends_with("_total") && (name.starts_with("passenger_") || key.contains("passenger"))
    };
    let samples = samples.filter(|(key, _)| is_counter(key));
    samples
        .map(|(key, value)| (key.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn no_counter_falls_over_restarts_of_workers_and_cores() {
    let seed = Rng::new().u64(..);
    let node = Node::new();
    let mut histories =
        ["firstone", "secondit"].map(|name| History::new(node.instance(name), seed));
    let agent = node.launch().start();
    let mut highest: BTreeMap<String, f64> = BTreeMap::new();
    for step in 0..STEPS {
        // Often several things happen between two scrapes; the agent knows only the answers.
        let is_scraped = histories.each_mut().map(History::step);
        if is_scraped == [false, false] {
            continue;
        }
        let scrape = agent.scrape();
        for (key, value) in counters(&scrape) {
            let before = highest.insert(key.clone(), value).unwrap_or(0.0);
            assert!(
                value >= before,
                "seed {seed}, step {step}: {key} fell from {before} to {value}"
            );
        }
        histories.iter_mut().for_each(|one| one.check(&scrape));
    }
    assert!(highest.len() > 10, "{highest:?}");
}

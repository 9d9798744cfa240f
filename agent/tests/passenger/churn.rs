//! Workers, cores and instances are killed at random, 200 times: no counter falls, and every answer is complete for the living.
//!
//! The order comes from a seed, so a failing run can be repeated, except for Passenger's own timing.

use super::agreement::{Samples, Totals, agree, assert_log_is_silent, scrape};
use super::apache;
use super::app::Language;
use super::facts::Series;
use super::home::{self, Home};
use super::instance::Instance;
use super::standalone::Standalone;
use super::support::agent::{Launch, until};

const SEED: u64 = 12;
/// Most are workers: a new one is there in a tenth of a second.
const KILLS: [(Victim, usize); 3] = [
    (Victim::Worker, 182),
    (Victim::Core, 12),
    (Victim::Instance, 6),
];
/// After so many kills, all values are compared with the documents.
const COMPARED: usize = 10;

#[derive(Debug, Clone, Copy)]
enum Victim {
    Worker,
    Core,
    Instance,
}

/// The highest value of each counter so far.
#[derive(Default)]
struct Ratchet(Series);

impl Ratchet {
    fn check(&mut self, samples: &Samples) {
        for (key, value) in samples.counters() {
            let highest = self.0.entry(key.clone()).or_insert(value);
            assert!(value >= *highest, "{key} fell from {highest} to {value}");
            *highest = value;
        }
    }
}

/// One of four instances: three of one application each, one of two.
fn start(home: &Home, n: usize) -> Instance {
    let instance = match Language::ALL.get(n) {
        Some(language) => Standalone::new(*language).start(home, &format!("app{n}")),
        None => {
            let [blog, api] = ["blog", "api"].map(|name| home.unique(name));
            let apps = [
                (Language::Ruby, blog.as_str(), "production"),
                (Language::Python, api.as_str(), "production"),
            ];
            apache::start(home, &apps)
        }
    };
    (0..instance.apps.len()).for_each(|app| serve(&instance, app));
    instance
}

/// Visits an application until it serves: a request may be given to a process that is dead and not missed yet.
fn serve(instance: &Instance, app: usize) {
    until("an application that serves", || {
        instance.visit(app, "/").status() == 200
    });
}

/// Kills a worker of the instance, if it has one.
fn kill_worker(instance: &Instance, random: &mut fastrand::Rng) {
    let pool = instance.pool().unwrap();
    let workers: Vec<u32> = pool
        .all("process")
        .filter(|process| process.child("enabled") == Some("ENABLED"))
        .filter_map(|process| process.child("pid")?.parse().ok())
        .collect();
    if let Some(pid) = random.choice(workers) {
        home::signal(pid, libc::SIGKILL);
    }
}

fn assert_complete<'a>(samples: &Samples, living: impl IntoIterator<Item = &'a Instance>) {
    for instance in living {
        assert_eq!(samples.up(instance), Some(1.0), "{instance:?}");
        let labels = [("passenger_instance", instance.name.as_str())];
        let max = samples.value("passenger_max_processes", &labels);
        assert_eq!(max, Some(2.0), "{instance:?}");
    }
}

#[test]
fn no_counter_falls_and_the_living_are_complete_over_200_kills() {
    let home = Home::new();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut kills: Vec<Victim> = KILLS
        .iter()
        .flat_map(|(victim, count)| std::iter::repeat_n(*victim, *count))
        .collect();
    random.shuffle(&mut kills);
    assert_eq!(kills.len(), 200);
    let mut instances: Vec<Instance> = (0..4).map(|n| start(&home, n)).collect();
    let agent = Launch::new()
        .args(&["--accounting=procfs", &home.flag()])
        .start();
    let mut ratchet = Ratchet::default();
    for (n, victim) in kills.into_iter().enumerate() {
        let at = random.usize(..instances.len());
        let instance = &instances[at];
        let others = || {
            let others = instances.iter().enumerate().filter(move |(n, _)| *n != at);
            others.map(|(_, instance)| instance)
        };
        match victim {
            Victim::Worker => {
                kill_worker(instance, &mut random);
                if random.bool() {
                    serve(instance, random.usize(..instance.apps.len()));
                }
            }
            Victim::Core => {
                home::signal(instance.core(), libc::SIGKILL);
                let samples = scrape(&agent);
                ratchet.check(&samples);
                assert_complete(&samples, others());
                (0..instance.apps.len()).for_each(|app| serve(instance, app));
            }
            Victim::Instance => {
                instance.kill();
                let samples = scrape(&agent);
                ratchet.check(&samples);
                assert_complete(&samples, others());
                assert_eq!(samples.up(instance), None, "{instance:?}");
                let next = start(&home, at);
                instances[at] = next;
            }
        }
        let samples = scrape(&agent);
        ratchet.check(&samples);
        assert_complete(&samples, &instances);
        if n % COMPARED == 0 {
            let all: Vec<&Instance> = instances.iter().collect();
            ratchet.check(&agree(&agent, &all, Totals::AtLeast));
        }
    }
    assert_log_is_silent(&agent, &instances.iter().collect::<Vec<_>>());
}

//! Instances that are killed, hang, restart: only their own series change.

use std::time::{Duration, Instant};

use super::agreement::{Samples, Totals, agree, scrape};
use super::app::Language;
use super::home::{self, Home};
use super::instance::Instance;
use super::standalone::Standalone;
use super::support::agent::{Agent, Launch};
use super::support::scrape::Scrape;

/// Two instances that serve, and an agent that has seen both.
fn pair(home: &Home) -> (Instance, Instance, Agent) {
    let [one, other] = ["one", "other"].map(|name| {
        let instance = Standalone::new(Language::Ruby).start(home, name);
        instance.warm(0);
        instance
    });
    let agent = Launch::new()
        .args(&["--accounting=procfs", &home.flag()])
        .start();
    agree(&agent, &[&one, &other], Totals::OfTheLiving);
    (one, other, agent)
}

fn requests(samples: &Samples, instance: &Instance) -> f64 {
    let name = instance.apps[0].short_name();
    let labels = [
        ("passenger_instance", instance.name.as_str()),
        ("name", name.as_str()),
    ];
    let value = samples.value("passenger_app_requests_total", &labels);
    value.unwrap_or_else(|| panic!("no requests of {name}"))
}

fn assert_absent(samples: &Samples, instance: &Instance) {
    assert_eq!(samples.of_instance(instance), [].into());
    assert!(
        samples
            .of_original(&instance.apps[0].short_name())
            .is_empty()
    );
    assert_eq!(samples.up(instance), None);
}

#[test]
fn killed_instance_disappears_although_its_directory_stays() {
    let home = Home::new();
    let (killed, other, agent) = pair(&home);
    killed.kill();
    assert!(killed.directory.join("agents.s/core_api").exists());
    let samples = agree(&agent, &[&other], Totals::OfTheLiving);
    assert_absent(&samples, &killed);

    // Passenger starts again in the same registry, beside the dead directory.
    let app = killed.apps[0].clone();
    let next = Standalone::new(Language::Ruby).start_app(&home, app);
    next.warm(0);
    let samples = agree(&agent, &[&other, &next], Totals::OfTheLiving);
    assert_eq!(samples.up(&killed), None);
}

#[test]
fn instance_that_stops_and_starts_again_is_another_one() {
    let home = Home::new();
    let (stopped, other, agent) = pair(&home);
    stopped.stop();
    let samples = agree(&agent, &[&other], Totals::OfTheLiving);
    assert_absent(&samples, &stopped);

    let app = stopped.apps[0].clone();
    let next = Standalone::new(Language::Ruby).start_app(&home, app);
    next.warm(0);
    assert_ne!(next.name, stopped.name);
    agree(&agent, &[&other, &next], Totals::OfTheLiving);
}

#[test]
fn counters_of_an_instance_survive_its_core() {
    let home = Home::new();
    let (instance, other, agent) = pair(&home);
    for _ in 0..5 {
        instance.warm(0);
    }
    let before = agree(&agent, &[&instance, &other], Totals::OfTheLiving);
    instance.restart_core();
    // The pool is empty, and so may be the list of applications; no shown value has fallen.
    let empty = agree(&agent, &[&instance, &other], Totals::AtLeast);
    assert_not_fallen(&before, &empty);
    instance.warm(0);
    let after = agree(&agent, &[&instance, &other], Totals::AtLeast);
    assert_not_fallen(&before, &after);
    let live: f64 = instance
        .pool()
        .unwrap()
        .all("process")
        .filter_map(|process| process.number("processed"))
        .sum();
    assert!(live >= 1.0);
    assert_eq!(
        requests(&after, &instance),
        requests(&before, &instance) + live
    );
}

fn assert_not_fallen(before: &Samples, after: &Samples) {
    let after = after.counters();
    for (key, value) in before.counters() {
        if let Some(now) = after.get(&key) {
            assert!(*now >= value, "{key} fell from {value} to {now}");
        }
    }
}

#[test]
fn stopped_instance_times_out_and_the_other_is_answered() {
    let home = Home::new();
    let (hanging, other, agent) = pair(&home);
    let before = scrape(&agent).failures("timeout");
    home::signal(hanging.core(), libc::SIGSTOP);
    let samples = agree(&agent, &[&other], Totals::OfTheLiving);
    home::signal(hanging.core(), libc::SIGCONT);
    assert_eq!(samples.up(&hanging), Some(0.0));
    assert!(samples.failures("timeout") > before);
    assert_eq!(samples.of_instance(&hanging), [].into());
    agree(&agent, &[&hanging, &other], Totals::OfTheLiving);
}

#[test]
fn ten_instances_of_which_three_hang_are_answered_within_the_deadline() {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let home = Home::new();
    let instances: Vec<Instance> = (0..10)
        .map(|n| Standalone::new(Language::Ruby).start(&home, &format!("app{n}")))
        .collect();
    let agent = Launch::new()
        .args(&["--accounting=procfs", &home.flag()])
        .start();
    let all: Vec<&Instance> = instances.iter().collect();
    let groups = agree(&agent, &all, Totals::AtLeast).groups();
    let (hanging, living) = instances.split_at(3);
    for instance in hanging {
        home::signal(instance.core(), libc::SIGSTOP);
    }
    let header = format!(
        "X-Prometheus-Scrape-Timeout-Seconds: {}\r\n",
        TIMEOUT.as_secs()
    );
    let start = Instant::now();
    let answer = agent.begin("/metrics", &header).answer();
    let took = start.elapsed();
    for instance in hanging {
        home::signal(instance.core(), libc::SIGCONT);
    }
    assert!(answer.code == 200 && took < TIMEOUT, "{took:?}");
    let samples = Samples::of(Scrape::parse(answer.body));
    assert!(hanging.iter().all(|one| samples.up(one) == Some(0.0)));
    for instance in living {
        assert_eq!(samples.up(instance), Some(1.0));
        assert!(!samples.of_instance(instance).is_empty());
    }
    for name in ["ruby", "PassengerAgent"] {
        assert!(!groups.contains_key(name) || samples.groups().contains_key(name));
    }
    assert!(samples.groups().len() > 1 && !groups.is_empty());
}

//! An application in each language: the scrape, `passenger-status` and the document say the same.

use std::process::Command;

use super::agreement::{Totals, agree, assert_log_is_silent, assert_same, scrape};
use super::app::Language;
use super::document::Element;
use super::facts::Facts;
use super::home::Home;
use super::instance::Instance;
use super::standalone::Standalone;
use super::support::agent::{Agent, Launch, until};

#[test]
fn three_languages_have_the_values_of_their_documents() {
    let home = Home::new();
    let instances = Language::ALL.map(|language| {
        let name = format!("{language:?}").to_lowercase();
        let instance = Standalone::new(language).start(&home, &name);
        for _ in 0..3 {
            instance.warm(0);
        }
        instance
    });
    let all: Vec<&Instance> = instances.iter().collect();
    // Passenger measures its processes at multiples of five seconds.
    for instance in &instances {
        instance.await_pool("a measurement", |pool| pool.all("rss").count() == 1);
    }
    let agent = Launch::new()
        .args(&["--accounting=procfs", &home.flag()])
        .start();
    let samples = agree(&agent, &all, Totals::OfTheLiving);
    for instance in &instances {
        let info = samples.info(instance);
        assert_eq!(info["integration_mode"], "standalone");
        assert_eq!(info["version"], version(instance));
        assert_same_as_status(&home, instance);
        let name = instance.apps[0].short_name();
        let labels = [
            ("passenger_instance", instance.name.as_str()),
            ("name", name.as_str()),
        ];
        let requests = samples.value("passenger_app_requests_total", &labels);
        assert!(requests >= Some(3.0), "{requests:?}");
    }
    for instance in &instances {
        instance.warm(0);
    }
    agree(&agent, &all, Totals::OfTheLiving);
    await_new_statistics(&agent, &instances[0]);
    agree(&agent, &all, Totals::OfTheLiving);
    assert_log_is_silent(&agent, &all);
}

/// Visits and scrapes until the counts of the turbocache fall: the core sets them to 0 every few seconds, and nothing else.
fn await_new_statistics(agent: &Agent, instance: &Instance) {
    let fetches = || -> f64 {
        let server = instance.server().unwrap();
        let threads = server.as_object().unwrap().values();
        let counts = threads.filter_map(|thread| thread.pointer("/turbocaching/fetches")?.as_f64());
        counts.sum()
    };
    let mut last = fetches();
    until("a count that falls", || {
        instance.warm(0);
        scrape(agent);
        let before = std::mem::replace(&mut last, fetches());
        last < before
    });
}

/// The version that the document states.
fn version(instance: &Instance) -> String {
    let pool = instance.pool().unwrap();
    pool.child("passenger_version").unwrap().to_owned()
}

/// Compares the document with that of `passenger-status`, by which users check.
fn assert_same_as_status(home: &Home, instance: &Instance) {
    until("passenger-status and the socket at rest", || {
        let before = instance.pool().unwrap();
        let output = Command::new("passenger-status")
            .args(["--show=xml", &instance.name])
            .env("PASSENGER_INSTANCE_REGISTRY_DIR", home.registry())
            .output()
            .unwrap();
        assert!(output.status.success(), "passenger-status failed");
        let [before, theirs, after] = [
            before,
            Element::parse(&output.stdout),
            instance.pool().unwrap(),
        ]
        .map(|pool| Facts::of_pool(&instance.name, &pool));
        let is_at_rest = before == after;
        if is_at_rest {
            assert_same(&theirs.exact, &before.exact);
            assert_eq!(theirs, before);
        }
        is_at_rest
    });
}

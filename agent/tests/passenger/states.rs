//! Each state of the contract's recipes, brought about and compared.

use std::process::Command;

use super::agreement::{Samples, Totals, agree};
use super::apache;
use super::app::Language;
use super::facts::short;
use super::home::Home;
use super::instance::Instance;
use super::requests::Visit;
use super::standalone::Standalone;
use super::support::agent::{Agent, Launch, until};

fn start_agent(home: &Home) -> Agent {
    Launch::new()
        .args(&["--accounting=procfs", &home.flag()])
        .start()
}

/// A value of an application, by the last words of its family.
fn of_app(
    samples: &Samples,
    instance: &Instance,
    family: &str,
    state: Option<&str>,
) -> Option<f64> {
    let pool = instance.pool().unwrap();
    let group = pool.app(&instance.apps[0].root).unwrap();
    let mut labels = vec![
        ("passenger_instance", instance.name.as_str()),
        ("name", short(group.child("name").unwrap())),
    ];
    labels.extend(state.map(|state| ("state", state)));
    samples.value(&format!("passenger_app_{family}"), &labels)
}

#[test]
fn full_queue_shows_its_waiters_and_refused_requests_are_in_no_document() {
    let home = Home::new();
    let instance = Standalone::new(Language::Ruby).start(&home, "blog");
    instance.warm(0);
    let agent = start_agent(&home);
    instance.apps[0].hold();
    // Two processes, so that no request waits for the second to start.
    let busy = [(); 2].map(|()| instance.visit(0, "/hold"));
    instance.await_pool("two busy processes", |pool| {
        pool.processes(|process| process.number("sessions") == Some(1.0)) == 2
    });
    let visits = [(); 7].map(|()| instance.visit(0, "/hold"));
    until("three refusals", || count_answered(&visits) == 3);
    instance.await_pool("four waiters", |pool| {
        let group = pool.app(&instance.apps[0].root);
        group.and_then(|group| group.number("get_wait_list_size")) == Some(4.0)
    });
    let samples = agree(&agent, &[&instance], Totals::OfTheLiving);
    assert_eq!(
        of_app(&samples, &instance, "wait_list_size", None),
        Some(4.0)
    );
    assert_eq!(
        of_app(&samples, &instance, "busy_sessions", None),
        Some(2.0)
    );
    let oldest = "oldest_busy_last_used_timestamp_seconds";
    assert!(of_app(&samples, &instance, oldest, None) > Some(1.7e9));

    instance.apps[0].release();
    let statuses: Vec<u16> = busy.into_iter().chain(visits).map(Visit::status).collect();
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(200), count(503)), (6, 3), "{statuses:?}");
    let samples = agree(&agent, &[&instance], Totals::OfTheLiving);
    assert_eq!(
        of_app(&samples, &instance, "wait_list_size", None),
        Some(0.0)
    );
    assert_eq!(of_app(&samples, &instance, oldest, None), None);
}

fn count_answered(visits: &[Visit]) -> usize {
    visits.iter().filter(|visit| visit.is_answered()).count()
}

#[test]
fn nine_requests_at_once_leave_three_waiters() {
    let home = Home::new();
    let instance = Standalone::new(Language::Python).start(&home, "api");
    instance.warm(0);
    let agent = start_agent(&home);
    instance.apps[0].hold();
    // The second process starts only after the queue is full, so it takes one of the four waiters.
    instance.apps[0].delay_boot();
    let visits = [(); 9].map(|()| instance.visit(0, "/hold"));
    until("four refusals", || count_answered(&visits) == 4);
    let is_spawning = |samples: &Samples| of_app(samples, &instance, "processes", Some("spawning"));
    instance.await_pool("a process that starts", |pool| {
        pool.all("processes_being_spawned")
            .any(|count| count.text == "1")
    });
    let samples = agree(&agent, &[&instance], Totals::OfTheLiving);
    assert_eq!(is_spawning(&samples), Some(1.0));
    assert_eq!(
        of_app(&samples, &instance, "wait_list_size", None),
        Some(4.0)
    );

    instance.apps[0].boot();
    instance.await_pool("two busy processes", |pool| {
        pool.processes(|process| process.number("sessions") == Some(1.0)) == 2
    });
    let samples = agree(&agent, &[&instance], Totals::OfTheLiving);
    assert_eq!(is_spawning(&samples), Some(0.0));
    assert_eq!(
        of_app(&samples, &instance, "wait_list_size", None),
        Some(3.0)
    );
    instance.apps[0].release();
    let statuses: Vec<u16> = visits.into_iter().map(Visit::status).collect();
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(200), count(503)), (5, 4), "{statuses:?}");
}

#[test]
fn young_process_has_no_memory_and_a_measured_one_has() {
    let home = Home::new();
    let instance = Standalone::new(Language::Ruby).start(&home, "blog");
    instance.warm(0);
    let agent = start_agent(&home);
    let memory = |samples: &Samples| {
        let name = instance.apps[0].short_name();
        let labels = [
            ("passenger_instance", instance.name.as_str()),
            ("name", name.as_str()),
            ("memtype", "resident"),
        ];
        samples.value("passenger_app_memory_bytes", &labels)
    };
    // A measurement may come at any moment: the core forgets it with the process.
    until("a scrape before the first measurement", || {
        instance.restart_core();
        instance.warm(0);
        let samples = agree(&agent, &[&instance], Totals::AtLeast);
        let pool = instance.pool().unwrap();
        let is_young = pool.all("process").count() > 0 && pool.all("has_metrics").count() == 0;
        assert!(!is_young || memory(&samples).is_none());
        is_young
    });
    instance.await_pool("a measurement", |pool| pool.all("rss").count() >= 1);
    let samples = agree(&agent, &[&instance], Totals::AtLeast);
    assert!(memory(&samples) > Some(1e6), "{:?}", memory(&samples));
}

#[test]
fn detached_process_is_counted_as_such_until_its_request_is_done() {
    let home = Home::new();
    let instance = Standalone::new(Language::Ruby).start(&home, "blog");
    instance.warm(0);
    let agent = start_agent(&home);
    agree(&agent, &[&instance], Totals::OfTheLiving);
    instance.apps[0].hold();
    let visit = instance.visit(0, "/hold");
    let mut pid = String::new();
    instance.await_pool("a busy process", |pool| {
        let busy = |process: &&super::document::Element| process.child("sessions") == Some("1");
        let found = pool.all("process").find(busy);
        pid = found
            .and_then(|process| process.child("pid"))
            .unwrap_or_default()
            .to_owned();
        !pid.is_empty()
    });
    detach(&home, &instance, &pid);
    let samples = agree(&agent, &[&instance], Totals::AtLeast);
    assert_eq!(
        of_app(&samples, &instance, "processes", Some("detached")),
        Some(1.0)
    );
    assert_eq!(
        of_app(&samples, &instance, "busy_sessions", None),
        Some(1.0)
    );

    instance.apps[0].release();
    assert_eq!(visit.status(), 200);
    instance.await_pool("the end of the process", |pool| {
        pool.processes(|process| process.child("pid") == Some(&pid)) == 0
    });
    let samples = agree(&agent, &[&instance], Totals::AtLeast);
    assert_eq!(
        of_app(&samples, &instance, "processes", Some("detached")),
        Some(0.0)
    );
}

fn detach(home: &Home, instance: &Instance, pid: &str) {
    let output = Command::new("passenger-config")
        .args(["detach-process", "--instance", &instance.name, pid])
        .env("PASSENGER_INSTANCE_REGISTRY_DIR", home.registry())
        .output()
        .unwrap();
    assert!(output.status.success(), "passenger-config failed");
}

#[test]
fn apache_with_several_applications_from_empty_to_pool_wide_waiters() {
    let home = Home::new();
    let [blog, api, chat] = ["blog", "api", "chat"].map(|name| home.unique(name));
    let instance = apache::start(
        &home,
        &[
            (Language::Ruby, &blog, "production"),
            (Language::Python, &api, "production"),
            (Language::Node, &chat, "staging"),
        ],
    );
    let agent = start_agent(&home);
    let pool_wide = |samples: &Samples, family: &str| {
        samples.value(family, &[("passenger_instance", &instance.name)])
    };
    // An empty pool is an answer, too.
    let samples = agree(&agent, &[&instance], Totals::OfTheLiving);
    assert_eq!(pool_wide(&samples, "passenger_max_processes"), Some(2.0));
    assert_eq!(pool_wide(&samples, "passenger_capacity_used"), Some(0.0));
    assert_eq!(samples.info(&instance)["integration_mode"], "apache");

    for app in 0..2 {
        instance.apps[app].hold();
    }
    let mut visits = vec![instance.visit(0, "/hold")];
    await_busy(&instance, 1);
    visits.push(instance.visit(1, "/hold"));
    await_busy(&instance, 2);
    // The third application has no group yet, so its request waits for the pool; later ones of its kind wait for the group.
    visits.push(instance.visit(2, "/"));
    instance.await_pool("a request that waits for the pool", |pool| {
        pool.number("get_wait_list_size") == Some(1.0)
    });
    let samples = agree(&agent, &[&instance], Totals::OfTheLiving);
    assert_eq!(pool_wide(&samples, "passenger_wait_list_size"), Some(1.0));
    assert_eq!(pool_wide(&samples, "passenger_capacity_used"), Some(2.0));

    for app in 0..2 {
        instance.apps[app].release();
    }
    assert!(visits.into_iter().all(|visit| visit.status() == 200));
    // Passenger has ended an idle process of another application for the third one.
    let samples = agree(&agent, &[&instance], Totals::AtLeast);
    assert_eq!(pool_wide(&samples, "passenger_wait_list_size"), Some(0.0));
    let short = format!("{chat} (staging)");
    assert_eq!(
        samples.value("passenger_go_process_count", &[("name", &short)]),
        Some(1.0)
    );
}

fn await_busy(instance: &Instance, count: usize) {
    instance.await_pool("busy processes", |pool| {
        pool.processes(|process| process.number("sessions") == Some(1.0)) == count
    });
}

#[test]
fn applications_of_one_short_name_have_their_full_names() {
    let home = Home::new();
    let name = home.unique("blog");
    let [one, other] = ["one", "other"].map(|folder| format!("{folder}/{name}"));
    let instance = apache::start(
        &home,
        &[
            (Language::Ruby, &one, "production"),
            (Language::Ruby, &other, "production"),
        ],
    );
    instance.warm(0);
    instance.warm(1);
    let agent = start_agent(&home);
    let samples = agree(&agent, &[&instance], Totals::OfTheLiving);
    for app in &instance.apps {
        let full = format!("{} (production)", app.root.display());
        let labels = [("name", full.as_str())];
        assert_eq!(
            samples.value("passenger_go_process_count", &labels),
            Some(1.0)
        );
    }
    assert!(
        samples
            .of_original(&format!("{name} (production)"))
            .is_empty()
    );
}

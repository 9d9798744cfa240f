//! Each reason for failing, and that it harms no other target and no process group.

use std::fs;
use std::time::Duration;

use crate::support::passenger::FakePassenger;
use crate::support::passenger::core::Behaviour;
use crate::support::scrape::Scrape;
use crate::{GROUP, Node, failures, of_instance, up};

const REASONS: [&str; 9] = [
    "gone",
    "denied",
    "refused",
    "timeout",
    "too_large",
    "status",
    "malformed",
    "busy",
    "limit",
];

/// A scrape of which only `bad` has failed, for this reason.
fn assert_failed(before: &Scrape, after: &Scrape, reason: &str) {
    let context = format!("{reason}\n{}", after.body);
    for each in REASONS {
        let expected = if each == reason { 1.0 } else { 0.0 };
        let count = failures(after, each) - failures(before, each);
        assert_eq!(count, expected, "{each} {context}");
    }
    assert_eq!(up(after, "badbadba"), Some(0.0), "{context}");
    assert_eq!(
        of_instance(after, "passenger_max_processes", "badbadba"),
        None,
        "{context}"
    );
    assert_unharmed(after);
}

fn assert_unharmed(scrape: &Scrape) {
    assert_eq!(up(scrape, "goodgood"), Some(1.0), "{}", scrape.body);
    assert_eq!(
        of_instance(scrape, "passenger_max_processes", "goodgood"),
        Some(6.0)
    );
    assert_eq!(scrape.groups().get(GROUP), Some(&1));
}

#[test]
fn each_failure_has_its_reason_and_harms_no_other() {
    let node = Node::new();
    let _good = node.instance("goodgood");
    let bad = node.instance("badbadba");
    let agent = node.launch().start();
    let mut before = agent.scrape();
    assert_eq!(up(&before, "badbadba"), Some(1.0), "{}", before.body);
    for (behaviour, reason) in [
        (Behaviour::HangBeforeHead, "timeout"),
        (Behaviour::HangInBody, "timeout"),
        (Behaviour::Slow(Duration::from_millis(20)), "timeout"),
        (Behaviour::Status(500), "status"),
        (Behaviour::Status(404), "status"),
        (Behaviour::Status(401), "denied"),
        (Behaviour::Status(403), "denied"),
        (Behaviour::Truncated, "malformed"),
        (Behaviour::Garbage, "malformed"),
        (Behaviour::NoDocument, "malformed"),
        (Behaviour::Gzip, "malformed"),
        (Behaviour::Endless, "too_large"),
    ] {
        bad.core.behave(behaviour);
        let after = agent.scrape();
        assert_failed(&before, &after, reason);
        before = after;
    }
    bad.core.behave(Behaviour::Answer);
    let after = agent.scrape();
    assert_eq!(up(&after, "badbadba"), Some(1.0));
    assert!(
        REASONS
            .iter()
            .all(|reason| failures(&after, reason) == failures(&before, reason))
    );
}

#[test]
fn an_instance_whose_files_are_wrong_has_a_reason_and_harms_no_other() {
    type Spoil = fn(&mut FakePassenger);
    let spoil: [(Spoil, &str); 4] = [
        // The core has ended and the watchdog has not started another yet.
        (|bad| bad.core.refuse(), "refused"),
        (
            |bad| fs::remove_file(bad.path("agents.s/core_api")).unwrap(),
            "gone",
        ),
        (
            |bad| drop(bad.write("agents.s/core_api", 0o644, "no socket")),
            "malformed",
        ),
        (
            |bad| {
                fs::remove_file(bad.path("agents.s/core_api")).unwrap();
                std::os::unix::fs::symlink("/dev/log", bad.path("agents.s/core_api")).unwrap();
            },
            "malformed",
        ),
    ];
    for (spoil, reason) in spoil {
        let node = Node::new();
        let _good = node.instance("goodgood");
        let mut bad = node.instance("badbadba");
        let agent = node.launch().start();
        let before = agent.scrape();
        spoil(&mut bad);
        assert_failed(&before, &agent.scrape(), reason);
    }
}

#[test]
fn an_empty_pool_that_denies_is_no_failure() {
    let node = Node::new();
    let _good = node.instance("goodgood");
    let empty = node.instance("emptypoo");
    empty.core.behave(Behaviour::PoolEmpty);
    let agent = node.launch().start();
    let scrape = agent.scrape();
    assert_eq!(up(&scrape, "emptypoo"), Some(1.0), "{}", scrape.body);
    assert_eq!(failures(&scrape, "denied"), 0.0);
    assert_unharmed(&scrape);
}

#[test]
fn instances_beyond_the_bound_are_counted() {
    let node = Node::new();
    let instances = ["firstone", "secondit", "thirdone"].map(|name| node.instance(name));
    let agent = node
        .launch()
        .arg("--collector.passenger.max-instances=2")
        .start();
    let before = agent.scrape();
    let after = agent.scrape();
    assert_eq!(failures(&after, "limit") - failures(&before, "limit"), 1.0);
    let asked = instances
        .iter()
        .filter(|one| up(&after, &one.name) == Some(1.0));
    assert_eq!(asked.count(), 2, "{}", after.body);
}

#[test]
fn an_unfinished_directory_is_no_instance() {
    let node = Node::new();
    let instance = node.instance("youngone");
    fs::remove_file(instance.path("creation_finalized")).unwrap();
    let agent = node.launch().start();
    let scrape = agent.scrape();
    assert_eq!(
        scrape.value("headcount_passenger_instances", &[]),
        Some(0.0)
    );
    assert_eq!(instance.core.seen().connections, 0);
}

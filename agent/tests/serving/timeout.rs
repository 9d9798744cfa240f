//! Answers when the state is not ready in time.

use crate::held::Held;
use crate::support::agent::until;
use crate::support::scrape::{Scrape, groups};
use crate::{launch, tree};

const TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds: 1\r\n";

fn success(scrape: &Scrape, collector: &str) -> Option<f64> {
    let labels = [("collector", collector)];
    scrape.value("headcount_collector_success", &labels)
}

/// How many collectors succeeded, and how many did not.
fn successes(scrape: &Scrape) -> (usize, usize) {
    let is_success = |line: &&str| line.starts_with("headcount_collector_success{");
    let lines = scrape.body.lines().filter(is_success);
    let (good, bad): (Vec<_>, Vec<_>) = lines.partition(|line| line.ends_with("} 1"));
    (good.len(), bad.len())
}

#[test]
fn scrape_is_answered_within_the_timeout_of_prometheus() {
    let tree = tree();
    let agent = launch(&tree).start();
    let whole = agent.scrape();
    assert_eq!(whole.groups(), groups(&[("fake", 1)]));
    let (collectors, failed) = successes(&whole);
    assert_eq!(failed, 0, "{}", whole.body);

    let held = Held::new(&tree);
    let hasty = agent.begin("/metrics", TIMEOUT);
    let reading = held.once_read();
    let answer = hasty.answer();
    assert_eq!(answer.code, 200);
    let partial = Scrape::parse(answer.body);
    // The collectors `build` and `web`, and `passenger`, which does not wait for the state.
    assert_eq!(successes(&partial), (3, collectors - 3), "{}", partial.body);
    assert_eq!(success(&partial, "namegroup"), Some(0.0));
    assert_eq!(success(&partial, "web"), Some(1.0));
    assert_eq!(partial.groups(), groups(&[]));
    assert!(partial.body.contains("\nheadcount_build_info{"));
    assert!(!partial.body.contains("headcount_groups"));

    // The pass goes on for others: a client that asks now shares it.
    let patient = agent.begin("/metrics", "");
    reading.release();
    let late = Scrape::parse(patient.answer().body);
    assert_eq!(late.groups(), groups(&[("fake", 1)]));
    assert_eq!(success(&late, "namegroup"), Some(1.0));
    let owner = [("phase", "owner")];
    let timeouts = late.value("headcount_http_timeouts_total", &owner);
    assert_eq!(timeouts, Some(1.0));
}

#[test]
fn agent_is_ready_after_the_first_pass() {
    let tree = tree();
    let held = Held::new(&tree);
    let agent = launch(&tree).listen();
    let reading = held.once_read();
    let answer = agent.ask("/ready");
    assert_eq!(answer.code, 503);
    assert!(
        answer.body.contains("\"status\":\"starting\""),
        "{answer:?}"
    );
    assert_eq!(agent.health().0, "starting");
    // A scrape that cannot wait is answered even now.
    let partial = agent.begin("/metrics", TIMEOUT).answer();
    assert!(
        partial
            .body
            .contains("headcount_collector_success{collector=\"namegroup\"} 0\n")
    );

    reading.release();
    // On a busy machine names may come a pass later.
    until("the group", || {
        agent.scrape().groups() == groups(&[("fake", 1)])
    });
    let answer = agent.ask("/ready");
    assert_eq!(
        (answer.code, answer.body.as_str()),
        (200, "{\"status\":\"ok\",\"reasons\":[]}\n")
    );
}

//! Requests that Passenger refuses with 503, because the queue of their application is full: no document of Passenger counts them
//! (phusion/passenger#1777), the group of its core does.

use std::thread::spawn;

use super::app::Language;
use super::home::Home;
use super::instance::host;
use super::requests::Visit;
use super::standalone::Standalone;
use super::support::agent::{Launch, until};
use super::support::scrape::Scrape;

const BUNDLED: &str = include_str!("../../../deploy/headcount.yml");
const CORE: &str = "passenger:core";
const CLIENTS: usize = 4;
const REQUESTS: usize = 250;

/// The bundled configuration with the item of the core in use: as it says, the signs in front are removed.
fn configuration() -> String {
    let first = format!("  # - name: {CORE}");
    let (before, item) = BUNDLED.split_at(BUNDLED.find(&first).unwrap());
    let (item, after) = item.split_at(item.find("\n\n").unwrap());
    format!("{before}{}{after}", item.replace("  # ", "  "))
}

/// Responses of the core to GET. Passenger asks its application by HEAD, at some time after the start.
fn answered(scrape: &Scrape, status: &str) -> f64 {
    let family = "namedprocess_namegroup_http_requests_total";
    let labels = [("groupname", CORE), ("method", "GET"), ("status", status)];
    scrape.value(family, &labels).unwrap_or_default()
}

/// Sends requests one after the other, and returns how many of them were refused.
fn flood(port: u16) -> u16 {
    let statuses = (0..REQUESTS).map(|_| Visit::begin(port, &host(0), "/hold").status());
    statuses.map(|status| u16::from(status == 503)).sum()
}

#[test]
fn refused_requests_are_counted_in_the_group_of_the_core() {
    let home = Home::new();
    let small = Standalone {
        more: &["--max-pool-size", "1", "--max-request-queue-size", "1"],
        ..Standalone::new(Language::Ruby)
    };
    let instance = small.start(&home, "blog");
    instance.warm(0);
    let agent = Launch::new()
        .arg(home.flag())
        .config(&configuration())
        .start();
    assert_eq!(answered(&agent.scrape(), "5xx"), 0.0);

    instance.apps[0].hold();
    let held = [(); 2].map(|()| instance.visit(0, "/hold"));
    instance.await_pool("a request that waits", |pool| {
        let group = pool.app(&instance.apps[0].root);
        group.and_then(|group| group.number("get_wait_list_size")) == Some(1.0)
    });
    let port = instance.port;
    let clients = [(); CLIENTS].map(|()| spawn(move || flood(port)));
    let refused: u16 = clients.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(usize::from(refused), CLIENTS * REQUESTS);
    until("the count of the clients", || {
        answered(&agent.scrape(), "5xx") == f64::from(refused)
    });
    let scrape = agent.scrape();
    // The held ones; in a scrape, the agent's own question to the core may be in flight, too.
    let in_flight = scrape.of(CORE, "http_requests_in_flight");
    assert!(in_flight >= Some(2.0), "{in_flight:?}");

    let before = answered(&scrape, "2xx");
    instance.apps[0].release();
    assert!(held.into_iter().all(|visit| visit.status() == 200));
    until("the responses to the held requests", || {
        answered(&agent.scrape(), "2xx") >= before + 2.0
    });
    let scrape = agent.scrape();
    assert_eq!(answered(&scrape, "5xx"), f64::from(refused));
    assert_eq!(answered(&scrape, "aborted"), 0.0);
}

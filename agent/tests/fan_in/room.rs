//! Bodies that fill the memory for bodies, and answers that callers do not read.

use std::fmt::Write as _;

use serde_json::Value;

use crate::instance::Instance;
use crate::support::agent::until;
use crate::{OTHER_PATH, PATH, Site, endpoint, endpoint_of_other, error, scrape, total, up};

/// Number of large answers that callers do not read.
const UNREAD: usize = 6;

#[test]
fn connections_with_unread_large_answers_close_for_further_ones() {
    // With its labels, the body is larger than the buffers of a connection.
    let mut large = String::new();
    for series in 0..100_000 {
        writeln!(large, "a{{series=\"{series}\"}} 1").unwrap();
    }
    let instance = Instance::start(move |head, stream| {
        let body = if head.starts_with("get /small ") {
            "a 1\n"
        } else {
            &large
        };
        let answer = crate::instance::answer("200 OK", "", body.as_bytes());
        drop(std::io::Write::write_all(stream, &answer));
    });
    let site = Site::of(&[instance.address]);
    let agent = site.launch("").start();
    // Different requests, because equal ones share an answer.
    let path = |name: &str| format!("{PATH}?metric_path={name}");
    let unread: Vec<_> = (0..UNREAD)
        .map(|number| agent.begin(&path(&number.to_string()), ""))
        .collect();
    let merged = || {
        total(
            &agent,
            "headcount_fan_in_answers_total",
            &[("outcome", "merged")],
        )
    };
    until("the large answers", || merged() == UNREAD as f64);
    let closed = || {
        total(
            &agent,
            "headcount_http_unread_connections_closed_total",
            &[],
        )
    };
    until("connections that give way", || closed() > 0.0);
    assert_eq!(agent.ask(&path("further")).code, 200);
    assert_eq!(agent.ask(&path("small")).code, 200);
    drop(unread);
}

#[test]
fn application_that_fills_its_share_of_memory_leaves_memory_for_others() {
    // The agent keeps the body of each of them until it gives up.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let hostile: Vec<Instance> = (0..8)
        .map(|_| Instance::hanging(&format!("{head}{}", "a 1\n".repeat(15_000))))
        .collect();
    let mut series = String::new();
    for number in 0..2_000 {
        writeln!(series, "a{{n=\"{number}\"}} 1").unwrap();
    }
    let other = Instance::text(&series);
    let site = Site::of(&[]);
    let addresses = hostile.iter().map(|one| one.address);
    let endpoints = (0..).zip(addresses);
    let endpoints = endpoints.map(|(index, address)| endpoint(address, index));
    let mut endpoints: Vec<Value> = endpoints.collect();
    endpoints.push(endpoint_of_other(other.address));
    site.write_all(&endpoints);
    let agent = site
        .launch("  limits: {instance_bytes: 100000, answer_bytes: 150000}\n")
        .start();
    let waiting = agent.begin(PATH, "");
    until("the hostile instances", || {
        hostile.iter().all(|one| one.heads().len() == 1)
    });
    let failed = || {
        total(
            &agent,
            "headcount_target_failures_total",
            &[("kind", "fan_in"), ("reason", "limit")],
        )
    };
    let ask = || scrape(agent.ask(OTHER_PATH));
    for _ in 0..3 {
        let scrape = ask();
        assert_eq!(error(&scrape, other.address), None, "{}", scrape.body);
        assert_eq!(up(&scrape, other.address), Some(1.0));
    }
    assert_eq!(failed(), 0.0, "the question is under way");
    drop(waiting);
}

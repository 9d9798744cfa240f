//! Instances that fail in every way, beside a good one.

use std::net::SocketAddr;

use crate::instance::{Instance, answer, packed};
use crate::support::agent::Agent;
use crate::support::scrape::Scrape;
use crate::{PATH, Site, error, labels, merged, scrape, total, up};

/// Most memory by which the agent may grow while instances flood it: 64 MB beyond its idle size, and some more for the allocator.
const MOST_GROWTH: u64 = 96 << 20;

/// Asks for an application with `failing` instances and a good one, all of whose series must be in the answer.
fn beside_a_good_one(failing: &[SocketAddr], lines: &str) -> (Agent, Scrape) {
    let good = Instance::text("# TYPE good gauge\ngood 1\n");
    let mut all = failing.to_vec();
    all.push(good.address);
    let site = Site::of(&all);
    let agent = site.launch(lines).start();
    let answer = agent
        .begin(PATH, "X-Prometheus-Scrape-Timeout-Seconds: 5\r\n")
        .answer();
    let scrape = scrape(answer);
    assert_eq!(up(&scrape, good.address), Some(1.0), "{}", scrape.body);
    let series = format!("good{{{}}} 1", labels(good.address, failing.len()));
    assert!(
        scrape.body.lines().any(|line| line == series),
        "{}",
        scrape.body
    );
    (agent, scrape)
}

#[test]
fn failing_instance_has_its_reason_and_leaves_others_in_the_answer() {
    let outside = Instance::text("outside 1\n");
    let redirect = format!("Location: http://{}/\r\n", outside.address);
    let cut = packed(b"a 1\n");
    let cases = [
        (Instance::answering("401 Unauthorized", "", b"no"), "denied"),
        (Instance::answering("404 Not Found", "", b"no"), "status"),
        (
            Instance::answering("500 Internal Server Error", "", b"no"),
            "status",
        ),
        (
            Instance::answering("302 Found", &redirect, b""),
            "redirected",
        ),
        (Instance::text("this is { no exposition\n"), "malformed"),
        (
            Instance::answering("200 OK", "Content-Encoding: gzip\r\n", &cut[..10]),
            "malformed",
        ),
        (Instance::hanging(""), "timeout"),
        (
            Instance::hanging("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\na 1\n"),
            "timeout",
        ),
        (Instance::start(|_, _| ()), "malformed"),
    ];
    let mut failing: Vec<_> = cases.iter().map(|(instance, _)| instance.address).collect();
    failing.push(Instance::gone());
    let (agent, scrape) = beside_a_good_one(&failing, "");
    let reasons = cases.iter().map(|(_, reason)| *reason).chain(["refused"]);
    for (address, reason) in failing.iter().zip(reasons) {
        assert_eq!(
            up(&scrape, *address),
            Some(0.0),
            "{reason}: {}",
            scrape.body
        );
        assert_eq!(
            error(&scrape, *address).as_deref(),
            Some(reason),
            "{}",
            scrape.body
        );
    }
    // The HELP of a family names no family that only `/metrics` has.
    assert!(
        !scrape.body.contains("headcount_target_failures_total"),
        "{}",
        scrape.body
    );
    assert_eq!(outside.heads(), [""; 0]);
    let failures = |reason| {
        total(
            &agent,
            "headcount_target_failures_total",
            &[("kind", "fan_in"), ("reason", reason)],
        )
    };
    assert_eq!(failures("malformed"), 3.0);
    assert_eq!(failures("status"), 2.0);
    assert_eq!(failures("timeout"), 2.0);
    let all = agent.scrape().body;
    let counted = all
        .lines()
        .filter(|line| line.starts_with("promfetch_metric_fetch_failed_total{"));
    assert_eq!(
        counted.count(),
        failing.len() - 2,
        "all but 401 and 404: {all}"
    );
}

#[test]
fn flooding_instance_is_cut_off_and_takes_bounded_memory() {
    let bomb = packed(&b"bomb 1\n".repeat(8 << 20));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases = [
        Instance::endless("HTTP/1.1 200 OK\r\n\r\n", "endless 1\n"),
        Instance::endless("HTTP/1.1 200 OK\r\n", "x-head: never ends\r\n"),
        Instance::endless(chunked, "1\r\na\r\n"),
        Instance::endless("", "HTTP/1.1 100 Continue\r\n\r\n"),
        Instance::start(move |_, stream| {
            let headers = "Content-Encoding: gzip\r\n";
            drop(std::io::Write::write_all(
                stream,
                &answer("200 OK", headers, &bomb),
            ));
        }),
    ];
    let failing: Vec<_> = cases.iter().map(|instance| instance.address).collect();
    let (agent, scrape) = beside_a_good_one(&failing, "");
    for address in &failing {
        assert_eq!(up(&scrape, *address), Some(0.0), "{}", scrape.body);
        let reason = error(&scrape, *address).unwrap();
        assert!(
            ["too_large", "malformed"].contains(&reason.as_str()),
            "{reason}"
        );
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak << 10 < MOST_GROWTH + (64 << 20), "{peak} KiB");
}

#[test]
fn instance_cannot_write_series_of_the_agent() {
    let liar = Instance::text(
        "headcount_target_up{kind=\"fan_in\",target=\"x\"} 1\npromfetcher_scrape_error{error=\"x\"} 1\nown 1\n",
    );
    let site = Site::of(&[liar.address]);
    let agent = site.launch("").start();
    let scrape = merged(&agent, PATH);
    assert!(!scrape.body.contains("\"x\""), "{}", scrape.body);
    let omitted = [("kind", "fan_in"), ("what", "reserved")];
    assert_eq!(
        scrape.value("headcount_target_omitted", &omitted),
        Some(2.0),
        "{}",
        scrape.body
    );
}

#[test]
fn instances_beyond_the_bounds_are_left_out_and_counted() {
    let instances: Vec<Instance> = (0..5).map(|_| Instance::text("a 1\n")).collect();
    let large = Instance::text(&"a 1\n".repeat(1_000));
    let mut all: Vec<_> = instances.iter().map(|one| one.address).collect();
    all.push(large.address);
    let site = Site::of(&all);
    let agent = site
        .launch("  limits: {instances: 4, at_once: 1, instance_bytes: 100}\n")
        .start();
    let scrape = merged(&agent, PATH);
    let omitted = [("kind", "fan_in"), ("what", "instances")];
    assert_eq!(
        scrape.value("headcount_target_omitted", &omitted),
        Some(2.0),
        "{}",
        scrape.body
    );
    let is_asked = |address: &&SocketAddr| up(&scrape, **address).is_some();
    assert_eq!(all.iter().filter(is_asked).count(), 4);

    site.write(&[instances[0].address, large.address]);
    crate::support::agent::until("the new table", || {
        up(&merged(&agent, PATH), large.address) == Some(0.0)
    });
    assert_eq!(
        error(&merged(&agent, PATH), large.address).as_deref(),
        Some("too_large")
    );
}

#[test]
fn instance_that_ends_and_returns_leaves_the_series_of_others_complete() {
    let living = Instance::text("a 1\n");
    let mut other = Some(Instance::text("a 2\n"));
    let address = other.as_ref().unwrap().address;
    let site = Site::of(&[living.address, address]);
    let agent = site.launch("").start();
    let series = format!("a{{{}}} 1", labels(living.address, 0));
    for round in 0..12 {
        match round % 4 {
            1 => drop(other.take()),
            3 => other = Some(Instance::at(address, "a 2\n")),
            _ => {}
        }
        let scrape = merged(&agent, PATH);
        assert!(
            scrape.body.lines().any(|line| line == series),
            "{}",
            scrape.body
        );
        assert_eq!(up(&scrape, living.address), Some(1.0));
        let is_up = f64::from(u8::from(other.is_some()));
        assert_eq!(up(&scrape, address), Some(is_up), "{}", scrape.body);
    }
}

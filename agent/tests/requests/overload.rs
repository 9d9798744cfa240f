//! Four workers and more clients: how long workers are busy, and how long connections wait for one.

use std::thread::spawn;
use std::time::{Duration, Instant};

use super::client::{Client, Request};
use super::lives::{Life, join, rows};
use super::tally::Tally;

const WORKERS: f64 = 4.0;
const CLIENTS: usize = 16;
const REQUESTS: usize = 10;
const SLEEP: Duration = Duration::from_millis(20);
/// The share by which busy seconds of workers with one request at a time may differ from the sum of the durations.
const BUSY_APART: f64 = 0.005;

/// Requests of which each takes a worker a while, each on a connection of its own.
fn slow(port: u16) -> Tally {
    let mut client = Client::new(port);
    let path = format!("/slow/{}", SLEEP.as_millis());
    let mut request = Request::new("GET", path).field("Connection: close");
    request.least = SLEEP;
    for _ in 0..REQUESTS {
        assert_eq!(client.exchange(&request), Some(200));
    }
    client.tally
}

#[test]
fn busy_and_waiting_times_are_between_what_workers_and_clients_took() {
    for row in rows() {
        let life = Life::start(row, &["--workers", "4"]);
        let begin = Instant::now();
        let clients = (0..CLIENTS).map(|_| spawn(move || slow(life.port)));
        let tally = join(clients.collect());
        let elapsed = begin.elapsed().as_secs_f64();
        life.check("overload", &tally);
        let scrape = life.agent.scrape();
        let of = |family: &str| scrape.of(row.name, &format!("http_{family}")).unwrap();
        let (busy, served) = (of("busy_seconds_total"), of("request_duration_seconds_sum"));
        let (waited, waits) = (
            of("queue_duration_seconds_sum"),
            of("queue_duration_seconds_count"),
        );
        let seen: Duration = tally.durations.iter().map(|(_, most)| *most).sum();
        let apart = (served - busy) / served;
        println!(
            "{}: busy {busy:.4} s, served {served:.4} s, waited {waited:.4} s, clients saw {:.4} s",
            row.name,
            seen.as_secs_f64()
        );
        if row.name == "python-sync" {
            assert!(apart.abs() <= BUSY_APART, "{apart}");
        }
        assert!(
            busy <= served * (1.0 + BUSY_APART) && busy <= WORKERS * elapsed,
            "{busy} {elapsed}"
        );
        assert_eq!(waits, (CLIENTS * REQUESTS) as f64);
        assert!(waited + served <= seen.as_secs_f64(), "{}", row.name);
    }
}

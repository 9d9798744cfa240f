//! Four workers and more clients: how long workers are busy, and how long connections wait for one.

use std::collections::BTreeMap;
use std::fs;
use std::thread::spawn;
use std::time::{Duration, Instant};

use super::client::{Client, Request};
use super::lives::{Life, rows};
use super::tally::Tally;
use super::watch::check_histogram;

const WORKERS: f64 = 4.0;
const CLIENTS: usize = 16;
const REQUESTS: usize = 10;
const SLEEP: Duration = Duration::from_millis(20);
/// The share by which busy seconds of workers with one request at a time may differ from the sum of the durations.
const BUSY_APART: f64 = 0.005;

/// The time of a clock that the kernel sets at each tick, and the length of a tick. A queue time is a number of ticks, so by this
/// clock it is at most one tick off, also if ticks come late.
fn ticks() -> (Duration, Duration) {
    let [mut now, mut tick] = [libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    }; 2];
    let clock = libc::CLOCK_MONOTONIC_COARSE;
    // SAFETY: the pointers are valid.
    let codes = unsafe {
        [
            libc::clock_gettime(clock, &raw mut now),
            libc::clock_getres(clock, &raw mut tick),
        ]
    };
    assert_eq!(codes, [0, 0]);
    let duration = |time: libc::timespec| {
        let (seconds, ns) = (time.tv_sec.try_into(), time.tv_nsec.try_into());
        Duration::new(seconds.unwrap(), ns.unwrap())
    };
    (duration(now), duration(tick))
}

/// The times of a request at the client, by [`ticks`]: when it began to connect, and when it had sent the request.
struct Asked {
    connecting: Duration,
    sent: Duration,
}

/// A request in the application, by the same clock: the process, when the application was called, and when it had slept.
struct Answered {
    pid: u32,
    called: Duration,
    slept: Duration,
}

/// Requests with these numbers, of which each takes a worker a while, each on a connection of its own.
fn slow(port: u16, numbers: std::ops::Range<usize>) -> (Tally, Vec<(usize, Asked)>) {
    let mut client = Client::new(port);
    let ask = |number| {
        let path = format!("/slow/{}?{number}", SLEEP.as_millis());
        let mut request = Request::new("GET", path).field("Connection: close");
        request.least = SLEEP;
        let (connecting, begin) = (ticks().0, Instant::now());
        client.send(&request.bytes());
        let sent = ticks().0;
        assert_eq!(client.receive(&request, begin), Some(200));
        (number, Asked { connecting, sent })
    };
    let asked = numbers.map(ask).collect();
    (client.tally, asked)
}

/// The line that the application has written for each request.
fn answered(life: &Life) -> BTreeMap<usize, Answered> {
    let text = fs::read_to_string(life.site.served()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("at "));
    let read = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let time = |word: &str| Duration::from_nanos(word.parse().unwrap());
        let answered = Answered {
            pid: words[1].parse().unwrap(),
            called: time(words[2]),
            slept: time(words[3]),
        };
        (words[0].parse().unwrap(), answered)
    };
    lines.map(read).collect()
}

/// The least and the most that each request has waited for its first receive. The data came after the client began to connect, and
/// the worker had received it when it called the application. A worker with one request at a time receives no request before it has
/// slept for the one before; by then the data had come if it was sent, unless the kernel was late with it: so half of that, one
/// bucket less, is the least.
fn waits(
    life: &Life,
    asked: &[(usize, Asked)],
    is_one_at_a_time: bool,
) -> Vec<(Duration, Duration)> {
    let answered = answered(life);
    let (_, tick) = ticks();
    let limits = |(number, asked): &(usize, Asked)| {
        let own = &answered[number];
        let most = own.called.saturating_sub(asked.connecting) + tick;
        let others = answered.values();
        let before = others.filter(|other| other.pid == own.pid && other.called < own.called);
        let free = before.map(|other| other.slept).max().unwrap_or_default();
        let least = match is_one_at_a_time {
            true => free.saturating_sub(asked.sent).saturating_sub(tick) / 2,
            false => Duration::ZERO,
        };
        (least, most)
    };
    asked.iter().map(limits).collect()
}

#[test]
fn busy_and_waiting_times_are_between_those_of_workers_and_clients() {
    for row in rows() {
        let life = Life::start(row, &["--workers", "4"]);
        let begin = Instant::now();
        let port = life.port;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|nth| spawn(move || slow(port, nth * REQUESTS..(nth + 1) * REQUESTS)))
            .collect();
        let (mut tally, mut asked) = (Tally::default(), Vec::new());
        for client in clients {
            let (one, more) = client.join().unwrap();
            tally.merge(one);
            asked.extend(more);
        }
        let elapsed = begin.elapsed().as_secs_f64();
        life.check("overload", &tally);
        let scrape = life.agent.scrape();
        let of = |family: &str| scrape.of(row.name, &format!("http_{family}")).unwrap();
        let (busy, served) = (of("busy_seconds_total"), of("request_duration_seconds_sum"));
        let is_one_at_a_time = row.name == "python-sync";
        let waits = waits(&life, &asked, is_one_at_a_time);
        let apart = check_histogram(&scrape, row.name, "http_queue_duration_seconds", &waits);
        let sum = |one: fn(&(Duration, Duration)) -> Duration| {
            let sum: Duration = waits.iter().map(one).sum();
            sum.as_secs_f64()
        };
        println!(
            "{}: busy {busy:.4} s, served {served:.4} s; waited {:.4} s, between {:.4} s and {:.4} s, {apart} more than a bucket below",
            row.name,
            of("queue_duration_seconds_sum"),
            sum(|wait| wait.0),
            sum(|wait| wait.1),
        );
        if is_one_at_a_time {
            let apart = (served - busy) / served;
            assert!(apart.abs() <= BUSY_APART, "{apart}");
        }
        assert!(
            busy <= served * (1.0 + BUSY_APART) && busy <= WORKERS * elapsed,
            "{busy} {elapsed}"
        );
    }
}

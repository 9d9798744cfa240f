//! How long processes were busy, connections waited, and responses took: never less than between two moments inside, never more than
//! between two outside, by this test's clock.

use std::ops::RangeInclusive;
use std::time::Instant;

use super::{Pair, Path, is_counted, start};
use crate::agent::Agent;
use crate::runner::table;
use crate::tier::{ITERATOR, TYPED, Tier};

table![
    a_process_is_busy_while_a_request_is_in_flight for TYPED,
    overlapping_requests_are_busy_time_once for &[&ITERATOR],
    a_process_that_ends_with_a_request_was_busy_to_its_end for &[&ITERATOR],
    a_connection_waits_from_its_data_to_its_first_receive for &[&ITERATOR],
    a_response_takes_until_its_last_byte for &[&ITERATOR],
];

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";

/// The exposition has microseconds; the kernel's clocks of a socket, too.
const ROUNDING: f64 = 3e-6;

/// The clock that the kernel sets at each tick, and the length of a tick, seconds. A tick may come late, on a busy machine.
fn ticks() -> (f64, f64) {
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
    let seconds = |time: libc::timespec| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    (seconds(now), seconds(tick))
}

fn seconds(from: Instant, to: Instant) -> f64 {
    (to - from).as_secs_f64()
}

/// Takes some time, in which the server does nothing.
fn pass_time(agent: &Agent) {
    for _ in 0..10 {
        agent.scrape();
    }
}

/// A family of the server's group, at this moment.
fn shown(agent: &Agent, pair: &Pair, family: &str) -> f64 {
    let name = format!("namedprocess_namegroup_http_{family}");
    let labels = [("groupname", pair.program.name.as_str())];
    agent.scrape().the(&name, &labels)
}

#[track_caller]
fn within(value: f64, bounds: &RangeInclusive<f64>) {
    let (least, most) = (bounds.start() - ROUNDING, bounds.end() + ROUNDING);
    assert!(
        (least..=most).contains(&value),
        "{value} is not in {bounds:?}"
    );
}

fn on_each_path(tier: &Tier, test: impl Fn(&Agent, &mut Pair)) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    for path in [Path::Tcp, Path::Unix] {
        let mut pair = Pair::start("httpt", path);
        test(&agent, &mut pair);
        pair.finish();
    }
}

fn a_process_is_busy_while_a_request_is_in_flight(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        pair.connect();
        let (mut least, mut most) = (0.0, 0.0);
        for _ in 0..5 {
            let before = Instant::now();
            pair.ask("recv", 8192, GET);
            let begun = Instant::now();
            pass_time(agent);
            // The interval that has not ended counts, too.
            let asked = Instant::now();
            let busy = shown(agent, pair, "busy_seconds_total");
            let (inner, outer) = (seconds(begun, asked), seconds(before, Instant::now()));
            within(busy, &(least + inner..=most + outer));
            let ending = Instant::now();
            pair.answer("send", &[OK]);
            least += seconds(begun, ending);
            most += seconds(before, Instant::now());
            pass_time(agent);
        }
        let busy = shown(agent, pair, "busy_seconds_total");
        within(busy, &(least..=most));
        let durations = shown(agent, pair, "request_duration_seconds_sum");
        within(busy, &(durations * 0.995..=durations));
    });
}

fn overlapping_requests_are_busy_time_once(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        pair.connect();
        let before = Instant::now();
        pair.ask("recv", 8192, GET);
        let begun = Instant::now();
        pair.tell("keep");
        let first = pair.client.take();
        for _ in 0..5 {
            pair.connect();
            pair.ask("recv", 8192, GET);
            pass_time(agent);
            pair.answer("send", &[OK]);
        }
        pair.tell("take");
        pair.client = first;
        let ending = Instant::now();
        pair.answer("send", &[OK]);
        let ended = Instant::now();
        let busy = shown(agent, pair, "busy_seconds_total");
        within(busy, &(seconds(begun, ending)..=seconds(before, ended)));
        let durations = shown(agent, pair, "request_duration_seconds_sum");
        assert!(durations > busy, "{durations} of requests in {busy}");
    });
}

fn a_process_that_ends_with_a_request_was_busy_to_its_end(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        pair.connect();
        let before = Instant::now();
        pair.ask("recv", 8192, GET);
        let begun = Instant::now();
        pass_time(agent);
        let next = Pair::start("httpt", pair.path);
        let ended = std::mem::replace(pair, next);
        let name = ended.program.name.clone();
        let ending = Instant::now();
        ended.finish();
        let bounds = seconds(begun, ending)..=seconds(before, Instant::now());
        let labels = [("groupname", name.as_str())];
        let settled = agent.await_that(|samples| {
            let in_flight = samples.the("namedprocess_namegroup_http_requests_in_flight", &labels);
            let is_settled = in_flight == 0.0;
            is_settled.then_some(()).ok_or("in flight".to_owned())
        });
        let family = "namedprocess_namegroup_http_busy_seconds_total";
        within(settled.the(family, &labels), &bounds);
        pass_time(agent);
        within(agent.scrape().the(family, &labels), &bounds);
    });
}

fn a_connection_waits_from_its_data_to_its_first_receive(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        let receive = format!("receive recv 8192 {}", GET.len());
        let (mut least, mut most, mut count) = (0.0, 0.0, 0.0);
        for speaks_late in [false, true, false] {
            pair.dial();
            if speaks_late {
                pass_time(agent);
            }
            let (before, tick) = ticks();
            let client = pair.client.as_mut().unwrap();
            std::io::Write::write_all(client, GET).unwrap();
            let (sent, _) = ticks();
            pass_time(agent);
            let (reading, _) = ticks();
            pair.tell("accept");
            pair.tell(&receive);
            let (read, _) = ticks();
            if pair.path == Path::Tcp {
                least += reading - sent - tick;
                most += read - before + tick;
                count += 1.0;
            }
            pair.answer("send", &[OK]);
            pair.exchange("GET", 200);
            assert_eq!(shown(agent, pair, "queue_duration_seconds_count"), count);
            within(
                shown(agent, pair, "queue_duration_seconds_sum"),
                &(least..=most),
            );
        }
    });
}

fn a_response_takes_until_its_last_byte(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        pair.connect();
        let (mut least, mut most, mut count) = (0.0, 0.0, 0.0);
        for end in [
            "next request",
            "next request",
            "close of the client",
            "close",
        ] {
            pair.ask("recv", 8192, GET);
            let before = Instant::now();
            pair.answer("send", &[HEAD]);
            let begun = Instant::now();
            pass_time(agent);
            let ending = Instant::now();
            pair.answer("send", &[b"h", b"i"]);
            if pair.path == Path::Tcp {
                least += seconds(begun, ending);
                most += seconds(before, Instant::now());
                count += 1.0;
            }
            match end {
                "next request" => {
                    pass_time(agent);
                    pair.ask("recv", 8192, GET);
                    pair.answer("send", &[OK]);
                }
                "close of the client" => {
                    pass_time(agent);
                    pair.connect();
                }
                // The client may not have acknowledged all of it.
                _ => {
                    pair.tell("close");
                    if pair.path == Path::Tcp {
                        most += seconds(ending, Instant::now());
                    }
                }
            }
            within(
                shown(agent, pair, "response_duration_seconds_sum"),
                &(least..=most),
            );
            let shown = shown(agent, pair, "response_duration_seconds_count");
            assert_eq!(shown, count, "{end}");
            if end == "next request" && pair.path == Path::Tcp {
                // That of the second response, which the next turn ends.
                count += 1.0;
            }
        }
    });
}

//! Connections: slow ones, silent ones, many, short ones, and those whose clients do not read the answers.

use super::attack::{never_read, reset, silence, swarm, trickle};
use super::siege::{Siege, count, timeouts};

const EVICTED: &str = "headcount_http_connections_evicted_total";

#[test]
fn trickling_heads_hold_up_no_scrape() {
    let siege = Siege::new();
    let to = siege.agent.address;
    let is_felt = |scrape: &_| count(scrape, EVICTED) >= 100.0;
    siege.withstand(swarm(200, move || trickle(to)), is_felt);
}

#[test]
fn trickling_heads_on_few_connections_hold_up_no_scrape() {
    let siege = Siege::new();
    let to = siege.agent.address;
    let is_felt = |scrape: &_| timeouts(scrape, "header") >= 40.0;
    siege.withstand(swarm(40, move || trickle(to)), is_felt);
}

#[test]
fn more_connections_than_descriptors_hold_up_no_scrape() {
    for descriptors in [48, 128] {
        let siege = Siege::of(|launch| launch.limit(libc::RLIMIT_NOFILE, descriptors));
        let to = siege.agent.address;
        let is_felt = |scrape: &_| count(scrape, EVICTED) >= 500.0;
        siege.withstand(swarm(300, move || silence(to)), is_felt);
    }
}

#[test]
fn unread_answers_hold_up_no_scrape() {
    let siege = Siege::new();
    let to = siege.agent.address;
    let is_felt = |scrape: &_| timeouts(scrape, "write") >= 40.0;
    siege.withstand(swarm(100, move || never_read(to)), is_felt);
}

#[test]
fn connections_reset_at_once_hold_up_no_scrape() {
    let siege = Siege::new();
    let to = siege.agent.address;
    siege.withstand(swarm(100, move || reset(to)), |scrape| {
        super::siege::answered(scrape, "200") >= 500.0
    });
}

//! What `cargo xtask bench` counts and times beside the agent itself; no part of the agent.
//!
//! `replay scrapes N` and `replay launches N` feed made-up bytes of a node to the state, to be run under callgrind: only
//! what is below a function called `steady_...` is to be counted. `replay bare` reads the task iterator and does nothing
//! with it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]
#![allow(
    unreachable_pub,
    reason = "nothing in a program is reachable from outside"
)]

mod bare;
mod node;
mod recording;

use std::process::ExitCode;

use node::Node;
use recording::{Recording, launch};

/// Scrapes before those that count: the first one makes everything.
const WARM_UP: usize = 3;
/// Scrapes that count.
const SCRAPES: usize = 5;
/// Launches that one drain finds.
const BATCH: usize = 500;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["scrapes", count] => count
            .parse()
            .map(scrapes)
            .map_err(|error| error.to_string()),
        ["launches", count] => count
            .parse()
            .map(launches)
            .map_err(|error| error.to_string()),
        ["bare"] => bare::serve(),
        _ => Err("usage: replay scrapes N | replay launches N | replay bare".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints how many scrapes counted, and how long the last body is.
fn scrapes(processes: u32) {
    let mut recording = Recording::new(processes);
    let mut node = Node::new();
    let rounds: Vec<Vec<Vec<u8>>> = (0..WARM_UP + SCRAPES)
        .map(|round| {
            recording.run(round);
            recording.tasks()
        })
        .collect();
    let (first, rest) = rounds.split_at(WARM_UP);
    for tasks in first {
        node.scrape(tasks);
    }
    let body_bytes = steady_scrapes(&mut node, rest);
    println!("{SCRAPES} {body_bytes}");
}

#[inline(never)]
fn steady_scrapes(node: &mut Node, rounds: &[Vec<Vec<u8>>]) -> usize {
    let mut body_bytes = 0;
    for tasks in rounds {
        body_bytes = node.scrape(tasks).len();
    }
    body_bytes
}

/// Prints how many launches counted.
fn launches(count: u32) {
    let mut node = Node::new();
    let mut recording = Recording::new(100);
    recording.run(0);
    node.scrape(&recording.tasks());
    let records: Vec<Vec<u8>> = (0..count).flat_map(launch).collect();
    let (first, rest) = records.split_at(records.len() / 2);
    let drain_all = |node: &mut Node, records: &[Vec<u8>]| {
        records
            .chunks(BATCH * 4)
            .for_each(|batch| node.drain(batch));
    };
    drain_all(&mut node, first);
    steady_launches(&mut node, rest);
    println!("{} 0", rest.len() / 4);
}

#[inline(never)]
fn steady_launches(node: &mut Node, records: &[Vec<u8>]) {
    records
        .chunks(BATCH * 4)
        .for_each(|batch| node.drain(batch));
}

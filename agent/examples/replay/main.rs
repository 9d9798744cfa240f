//! Work that `cargo xtask bench` counts and times beside the agent itself; no part of the agent.
//!
//! `replay scrapes N` and `replay launches N` feed made-up bytes of a node to the state, to be run under callgrind: only
//! instructions below a function called `steady_...` are to be counted; so does `replay merge N` with the expositions of N
//! instances, and prints how fast they were merged and how much memory that took. `replay exposition N` prints the exposition of
//! one instance, with N series. `replay bare` reads the task iterator and does nothing with it.
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
mod instances;
mod node;
mod recording;

use std::process::ExitCode;

use headcount::merge::{BodyFormat, LabelConflict, MergeRules, MergedBody, ScrapedBody, merge};
use node::Node;
use recording::{Recording, launch};

/// Scrapes before those that count: the first one makes everything.
const WARM_UP: usize = 3;
/// Scrapes that count.
const SCRAPES: usize = 5;
/// Series of each instance whose exposition is merged.
const SERIES: usize = 2000;
/// Launches that one drain finds.
const BATCH: usize = 500;

const USAGE: &str = "usage: replay scrapes N | replay launches N | replay merge N | replay exposition N | replay bare";

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
        ["merge", count] => count
            .parse()
            .map_err(|error: std::num::ParseIntError| error.to_string())
            .and_then(merge_instances),
        ["exposition", series] => series
            .parse()
            .map(print_exposition)
            .map_err(|error| error.to_string()),
        ["bare"] => bare::serve(),
        _ => Err(USAGE.to_owned()),
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

/// Prints how many bytes were merged, the bytes of the merged body, the megabytes of input in a second of CPU, and by how many
/// KiB the largest size of this process has grown.
fn merge_instances(instances: usize) -> Result<(), String> {
    let given: Vec<_> = (0..instances)
        .map(|n| (instances::exposition(n, SERIES), instances::labels(n)))
        .collect();
    let answers: Vec<ScrapedBody<'_>> = given
        .iter()
        .map(|(body, labels)| ScrapedBody {
            labels,
            without: &[],
            keeps_labels: false,
            body,
            format: BodyFormat::Text,
        })
        .collect();
    let input: usize = given.iter().map(|(body, _)| body.len()).sum();
    let before = peak_kib()?;
    let started = cpu_seconds()?;
    let merged = steady_merge(&answers);
    let seconds = cpu_seconds()? - started;
    let rate = input as f64 / seconds / 1e6;
    let grown = peak_kib()? - before;
    println!("{input} {} {rate:.0} {grown}", merged.body.len());
    Ok(())
}

fn print_exposition(series: usize) {
    print!(
        "{}",
        String::from_utf8_lossy(&instances::exposition(0, series))
    );
}

#[inline(never)]
fn steady_merge(answers: &[ScrapedBody<'_>]) -> MergedBody {
    let rules = MergeRules {
        label_conflict: LabelConflict::Overwrite,
        keeps_timestamps: false,
        most_bytes: 64 << 20,
    };
    merge(answers, &rules)
}

/// The largest size that this process has had.
fn peak_kib() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
    peak.ok_or_else(|| "no VmHWM in /proc/self/status".to_owned())
}

/// CPU time of this process.
fn cpu_seconds() -> Result<f64, String> {
    let stat =
        std::fs::read_to_string("/proc/self/schedstat").map_err(|error| error.to_string())?;
    let ns = stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    Ok(ns.ok_or("no time in /proc/self/schedstat")? / 1e9)
}

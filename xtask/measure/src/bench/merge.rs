//! The merge of expositions: how fast one core merges, and how much memory that takes. Section `merge`, with whole answers of the
//! fan-in ([`fan_in`]).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::statistics::median;
use super::table::{Row, megabytes};
use super::{Bench, callgrind, fan_in, replay};
use crate::{command, setup};

/// Instances of 2,000 series each.
const INSTANCES: &str = "50";
const RUNS: usize = 5;

/// What one run of `replay merge` says.
struct MergeRun {
    input: u64,
    output: u64,
    megabytes_per_second: f64,
    grown_kib: u64,
}

/// Of merging alone, and of answers over HTTP.
pub(super) fn costs(bench: &Bench) -> Result<Vec<Row>> {
    setup::ensure(setup::BENCH)?;
    let program = replay::build()?;
    let mut rows = rate(bench, &program)?;
    rows.extend(fan_in::answers(bench, &program)?);
    Ok(rows)
}

/// Merges the expositions of 50 instances.
fn rate(bench: &Bench, program: &Path) -> Result<Vec<Row>> {
    let arguments = ["merge", INSTANCES];
    let runs = (0..RUNS).map(|_| {
        let said = command::read(Command::new(program).args(arguments))?;
        MergeRun::parse(&said).with_context(|| format!("replay merge said {said:?}"))
    });
    let runs: Vec<MergeRun> = runs.collect::<Result<_>>()?;
    let rates: Vec<f64> = runs.iter().map(|run| run.megabytes_per_second).collect();
    let rate = median(&rates);
    let grown = runs.iter().map(|run| run.grown_kib * 1024).max();
    let grown = grown.unwrap_or_default();
    let sizes = runs.first().map_or((0, 0), |run| (run.input, run.output));
    let instructions = callgrind::run(program, &arguments, &bench.folder)?.per_round();
    Ok(vec![
        Row::new("input, 50 instances of 2,000 series", megabytes(sizes.0)),
        Row::new(
            "merged body, nine labels for each series",
            megabytes(sizes.1),
        ),
        Row::new("input in a second of one core", format!("{rate:.0} MB"))
            .target("≥ 200 MB", rate >= 200.0),
        Row::new("more memory, the merged body included", megabytes(grown))
            .target("≤ 64 MB", grown <= 64_000_000),
        Row::new(
            "instructions per byte of input",
            format!("{instructions:.1}"),
        ),
    ])
}

impl MergeRun {
    fn parse(said: &str) -> Option<Self> {
        let words: Vec<&str> = said.split_whitespace().collect();
        let [input, output, rate, grown] = words[..] else {
            return None;
        };
        Some(Self {
            input: input.parse().ok()?,
            output: output.parse().ok()?,
            megabytes_per_second: rate.parse().ok()?,
            grown_kib: grown.parse().ok()?,
        })
    }
}

//! Measures the cost of programs that start and end: sections `execs`, `slow-down` and `programs`.

use std::time::Duration;

use anyhow::Result;

use super::load::{self, Churn};
use super::programs::ProgramStatistics;
use super::statistics::{median, quantile};
use super::table::{Row, milliseconds, nanoseconds, percent};
use super::{Bench, metrics};

const ROUNDS: usize = 5;
const EXECS: u32 = 2000;
/// Wait after the last exit: final totals from the hook `free` arrive after an RCU grace period.
const GRACE: Duration = Duration::from_millis(300);

/// CPU of the agent for each 1,000 programs, without the cost of the scrape at the end.
pub(super) fn cost(bench: &Bench) -> Result<Vec<Row>> {
    let agent = bench.start_agent(&[])?;
    let mut scrapes = Vec::new();
    for _ in 0..ROUNDS {
        scrapes.push(agent.scrape()?.cpu_ns);
    }
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        let before = agent.cpu_ns()?;
        load::churn(EXECS)?;
        std::thread::sleep(GRACE);
        agent.scrape()?;
        let all = agent.cpu_ns()? - before;
        costs.push((all - median(&scrapes)) / f64::from(EXECS) * 1e3);
    }
    let cost = median(&costs);
    let row =
        Row::new("agent CPU per 1,000 fork+exec+exit", milliseconds(cost)).of("headcount", &costs);
    Ok(vec![row.target("≤ 20 ms", cost <= 20e6)])
}

/// Pairs of runs with and without kernel programs attached, in changing order; the result is the median of the pairs' ratios. In
/// both runs an agent has just started and waits; in the second one it counts from `/proc` only.
pub(super) fn slow_down(bench: &Bench) -> Result<Vec<Row>> {
    const PAIRS: usize = 60;
    const STRETCH: u32 = 200;
    let stretch = |accounting: &str| -> Result<Churn> {
        let _agent = bench.start_agent(&[accounting])?;
        // Lets the kernel finish its work for this start and for the end before it.
        std::thread::sleep(GRACE);
        load::churn(STRETCH)
    };
    let with = || stretch("-accounting=auto");
    let without = || stretch("-accounting=procfs");
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        pairs.push(if pair % 2 == 0 {
            let first = with()?;
            (first, without()?)
        } else {
            let first = without()?;
            (with()?, first)
        });
    }
    let row = |name: &str, of: fn(Churn) -> f64| {
        let ratios: Vec<f64> = pairs
            .iter()
            .map(|(with, without)| of(*with) / of(*without))
            .collect();
        let plain: Vec<f64> = pairs.iter().map(|(_, without)| of(*without)).collect();
        let share = median(&ratios) - 1.0;
        let [low, high] = [0.25, 0.75].map(|share| percent(quantile(&ratios, share) - 1.0));
        let each = nanoseconds(median(&plain) / f64::from(STRETCH));
        let name = format!("slow-down of fork+exec+exit, {name} ({each} without)");
        let shown = format!("{} (quartiles {low}, {high})", percent(share));
        let with: Vec<f64> = pairs.iter().map(|(with, _)| of(*with)).collect();
        let row = Row::new(name, shown)
            .of("with the agent", &with)
            .of("without", &plain);
        (row, share)
    };
    let (cpu, share) = row("CPU", |churn| churn.cpu_ns);
    let (wall, _) = row("wall", |churn| churn.wall_ns);
    Ok(vec![cpu.target("≤ 2 %", share <= 0.02), wall])
}

/// Runs and time of each kernel program, as the kernel counts them; counting itself adds to the time of each run. The time of the
/// hooks in a process's life is the slow-down without the noise of measuring it.
pub(super) fn programs(bench: &Bench) -> Result<Vec<Row>> {
    let _statistics = ProgramStatistics::enable()?;
    let agent = bench.start_agent(&[])?;
    let churn = load::churn(EXECS)?;
    std::thread::sleep(GRACE);
    for _ in 0..ROUNDS {
        agent.scrape()?;
    }
    let body = agent.scrape()?.body;
    let times = metrics::samples(&body, "headcount_program_run_seconds_total");
    let runs: Vec<_> = metrics::samples(&body, "headcount_program_runs_total").collect();
    let mut rows = Vec::new();
    let mut life_ns = 0.0;
    for (labels, seconds) in times {
        let runs = runs.iter().find(|(name, _)| *name == labels);
        let Some((_, runs)) = runs.filter(|(_, runs)| *runs > 0.0) else {
            continue;
        };
        let each_ns = seconds * 1e9 / runs;
        if !labels.contains("iter/") {
            life_ns += each_ns;
        }
        let name = labels.trim_matches(['{', '}']).replace('"', "");
        let shown = format!("{} ({runs} runs)", nanoseconds(each_ns));
        rows.push(Row::new(format!("time per run, {name}"), shown));
    }
    let share = life_ns / (churn.cpu_ns / f64::from(EXECS));
    let shown = format!("{} ({})", nanoseconds(life_ns), percent(share));
    let row = Row::new(
        "time of the hooks per fork+exec+exit, and share of its CPU",
        shown,
    );
    rows.push(row.target("≤ 2 %", share <= 0.02));
    Ok(rows)
}

//! `cargo xtask soak --minutes N [-- ARGUMENT...]`: checks that the agent still reports true values after a long time, and does
//! not grow.
//!
//! In come a duration and arguments for the agent. Out comes a line for each minute, on the terminal and in
//! `target/soak/SOAK.md`; it succeeds only if no check failed. Programs start and end all the time ([`generator`]), and the agent
//! is scraped each [`SCRAPE`]. At the end of each minute the programs pause, and five things must hold:
//!
//! * The CPU of the groups agrees with the CPU that `wait4` reported for all programs.
//! * The numbers of programs started, and ended in each way, are those of the generator.
//! * The CPU of each thread name agrees with the CPU that its thread reports.
//! * The CPU time and creations that the agent accounts for agree with those of the node ([`truth`]).
//! * The agent holds no more memory, descriptors and map entries than before ([`flat`]).
//!
//! No counter may ever fall. It needs root.

mod flat;
mod generator;
mod programs;
mod resident;
mod truth;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, value_parser};
use flat::Holding;
pub(crate) use generator::{LOAD, main as load};
use programs::Programs;
use truth::Report;

use crate::bench::subject::{Launch, Subject};
use crate::{command, setup, workspace};

/// Time between two scrapes, as with Prometheus.
const SCRAPE: Duration = Duration::from_secs(15);
/// Time that programs run before they pause for the check.
const STRETCH: Duration = Duration::from_secs(55);
/// Time for which the values after a pause may still be wrong: a process whose final totals never come is closed after 60 s.
const SETTLE: Duration = Duration::from_secs(90);
/// File, below `target`, with the exposition at the end of that time.
const LAST: &str = "soak/last.prom";

const HEAD: &str = "\
| minute | programs ended | CPU by wait4, s | CPU by the groups | unconfirmed | RSS, MB | descriptors | other maps, fullest | ring, peak | settled in, s |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    minutes: u32,
    /// Arguments for the agent
    #[arg(last = true)]
    agent: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    ensure!(
        setup::is_root(),
        "loading kernel programs needs root, and so does this"
    );
    let soak = Soak::prepare()?;
    soak.run(arguments.minutes, &arguments.agent)
}

struct Soak {
    folder: PathBuf,
    agent: PathBuf,
    config: PathBuf,
}

impl Soak {
    fn prepare() -> Result<Self> {
        setup::ensure(setup::KERNEL_PROGRAMS)?;
        let mut cargo = workspace::cargo_with_ebpf();
        command::run(cargo.args(["build", "--release", "--package", "headcount"]))?;
        let folder = workspace::target_dir().join("soak");
        programs::install(&folder)?;
        let config = folder.join("config.yaml");
        std::fs::write(&config, generator::config())
            .with_context(|| format!("write {}", config.display()))?;
        Ok(Self {
            agent: workspace::target_dir().join("release/headcount"),
            folder,
            config,
        })
    }

    fn run(&self, minutes: u32, of_the_agent: &[String]) -> Result<()> {
        let config = format!("--config.path={}", self.config.display());
        let launch = Launch {
            name: "headcount",
            binary: &self.agent,
            arguments: [&[config], of_the_agent].concat(),
            ready: "/health",
            processes: "namedprocess_namegroup_num_procs",
        };
        let agent = Subject::start(&launch, &self.folder)?;
        let mut watch = Watch::new(&agent);
        let mut programs = Programs::start(&self.folder)?;
        let mut table = Table::new(&self.folder)?;
        let mut holdings = Vec::new();
        for minute in 1..=minutes {
            programs.go_on(STRETCH)?;
            let report = loop {
                match programs.report_within(SCRAPE)? {
                    Some(report) => break report,
                    None => drop(watch.scrape()?),
                }
            };
            let (body, took) = watch.scrape_until_true(&report)?;
            let holding = Holding::of(&agent, &body)?;
            table.add(&line(minute, &report, &body, &holding, took))?;
            holdings.push(holding);
        }
        flat::judge(&holdings)?;
        table.add(&format!(
            "\nAll held; {} scrapes, no counter fell.\n",
            watch.scrapes
        ))
    }
}

fn line(minute: u32, report: &Report, body: &str, holding: &Holding, took: Duration) -> String {
    let found_ns = truth::groups_cpu_ns(body);
    format!(
        "| {minute} | {} | {:.3} | {:+.3} % | {} | {:.2} | {} | {:.4} | {:.3} | {:.1} |\n",
        report.ended(),
        report.cpu_ns / 1e9,
        (found_ns / report.cpu_ns - 1.0) * 100.0,
        truth::unconfirmed(body),
        holding.resident_bytes as f64 / 1e6,
        holding.descriptors,
        holding.fullest_map,
        holding.ring_peak,
        took.as_secs_f64(),
    )
}

/// The agent, and the last values of its counters.
struct Watch<'a> {
    agent: &'a Subject,
    counters: HashMap<String, f64>,
    scrapes: u32,
}

impl<'a> Watch<'a> {
    fn new(agent: &'a Subject) -> Self {
        Self {
            agent,
            counters: HashMap::new(),
            scrapes: 0,
        }
    }

    /// Scrapes; an error if a counter fell.
    fn scrape(&mut self) -> Result<String> {
        let body = self.agent.scrape().context("the agent must answer")?.body;
        truth::advance(&mut self.counters, &body)?;
        self.scrapes += 1;
        Ok(body)
    }

    /// An error if `/health` reports a complaint, or does not answer with 200.
    fn is_well(&self) -> Result<()> {
        let health = self.agent.fetch("/health")?;
        ensure!(health.contains("\"ok\""), "/health says {health}");
        Ok(())
    }

    /// The first exposition with true values, from a healthy agent, and the time until it came.
    fn scrape_until_true(&mut self, report: &Report) -> Result<(String, Duration)> {
        let begun = Instant::now();
        loop {
            let body = self.scrape()?;
            match report
                .check(&body)
                .and_then(|()| truth::check_books(&body))
                .and_then(|()| self.is_well())
            {
                Ok(()) => return Ok((body, begun.elapsed())),
                Err(wrong) if begun.elapsed() > SETTLE => {
                    let path = workspace::target_dir().join(LAST);
                    std::fs::write(&path, &body)?;
                    let shown = path.display();
                    return Err(wrong)
                        .with_context(|| format!("it was not true within 90 s; see {shown}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }
}

/// The table, written line by line, so that an interrupted run leaves its results.
struct Table {
    text: String,
    path: PathBuf,
}

impl Table {
    fn new(folder: &Path) -> Result<Self> {
        let mut table = Self {
            text: String::new(),
            path: folder.join("SOAK.md"),
        };
        table.add(HEAD)?;
        Ok(table)
    }

    fn add(&mut self, part: &str) -> Result<()> {
        print!("{part}");
        write!(self.text, "{part}")?;
        std::fs::write(&self.path, &self.text)
            .with_context(|| format!("write {}", self.path.display()))
    }
}

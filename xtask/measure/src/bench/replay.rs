//! Runs the program `replay` (agent/examples/replay). It counts the instructions from the kernel's bytes to the exposition (section
//! `instructions`), and finds the lowest possible cost of reading the kernel, with which section `bare` compares the agent.

use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::callgrind::{self, Profile};
use super::subject::bound_to_us;
use super::table::Row;
use super::{Bench, usage};
use crate::{command, setup, workspace};

/// Number of functions that are listed, the largest ones.
const NAMED: usize = 12;

/// Builds the program with the agent's build settings.
pub(super) fn build() -> Result<PathBuf> {
    let mut cargo = workspace::cargo_with_ebpf();
    cargo.args(["build", "--release", "--package", "headcount"]);
    command::run(cargo.args(["--example", "replay"]))?;
    Ok(workspace::target_dir().join("release/examples/replay"))
}

/// Instructions of scrapes and of program starts, and the largest functions of the largest scrape.
pub(super) fn instructions(bench: &Bench) -> Result<Vec<Row>> {
    const COUNTS: [u32; 2] = [1000, 10_000];
    setup::ensure(setup::BENCH)?;
    let program = build()?;
    let count = |kind: &str, count: u32| -> Result<Profile> {
        let number = count.to_string();
        callgrind::run(&program, &[kind, &number], &bench.folder)
            .with_context(|| format!("replay {kind} {count}"))
    };
    let few = count("scrapes", COUNTS[0])?;
    let many = count("scrapes", COUNTS[1])?;
    let launches = count("launches", 4000)?;
    let more = f64::from(COUNTS[1] - COUNTS[0]);
    let each = (many.per_round() - few.per_round()) / more;
    let mut rows = vec![
        row(
            format!("per scrape, {} processes", COUNTS[0]),
            few.per_round(),
        ),
        row(
            format!("per scrape, {} processes", COUNTS[1]),
            many.per_round(),
        ),
        row("per scrape and process".to_owned(), each),
        row("per fork+exec+exit".to_owned(), launches.per_round()),
    ];
    let parts = [("scrape of 10,000", &many), ("fork+exec+exit", &launches)];
    for (of, profile) in parts {
        for (function, instructions) in profile.functions.iter().take(NAMED) {
            let each = instructions / profile.rounds;
            let share = 100.0 * instructions / profile.all;
            let name = format!("of a {of}: `{function}`");
            rows.push(Row::new(name, format!("{each:.0} ({share:.1} %)")));
        }
    }
    Ok(rows)
}

fn row(what: String, instructions: f64) -> Row {
    Row::new(format!("instructions {what}"), format!("{instructions:.0}"))
}

/// A program that only reads the task iterator; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Bare {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Bare {
    pub(super) fn start(program: &Path) -> Result<Self> {
        let mut child = bound_to_us(program)
            .arg("bare")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let output = child.stdout.take().context("replay has no output")?;
        let output = BufReader::new(output);
        let mut bare = Self { child, output };
        // The first reading finds cold caches, and programs that are not loaded yet.
        bare.scrape(1)?;
        Ok(bare)
    }

    /// CPU of one reading, with `body_bytes` written.
    pub(super) fn scrape(&mut self, body_bytes: usize) -> Result<f64> {
        let before = usage::cpu_ns(self.child.id())?;
        let input = self.child.stdin.as_mut().context("replay has no input")?;
        writeln!(input, "{body_bytes}")?;
        let mut body = vec![0; body_bytes];
        let read = self.output.read_exact(&mut body);
        read.context("replay ended; its output is above")?;
        ensure!(
            body.iter().all(|byte| *byte == b'#'),
            "replay wrote something else"
        );
        Ok(usage::cpu_ns(self.child.id())? - before)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself; then there is no process to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

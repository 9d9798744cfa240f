//! A load that runs as long as its value lives: the other side of [`super::generator`].

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::generator;

/// Processes or threads of the load; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Load {
    child: Child,
}

impl Load {
    /// Starts the load that `kinds` describes (as [`generator()`] reads it) and waits until all of it exists.
    pub(super) fn start(kinds: &[&str]) -> Result<Self> {
        let mut child = generator(kinds)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the load")?;
        let output = child.stdout.take().context("the load has no output")?;
        let load = Self { child };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(
            line == generator::READY,
            "the load {kinds:?} could not be made"
        );
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // The end of its input ends the generator, which then ends its children; if it were killed, others would have to reap
        // them.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// CPU and wall time of a run of processes that start and end, or that take turns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Churn {
    pub(super) cpu_ns: f64,
    pub(super) wall_ns: f64,
}

/// Runs `count` programs one after another, by fork, exec and wait.
pub(super) fn churn(count: u32) -> Result<Churn> {
    timed(&format!("execs={count}"))
}

/// Two processes on one CPU send each other `count` bytes, one by one.
pub(super) fn ping_pong(count: u32) -> Result<Churn> {
    timed(&format!("pingpong={count}"))
}

fn timed(kind: &str) -> Result<Churn> {
    let output = crate::command::read(&mut generator(&[kind])?)?;
    parse_churn(&output).with_context(|| format!("no times in {output:?}"))
}

fn parse_churn(output: &str) -> Option<Churn> {
    let mut numbers = output.split_whitespace().map(str::parse);
    Some(Churn {
        cpu_ns: numbers.next()?.ok()?,
        wall_ns: numbers.next()?.ok()?,
    })
}

fn generator(kinds: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.args(["bench", generator::WORD]).args(kinds);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cpu_then_wall() {
        let churn = Churn {
            cpu_ns: 12.5,
            wall_ns: 40.0,
        };
        assert_eq!(parse_churn("12.5 40\n"), Some(churn));
        assert_eq!(parse_churn("12.5"), None);
        assert_eq!(parse_churn("ready\n"), None);
    }
}

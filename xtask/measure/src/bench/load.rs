//! A load that runs as long as its value lives: the other side of [`super::generator`].

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::generator;

/// Processes or threads of the load; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Load {
    child: Child,
    output: BufReader<ChildStdout>,
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
        let output = BufReader::new(output);
        let mut load = Self { child, output };
        load.wait()
            .with_context(|| format!("the load {kinds:?} could not be made"))?;
        Ok(load)
    }

    /// Has each socket of the load send and receive a byte, and waits until all have.
    pub(super) fn exchange(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().context("the load has no input")?;
        input.write_all(b".")?;
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(line == generator::READY, "the load has ended");
        Ok(())
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

/// Makes and closes `count` TCP connections on one CPU, one after another.
pub(super) fn connects(count: u32) -> Result<Churn> {
    timed(&format!("connects={count}"))
}

/// Both ends of one TCP connection send each other `count` bytes, one by one.
pub(super) fn round_trips(count: u32) -> Result<Churn> {
    timed(&format!("roundtrips={count}"))
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
    command.arg(generator::LOAD).args(kinds);
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

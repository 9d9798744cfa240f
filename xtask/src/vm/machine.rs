//! Runs one emulated machine, from power-on to its result.
//!
//! In come a kernel and an initramfs. Out come the counts that the tests in it report, and the configuration that they found. The
//! console is shown, kept in a file, and searched for these lines. A machine always ends: by itself, by a kernel panic, or killed
//! after a time limit.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use fs_err::File;

use super::architecture::Architecture;
use super::{FOUND, RESULT};
use crate::command;

/// All tests take half an hour; four times as long is a hang, not a slow machine.
const LIMIT: Duration = Duration::from_mins(120);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    /// The text after [`FOUND`]; empty if no line has it.
    pub(crate) found: String,
}

/// Boots the machine. The kernel receives `words`; those that it does not know become variables in the environment of init. Each
/// line of the console is shown after `name`.
pub(crate) fn boot(
    architecture: &Architecture,
    name: &str,
    image: &Path,
    initramfs: &Path,
    words: &str,
    log: &Path,
) -> Result<Outcome> {
    let mut qemu = qemu(architecture, image, initramfs, words);
    println!("+ {}", command::show(&qemu));
    let mut log = File::create(log)?;
    let mut child = qemu
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", command::show(&qemu)))?;
    let result = read_console(name, &lines(&mut child), &mut log, Instant::now() + LIMIT);
    // The machine powers off after its result, but nothing depends on that.
    let _ = child.kill();
    child.wait().context("wait for the machine's end")?;
    result
}

/// The emulator, with two processors.
fn qemu(architecture: &Architecture, image: &Path, initramfs: &Path, words: &str) -> Command {
    let (console, always) = (architecture.console, architecture.words);
    let mut qemu = Command::new(architecture.emulator);
    qemu.args(architecture.model.split(' '))
        .args("-smp 2 -m 2G -nodefaults -display none -no-reboot -serial stdio".split(' '))
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        // panic=-1: reboot at once; -no-reboot turns the reboot into the end.
        .arg("-append")
        .arg(format!("console={console} quiet panic=-1 {always} {words}"));
    qemu
}

/// The console's lines; a thread reads them, so that waiting for a line can have a limit.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(console) = child.stdout.take() {
        std::thread::spawn(move || {
            let lines = BufReader::new(console).split(b'\n');
            let _ = lines.map_while(Result::ok).try_for_each(|line| {
                let line = String::from_utf8_lossy(&line);
                sender.send(line.trim_end().to_owned())
            });
        });
    }
    receiver
}

fn read_console(
    name: &str,
    lines: &Receiver<String>,
    log: &mut File,
    deadline: Instant,
) -> Result<Outcome> {
    let mut found = String::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = match lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                bail!("no result within {} minutes: stopped", LIMIT.as_secs() / 60)
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the machine ended without a result: kernel panic, or its init died")
            }
        };
        println!("{name}| {line}");
        writeln!(log, "{line}").context("write the console's log")?;
        if let Some((_, after)) = line.split_once(FOUND) {
            after.clone_into(&mut found);
        }
        if let Some((passed, failed)) = parse_result(&line) {
            return Ok(Outcome {
                passed,
                failed,
                found,
            });
        }
    }
}

/// Parses `HEADCOUNT-VM-RESULT: 12 passed, 0 failed` with any text before it on the line.
fn parse_result(line: &str) -> Option<(u32, u32)> {
    let (_, counts) = line.split_once(RESULT)?;
    let (passed, failed) = counts.split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(lines: &[&str], limit: Duration) -> Result<Outcome> {
        let (sender, receiver) = channel();
        for line in lines {
            sender
                .send((*line).to_owned())
                .expect("the receiver is there");
        }
        let waiting = (limit > Duration::ZERO).then_some(sender);
        let mut log = File::create("/dev/null").expect("/dev/null can be written");
        let result = read_console("vm", &receiver, &mut log, Instant::now() + limit);
        drop(waiting);
        result
    }

    #[test]
    fn result_is_parsed_from_the_console() {
        let lines = [
            "[ 1.0] boot",
            "HEADCOUNT-VM-FOUND: 6.1.0 iterator release",
            "[ 2.0] HEADCOUNT-VM-RESULT: 12 passed, 3 failed",
        ];
        let expected = Outcome {
            passed: 12,
            failed: 3,
            found: "6.1.0 iterator release".to_owned(),
        };
        assert_eq!(console(&lines, Duration::ZERO).expect("a result"), expected);
    }

    #[test]
    fn console_without_result_is_an_error() {
        for line in ["Kernel panic", "HEADCOUNT-VM-RESULT: many passed, 0 failed"] {
            let error = console(&[line], Duration::ZERO).expect_err("no result");
            assert!(error.to_string().contains("without a result"), "{error}");
        }
        let error = console(&[], Duration::from_millis(1)).expect_err("silence");
        assert!(error.to_string().contains("no result within"), "{error}");
    }
}

//! Controls the generator, which runs in a process of its own: starts each stretch, and reads the generator's report.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::generator::{self, PARENT};
use super::truth::Report;

/// Copies this program under the names of the programs, because a process has the name of the file that it was started from.
pub(super) fn install(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let own = std::env::current_exe().context("find this program")?;
    for name in generator::names() {
        let path = folder.join(name);
        // A program may still run from the old file, so it is replaced, not overwritten.
        let _ = std::fs::remove_file(&path);
        std::fs::copy(&own, &path).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The generator; it ends when this is dropped.
pub(super) struct Programs {
    child: Child,
    input: Option<ChildStdin>,
    report: Receiver<String>,
}

impl Programs {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let mut child = Command::new(folder.join(PARENT))
            .arg(generator::LOAD)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the generator")?;
        let output = child.stdout.take().context("the generator has no output")?;
        let (sender, report) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            input: child.stdin.take(),
            child,
            report,
        })
    }

    /// Lets programs start and end for this time; then the generator reports.
    pub(super) fn go_on(&mut self, time: Duration) -> Result<()> {
        let input = self.input.as_mut().context("the generator has no input")?;
        writeln!(input, "{}", time.as_secs()).context("the generator is gone")
    }

    /// The report since the generator's start, once it pauses.
    pub(super) fn report_within(&self, time: Duration) -> Result<Option<Report>> {
        match self.report.recv_timeout(time) {
            Ok(line) => {
                let report = Report::parse(&line);
                report
                    .map(Some)
                    .with_context(|| format!("the generator said {line:?}"))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the generator ended"),
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // The end of its input ends the generator, which has then reaped all its children.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

//! A process that lives for the whole soak, and the CPU that each of its threads uses: `soak generate FOLDER reside`.
//!
//! It reads lines with one word. `work`: every thread of [`THREADS`] uses some CPU, and a thread [`BRIEF`] begins. `report`: this
//! thread ends, and one line of output has the CPU of the process and of each other thread since their start, in nanoseconds. So
//! the name [`BRIEF`] has no thread in a pause, and has one again in the next stretch: its counters must not have fallen
//! meanwhile. The process ends with its input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::generator::LOAD;
use super::truth::Report;
use crate::bench::usage;

/// Group name of the process.
pub(super) const NAME: &str = "soak-resident";
/// Word on the command line that makes this program such a process.
pub(super) const RESIDE: &str = "reside";
const THREADS: [&str; 3] = ["soak-few", "soak-some", "soak-many"];
const BRIEF: &str = "soak-brief";
/// CPU of the first thread per stretch; the second uses twice as much, the third three times.
const STEP: Duration = Duration::from_millis(200);

/// The process, as its parent controls it.
pub(super) struct Resident {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Resident {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let mut child = Command::new(folder.join(NAME))
            .arg(LOAD)
            .arg(folder)
            .arg(RESIDE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the resident")?;
        let input = child.stdin.take().context("the resident has no input")?;
        let output = child.stdout.take().context("the resident has no output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    pub(super) fn work(&mut self) -> Result<()> {
        writeln!(self.input, "work").context("the resident is gone")
    }

    /// Adds the CPU that it has used to `report`.
    pub(super) fn report(&mut self, report: &mut Report) -> Result<()> {
        writeln!(self.input, "report").context("the resident is gone")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let used: Vec<f64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [whole_ns, threads @ ..] = used.as_slice() else {
            bail!("the resident ended");
        };
        ensure!(threads.len() == THREADS.len(), "the resident said {line:?}");
        report.cpu_ns += whole_ns;
        for (name, ns) in THREADS.iter().zip(threads) {
            report.set_thread(NAME, name, *ns);
        }
        Ok(())
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // It would end with its input; killing it is faster, and it has no state to clean up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of its threads: works on request, then reports the CPU that it has used.
struct Worker {
    orders: Sender<Duration>,
    answers: Receiver<Result<f64>>,
}

impl Worker {
    fn start(name: &str) -> Result<Self> {
        let (orders, received) = channel();
        let (answer, answers) = channel();
        let life = move || {
            for time in received {
                if answer.send(usage::work_thread(time)).is_err() {
                    break;
                }
            }
        };
        Builder::new().name(name.to_owned()).spawn(life)?;
        Ok(Self { orders, answers })
    }

    fn order(&self, time: Duration) -> Result<()> {
        self.orders.send(time).context("a thread is gone")
    }

    fn answer(&self) -> Result<f64> {
        self.answers.recv().context("a thread is gone")?
    }
}

/// Runs as the process itself.
pub(super) fn reside() -> Result<()> {
    let workers: Vec<Worker> = THREADS
        .iter()
        .map(|name| Worker::start(name))
        .collect::<Result<_>>()?;
    let mut brief: Option<(Sender<()>, JoinHandle<()>)> = None;
    for line in std::io::stdin().lines() {
        match line?.as_str() {
            "work" => {
                for (worker, nth) in workers.iter().zip(1..) {
                    worker.order(STEP * nth)?;
                }
                let (end, ended) = channel();
                let life = move || {
                    let _ = usage::work_thread(STEP);
                    // The other side ends the wait by dropping its sender, which is an error here.
                    let _ = ended.recv();
                };
                let thread = Builder::new().name(BRIEF.to_owned()).spawn(life)?;
                brief = Some((end, thread));
            }
            "report" => {
                if let Some((end, thread)) = brief.take() {
                    drop(end);
                    thread.join().ok().context("a thread panicked")?;
                }
                let used: Vec<f64> = workers.iter().map(Worker::answer).collect::<Result<_>>()?;
                let used: String = used.iter().map(|ns| format!(" {ns}")).collect();
                println!("{}{used}", usage::own_cpu_ns()?);
            }
            word => bail!("{word:?} is no word"),
        }
    }
    Ok(())
}

//! A program under measurement: it starts on a port of its own, answers over HTTP, and ends when its value is dropped or this
//! process ends.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::metrics;
use super::usage::{self, Memory};
use crate::http;

const START: Duration = Duration::from_secs(60);
/// Pause after each scrape: work that a program does after its answer (such as garbage collection) belongs to the scrape, and the
/// busy processes must have run again before the next one.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Subject {
    child: Child,
    port: u16,
    processes: &'static str,
}

/// Cost of one scrape.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) cpu_ns: f64,
    pub(crate) wall_ns: f64,
    /// Number of processes that it saw.
    pub(crate) processes: f64,
    pub(crate) body: String,
}

/// How a program is started, and how it reports that it is ready.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) name: &'a str,
    pub(crate) binary: &'a Path,
    pub(crate) arguments: Vec<String>,
    /// Path whose answer no longer contains "starting" once the program is ready.
    pub(crate) ready: &'a str,
    /// Family whose samples add up to the processes that a scrape saw.
    pub(crate) processes: &'static str,
}

impl Subject {
    /// Starts the program with the address to listen on, and waits until it answers and is ready. Its log is kept in `folder`.
    pub(crate) fn start(launch: &Launch<'_>, folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let address = format!("--web.listen-address=127.0.0.1:{port}");
        Self::start_on(port, launch, &[address], folder)
    }

    /// The same for a program that has its port from a file or from `first`.
    pub(crate) fn start_on(
        port: u16,
        launch: &Launch<'_>,
        first: &[String],
        folder: &Path,
    ) -> Result<Self> {
        let Launch { name, binary, .. } = launch;
        let log = folder.join(format!("{name}.log"));
        let log = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let child = bound_to_us(binary)
            .args(first)
            .args(&launch.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let subject = Self {
            child,
            port,
            processes: launch.processes,
        };
        let deadline = Instant::now() + START;
        while !subject
            .fetch(launch.ready)
            .is_ok_and(|body| !body.contains("starting"))
        {
            ensure!(
                Instant::now() < deadline,
                "{name} does not answer; see its log in {}",
                folder.display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(subject)
    }

    /// Scrapes, then pauses.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        self.scrape_path("/metrics", "")
    }

    /// The same with another path, and with header lines.
    pub(crate) fn scrape_path(&self, path: &str, headers: &str) -> Result<Scrape> {
        let before = self.cpu_ns()?;
        let start = Instant::now();
        let body = http::get(("127.0.0.1", self.port), path, headers)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let wall_ns = start.elapsed().as_nanos() as f64;
        std::thread::sleep(PAUSE);
        let cpu_ns = self.cpu_ns()? - before;
        Ok(Scrape {
            cpu_ns,
            wall_ns,
            processes: metrics::sum(&body, self.processes),
            body,
        })
    }

    /// CPU of all its threads so far, nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Result<f64> {
        usage::cpu_ns(self.child.id())
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        usage::memory(self.child.id())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn fetch(&self, path: &str) -> Result<String> {
        let body = http::get(("127.0.0.1", self.port), path, "")?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It may have ended by itself; then there is no process to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that the kernel kills when this process ends.
pub(crate) fn bound_to_us(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    // SAFETY: sets a flag of the new process, which is safe between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

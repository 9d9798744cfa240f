//! A running agent, and questions to it.

use crate::{exposition::Samples, limited::Limited, process, rights::Rights, tier::Tier};
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long something that must come may take. The free hook waits for RCU, which took more than a minute once.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions whether it has come.
const PAUSE: Duration = Duration::from_millis(20);
const CONFIGURATION: &str = "config.yml";

/// An agent of our own, on a port of its own. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    port: u16,
    /// Holds its log and its configuration.
    folder: TempDir,
    tier: String,
    rung: Option<String>,
}

impl Agent {
    /// With the default configuration.
    pub(crate) fn start(tier: &Tier) -> Self {
        Self::start_with(tier, &[], None)
    }

    /// With further flags, and a configuration. Returns when the first pass is done: who is born from now on counts.
    pub(crate) fn start_with(tier: &Tier, flags: &[&str], configuration: Option<&str>) -> Self {
        let accounting = format!("--accounting={}", tier.name);
        let flags: Vec<&str> = std::iter::once(accounting.as_str())
            .chain(flags.iter().copied())
            .collect();
        let agent = Self::start_as(&Rights::root(), &flags, configuration);
        assert_eq!(agent.tier, tier.name, "the agent counts in another way");
        agent
    }

    /// The same with these rights, in the tier that they allow unless a flag says it.
    pub(crate) fn start_as(rights: &Rights, flags: &[&str], configuration: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = rights.command(&binary(), folder.path());
        Self::spawn(command, folder, flags, configuration).started()
    }

    /// As root, within that memory.
    pub(crate) fn start_in(limited: &Limited, tier: &Tier) -> Self {
        let agent = Self::spawn_in(limited, tier).started();
        assert_eq!(agent.tier, tier.name, "the agent counts in another way");
        agent
    }

    /// The same, and does not wait.
    pub(crate) fn spawn_in(limited: &Limited, tier: &Tier) -> Self {
        let mut command = Command::new(binary());
        limited.enclose(&mut command);
        let accounting = format!("--accounting={}", tier.name);
        Self::spawn(command, tempfile::tempdir().unwrap(), &[&accounting], None)
    }

    fn spawn(
        mut command: Command,
        folder: TempDir,
        flags: &[&str],
        configuration: Option<&str>,
    ) -> Self {
        command.arg("--web.listen-address=127.0.0.1:0").args(flags);
        if let Some(text) = configuration {
            let path = folder.path().join(CONFIGURATION);
            std::fs::write(&path, text).unwrap();
            command.arg("--config.path").arg(path);
        }
        let log = File::create(folder.path().join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            port: 0,
            folder,
            tier: String::new(),
            rung: None,
        }
    }

    /// Waits for the first pass.
    fn started(mut self) -> Self {
        self.port = self.await_port().expect("the agent ended at once");
        let samples = self.scrape();
        (self.tier, self.rung) = accounting(&samples);
        self
    }

    /// One scrape, or how it ended instead; an answer that comes must be whole.
    pub(crate) fn scrape_or_end(mut self) -> Result<Samples, ExitStatus> {
        self.port = self.await_port()?;
        let mut answer = Vec::new();
        if let Ok(mut stream) = self.send("GET", "/metrics") {
            // It may end at any moment.
            let _ = stream.read_to_end(&mut answer);
        }
        if answer.is_empty() {
            return Err(self.child.wait().unwrap());
        }
        Ok(Samples::parse(&whole(answer, "/metrics")).unwrap_or_else(|error| panic!("{error}")))
    }

    /// The value of the label `tier`.
    pub(crate) fn tier(&self) -> &str {
        &self.tier
    }

    /// `release`, `free`, or none.
    pub(crate) fn rung(&self) -> Option<&str> {
        self.rung.as_deref()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn await_port(&mut self) -> Result<u16, ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some((_, tail)) = self.log().split_once("serving http://127.0.0.1:") {
                return Ok(tail.split_once('/').unwrap().0.parse().unwrap());
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(status);
            }
            assert!(begun.elapsed() < PATIENCE, "the agent does not listen");
            std::thread::sleep(PAUSE);
        }
    }

    /// The body of an answer that must be 200.
    pub(crate) fn ask(&self, path: &str) -> String {
        self.request("GET", path)
    }

    /// Has it take another configuration, in the place of that it was started with; `--web.enable-lifecycle` lets it.
    pub(crate) fn reload(&self, configuration: &str) {
        std::fs::write(self.folder.path().join(CONFIGURATION), configuration).unwrap();
        self.request("POST", "/-/reload");
    }

    fn request(&self, method: &str, path: &str) -> String {
        let mut answer = Vec::new();
        let mut stream = self.send(method, path).unwrap();
        stream.read_to_end(&mut answer).unwrap();
        whole(answer, path)
    }

    fn send(&self, method: &str, path: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        Ok(stream)
    }

    pub(crate) fn scrape(&self) -> Samples {
        Samples::parse(&self.ask("/metrics")).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Scrapes until `check` has nothing more to say against it.
    pub(crate) fn await_that(&self, check: impl Fn(&Samples) -> Result<(), String>) -> Samples {
        let begun = Instant::now();
        loop {
            let samples = self.scrape();
            let Err(complaint) = check(&samples) else {
                return samples;
            };
            assert!(
                begun.elapsed() < PATIENCE,
                "after {} s still: {complaint}\n{}",
                PATIENCE.as_secs(),
                samples.own_counts()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// As [`Self::await_that`]; and it must stay so when all that was on its way has come: final totals wait for a grace
    /// period of RCU on the free rung, and a second one of them must not be credited again.
    pub(crate) fn await_settled(&self, check: impl Fn(&Samples) -> Result<(), String>) -> Samples {
        self.await_that(&check);
        process::wait_for_grace_period();
        let samples = self.scrape();
        if let Err(complaint) = check(&samples) {
            panic!("did not stay so: {complaint}");
        }
        samples
    }

    /// Ends it at once, as nobody could prevent.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it, runs `meanwhile`, and lets it go on.
    pub(crate) fn stopped<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        process::kill(self.pid(), libc::SIGSTOP);
        let result = meanwhile();
        process::kill(self.pid(), libc::SIGCONT);
        result
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have been killed and reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the agent's log:\n{}", self.log());
        }
    }
}

/// The body of an answer, all of which must be there.
fn whole(answer: Vec<u8>, path: &str) -> String {
    let answer = String::from_utf8(answer).expect("the answer is UTF-8");
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .expect("the answer has a head");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{path}: {head}");
    let length = format!("content-length: {}", body.len());
    assert!(head.lines().any(|line| line == length), "{path}: {head}");
    body.to_owned()
}

fn binary() -> PathBuf {
    std::env::var_os("HEADCOUNT_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_headcount")),
        PathBuf::from,
    )
}

/// Tier and rung, as the exposition tells them.
fn accounting(samples: &Samples) -> (String, Option<String>) {
    let mut all = samples.series("headcount_accounting_info");
    let (labels, _) = all.next().expect("the agent says how it counts");
    assert!(all.next().is_none());
    let rung = labels.get("rung").filter(|rung| !rung.is_empty());
    (labels["tier"].clone(), rung.cloned())
}

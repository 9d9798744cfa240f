//! A running agent, and questions to it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::exposition::Samples;
use crate::limited::Limited;
use crate::rights::Rights;
use crate::surroundings::Surroundings;
use crate::tier::{TICK_NS, Tier};
use crate::{balance, guest, kernel_objects, process, procfs, program};

/// How long something that must come may take. The free hook waits for RCU, which took more than a minute once.
const PATIENCE: Duration = Duration::from_secs(240);
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
    exit_hook: Option<String>,
    taken_ns_before: f64,
}

impl Agent {
    /// With the default configuration.
    pub(crate) fn start(tier: &Tier) -> Self {
        Self::start_with(tier, &[], None)
    }

    /// With further flags, and a configuration. Returns when the first pass is done: processes that start from now on count.
    pub(crate) fn start_with(tier: &Tier, flags: &[&str], configuration: Option<&str>) -> Self {
        let accounting = format!("--accounting={}", tier.name);
        let flags: Vec<&str> = std::iter::once(accounting.as_str())
            .chain(flags.iter().copied())
            .collect();
        let here = match tier.without_types || tier.without_storage {
            true => Surroundings::only_for(tier),
            false => Surroundings::default(),
        };
        let agent = Self::spawn(&Rights::usual(), here, &flags, configuration).serving();
        assert_eq!(agent.tier, tier.name, "the agent counts in another way");
        let is_traced = agent.exit_hook() == Some("last_switch");
        assert_eq!(is_traced, tier.without_types, "{}", agent.log());
        if tier.without_storage {
            let storage = [("fact", "network"), ("source", "bpf")];
            let samples = agent.scrape();
            assert_eq!(samples.value("headcount_source_info", &storage), None);
        }
        agent
    }

    /// The same with these rights, in the tier that they allow unless a flag says it.
    pub(crate) fn start_as(rights: &Rights, flags: &[&str], configuration: Option<&str>) -> Self {
        let here = Surroundings::default();
        Self::spawn(rights, here, flags, configuration).serving()
    }

    /// The same by root, where the kernel is not as it should be. It looks at the tests' own programs only, each in the group
    /// of its name: other processes of the machine take no group from them.
    pub(crate) fn start_in(surroundings: Surroundings, flags: &[&str]) -> Self {
        Self::start_in_as(&Rights::root(), surroundings, flags)
    }

    /// The same with these rights.
    pub(crate) fn start_in_as(rights: &Rights, surroundings: Surroundings, flags: &[&str]) -> Self {
        // Where lockdown hides the arguments of one that is gone, its comm stands for them.
        let own = format!(
            "process_names: [{{name: '{{{{.Comm}}}}', cmdline: ['^({}/|[a-zA-Z]+[0-9a-f]+x[0-9a-f]+$)']}}]",
            program::folder().display()
        );
        Self::spawn(rights, surroundings, flags, Some(&own)).serving()
    }

    /// One that must end by itself, with the code for an error: the last line of its log.
    pub(crate) fn fail_in(surroundings: Surroundings, flags: &[&str]) -> String {
        let mut agent = Self::spawn(&Rights::root(), surroundings, flags, None);
        let begun = Instant::now();
        loop {
            if let Some(status) = agent.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(1), "{}", agent.log());
                return agent.log().lines().last().unwrap_or_default().to_owned();
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {}",
                agent.log()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// As root, within that memory.
    pub(crate) fn start_within(limited: &Limited, tier: &Tier) -> Self {
        let agent = Self::spawn_within(limited, tier).serving();
        assert_eq!(agent.tier, tier.name, "the agent counts in another way");
        agent
    }

    /// The same, and does not wait.
    pub(crate) fn spawn_within(limited: &Limited, tier: &Tier) -> Self {
        let accounting = format!("--accounting={}", tier.name);
        let here = Surroundings {
            entrance: Some(limited.entrance()),
            ..Surroundings::default()
        };
        Self::spawn(&Rights::root(), here, &[&accounting], None)
    }

    fn spawn(
        rights: &Rights,
        surroundings: Surroundings,
        flags: &[&str],
        configuration: Option<&str>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = rights.command(&binary(), folder.path());
        command.arg("--web.listen-address=127.0.0.1:0").args(flags);
        if let Some(text) = configuration {
            let path = folder.path().join(CONFIGURATION);
            std::fs::write(&path, text).unwrap();
            command.arg("--config.path").arg(path);
        }
        let log = File::create(folder.path().join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Self {
            child: surroundings.spawn(command),
            port: 0,
            folder,
            tier: String::new(),
            exit_hook: None,
            taken_ns_before: procfs::taken_ns(),
        }
    }

    /// Itself, when the first pass is done.
    fn serving(mut self) -> Self {
        self.port = self.await_port().expect("the agent ended at once");
        // A machine that is emulated beside others may need longer for the start than a scrape waits.
        let samples = self.await_that(|samples| {
            let mut told = samples.series("headcount_accounting_info");
            told.next().map(|_| ()).ok_or_else(|| "starting".to_owned())
        });
        (self.tier, self.exit_hook) = accounting(&samples);
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
    pub(crate) fn exit_hook(&self) -> Option<&str> {
        self.exit_hook.as_deref()
    }

    /// The time that a hypervisor took from the machine while the agent ran, to a tick.
    pub(crate) fn taken_ns(&self) -> f64 {
        procfs::taken_ns() - self.taken_ns_before + TICK_NS
    }

    /// Its warnings.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let log = self.log();
        let warnings = log.lines().filter(|line| line.contains(" level=warn "));
        warnings.map(str::to_owned).collect()
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

    /// The same by SIGHUP, which does not return the result.
    pub(crate) fn hang_up(&self, configuration: &str) {
        std::fs::write(self.folder.path().join(CONFIGURATION), configuration).unwrap();
        // SAFETY: takes numbers only; the process is a child that was not waited for.
        let code = unsafe { libc::kill(self.pid(), libc::SIGHUP) };
        assert_eq!(code, 0);
    }

    /// The status that `/health` shows, and the reasons.
    pub(crate) fn health(&self) -> (String, Vec<String>) {
        let json: serde_json::Value = serde_json::from_str(&self.ask("/health")).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let reasons = json["reasons"].as_array().unwrap().iter().map(text);
        (text(&json["status"]), reasons.collect())
    }

    /// Waits until the group has its one process.
    pub(crate) fn await_one(&self, group: &str) {
        self.await_that(|samples| match samples.group(group).processes() {
            1.0 => Ok(()),
            count => Err(format!("{group}: {count} processes")),
        });
    }

    /// Waits until `/health` says that all is well. It reports a loss until the scrape after the next one.
    pub(crate) fn await_health(&self, tier: &Tier) {
        self.await_that(|_| match self.complaints(tier).as_slice() {
            [] => Ok(()),
            reasons => Err(format!("{reasons:?}")),
        });
    }

    /// Why it is not well. On tracepoints the self-test may fail in emulation, whose clocks differ, and `/health` reports that,
    /// too.
    pub(crate) fn complaints(&self, tier: &Tier) -> Vec<String> {
        let (status, mut reasons) = self.health();
        if status == "starting" {
            return vec![status];
        }
        assert_eq!(status == "ok", reasons.is_empty(), "{status}: {reasons:?}");
        if tier.without_types && guest::is_here() {
            reasons.retain(|reason| !reason.contains("self-test"));
        }
        reasons
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
    /// period of RCU with the exit hook `free`, and a second one of them must not be credited again.
    pub(crate) fn await_settled(&self, check: impl Fn(&Samples) -> Result<(), String>) -> Samples {
        self.await_that(&check);
        process::wait_for_grace_period();
        let samples = self.scrape();
        if let Err(complaint) = check(&samples) {
            panic!("did not stay so: {complaint}");
        }
        samples
    }

    /// Ends it at once, by SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The node's books must balance, at the latest when all that was on its way has come. They are checked at the end of each
    /// agent that still serves.
    fn await_balance(&self) {
        self.await_that(|samples| balance::complaint(self, samples).map_or(Ok(()), Err));
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
        let serves = !self.tier.is_empty() && matches!(self.child.try_wait(), Ok(None));
        let is_to_balance = serves && !std::thread::panicking();
        // The agent ends here with any result.
        let unbalanced = is_to_balance
            .then(|| catch_unwind(AssertUnwindSafe(|| self.await_balance())))
            .and_then(Result::err);
        let has_failed = unbalanced.is_some() || std::thread::panicking();
        if has_failed {
            let misses = kernel_objects::recursion_misses(self.pid());
            println!("runs that the kernel left out: {misses:?}");
        }
        // It may have been killed and reaped already, or have ended by itself.
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if has_failed {
            println!("the agent's end: {ended:?}, and its log:\n{}", self.log());
        }
        if let Some(complaint) = unbalanced {
            resume_unwind(complaint);
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

/// Tier and exit hook, as the exposition reports them.
fn accounting(samples: &Samples) -> (String, Option<String>) {
    let mut all = samples.series("headcount_accounting_info");
    let (labels, _) = all.next().expect("the agent says how it counts");
    assert!(all.next().is_none());
    let exit_hook = labels.get("exit_hook").filter(|hook| !hook.is_empty());
    (labels["tier"].clone(), exit_hook.cloned())
}

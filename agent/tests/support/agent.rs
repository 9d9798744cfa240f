//! The real binary as a child: started, asked over HTTP, read on standard error, ended.
//!
//! A [`Launch`] is a command line in the making; it becomes an [`Agent`] that serves, or an [`Ended`] that did not. The
//! port is the kernel's choice and is read from the log. Nothing here sleeps for a guessed time: it waits for a line, an
//! answer or an end, until a deadline that only a failure reaches.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::fake_proc::FakeProc;
use super::log::{Log, message};
use super::scrape::Scrape;

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A user without rights that every system has.
pub const NOBODY: u32 = 65534;
/// The pause between two looks for a condition that cannot be waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// The obstacle to kernel programs that the agent reports: `reason`, unless it was built without them; that comes
/// first.
pub fn obstacle(reason: &str) -> String {
    match cfg!(has_ebpf) {
        true => reason.to_owned(),
        false => "this binary was built without the kernel programs; build it with bpf-linker installed (`cargo xtask \
                  run` does it)"
            .to_owned(),
    }
}

/// Waits until `is_so`.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(PAUSE);
    }
}

/// An agent to be started.
#[derive(Debug)]
pub struct Launch {
    command: Vec<OsString>,
    /// Holds files that the command line names.
    files: tempfile::TempDir,
    user: Option<u32>,
    environment: Vec<(&'static str, OsString)>,
    passed: Vec<OwnedFd>,
    /// System calls that do not exist for it.
    unknown: Vec<libc::c_long>,
    /// Resources and the most of each.
    limits: Vec<(libc::__rlimit_resource_t, u64)>,
}

impl Launch {
    /// On the loopback interface, nothing else said.
    pub fn new() -> Self {
        Self::bare().arg("--web.listen-address=127.0.0.1:0")
    }

    /// With no flag at all.
    pub fn bare() -> Self {
        Self {
            command: vec![env!("CARGO_BIN_EXE_headcount").into()],
            files: tempfile::tempdir().unwrap(),
            user: None,
            environment: Vec::new(),
            passed: Vec::new(),
            unknown: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// On a tree of files.
    pub fn on(tree: &FakeProc) -> Self {
        Self::new()
            .arg(joined("-procfs=", &tree.procfs()))
            .arg(joined("-path.rootfs=", &tree.rootfs()))
    }

    /// One more word.
    pub fn arg(mut self, word: impl Into<OsString>) -> Self {
        self.command.push(word.into());
        self
    }

    /// More words.
    pub fn args(self, words: &[&str]) -> Self {
        words.iter().fold(self, |launch, word| launch.arg(*word))
    }

    /// With a configuration file `config.yml` of this text.
    pub fn config(self, yaml: &str) -> Self {
        let path = self.files.path().join("config.yml");
        fs::write(&path, yaml).unwrap();
        self.arg(joined("-config.path=", &path))
    }

    /// With one more variable of the environment.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// With one more open descriptor: 3, 4 and so on, as systemd passes them.
    pub fn passing(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        let descriptor = descriptor.into();
        // Far from where the copies go, so that none of them is copied over.
        // SAFETY: takes numbers; no other value owns the descriptor that it gives.
        let copy = unsafe {
            let copy = libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100);
            assert!(copy >= 100);
            OwnedFd::from_raw_fd(copy)
        };
        self.passed.push(copy);
        self
    }

    /// By a program that runs the words after its own.
    pub fn under(mut self, words: &[&str]) -> Self {
        self.command
            .splice(0..0, words.iter().map(|word| OsString::from(*word)));
        self
    }

    /// As a user without any rights.
    pub fn with_uid(self, uid: u32) -> Self {
        let mut launch = self.reachable();
        launch.user = Some(uid);
        launch
    }

    /// From a copy of the binary that every user can reach.
    pub fn reachable(mut self) -> Self {
        let copy = self.files.path().join("headcount");
        // By another program: while this one has the copy open for writing, a child that another test starts now would
        // have it open too, and it could not be run.
        let is_copied = Command::new("install")
            .args(["-m", "755"])
            .args([self.command[0].as_os_str(), copy.as_os_str()])
            .status()
            .unwrap();
        assert!(is_copied.success());
        fs::set_permissions(self.files.path(), fs::Permissions::from_mode(0o755)).unwrap();
        self.command[0] = copy.into();
        self
    }

    /// As on a kernel that does not know these system calls.
    pub fn where_unknown(mut self, calls: &[libc::c_long]) -> Self {
        self.unknown.extend(calls);
        self
    }

    /// With no more than `most` of a resource of the kernel's (`RLIMIT_...`), which cannot be raised again.
    pub fn limit(mut self, resource: libc::__rlimit_resource_t, most: u64) -> Self {
        self.limits.push((resource, most));
        self
    }

    fn spawn(self) -> Running {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(uid) = self.user {
            // A change of user drops supplementary groups and, as it leaves root, all capabilities.
            command.uid(uid).gid(uid);
        }
        let passed: Vec<_> = self.passed.iter().map(AsRawFd::as_raw_fd).collect();
        // SAFETY: between fork and exec only descriptors are copied, which takes numbers and allocates nothing.
        unsafe { command.pre_exec(move || pass(&passed)) };
        if !self.unknown.is_empty() {
            let filter = without(&self.unknown);
            let apply = move || seccompiler::apply_filter(&filter).map_err(io::Error::other);
            // SAFETY: two system calls, between fork and exec.
            unsafe { command.pre_exec(apply) };
        }
        let limits = self.limits;
        let bind = move || {
            limits
                .iter()
                .try_for_each(|(resource, most)| bound(*resource, *most))
        };
        // SAFETY: between fork and exec only the kernel is called; nothing is allocated.
        unsafe { command.pre_exec(bind) };
        let mut child = command.spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        Running {
            child,
            log,
            files: self.files,
        }
    }

    /// Starts it, and waits until the first pass is done: processes in the tree now are older than the agent.
    pub fn start(self) -> Agent {
        let agent = self.listen();
        until("the first pass", || agent.health().0 != "starting");
        agent
    }

    /// Starts it, and waits until it listens.
    pub fn listen(self) -> Agent {
        let running = self.spawn();
        let serving = running
            .log
            .wait_for(|line| line.contains(" msg=\"serving "));
        let Some(line) = serving else {
            panic!("it does not serve: {:#?}", running.log.lines());
        };
        let line = message(&line);
        let address = line.rsplit_once("(listening on ").unwrap().1;
        let address = address.strip_suffix(')').unwrap().parse().unwrap();
        Agent {
            child: running,
            address,
        }
    }

    /// Starts it, and waits for its end.
    pub fn run(self) -> Ended {
        let mut running = self.spawn();
        let mut stdout = String::new();
        let mut out = running.child.stdout.take().unwrap();
        let status = running.wait();
        out.read_to_string(&mut stdout).unwrap();
        running.log.wait_for_end();
        Ended {
            code: status.code(),
            stdout,
            stderr: running.log.lines(),
        }
    }
}

/// Copies descriptors to 3 and on, where they stay open in a program that is run.
fn pass(descriptors: &[libc::c_int]) -> std::io::Result<()> {
    for (at, descriptor) in (3..).zip(descriptors) {
        // SAFETY: takes two numbers.
        if unsafe { libc::dup2(*descriptor, at) } != at {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A filter by which these calls do not exist.
fn without(calls: &[libc::c_long]) -> BpfProgram {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, unknown, machine).unwrap();
    filter.try_into().unwrap()
}

fn joined(flag: &str, path: &Path) -> OsString {
    let mut word = OsString::from(flag);
    word.push::<&OsStr>(path.as_ref());
    word
}

/// Bounds a resource of this process.
fn bound(resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: reads one structure, which outlives the call.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    /// Lines.
    pub stderr: Vec<String>,
}

impl Ended {
    /// The message of the one line that is more than information; it must be an error, and the last.
    pub fn one_error(&self) -> String {
        assert_eq!(self.code, Some(1), "{self:#?}");
        let Some((last, before)) = self.stderr.split_last() else {
            panic!("it said nothing: {self:#?}");
        };
        let is_said_once = before.iter().all(|line| line.contains(" level=info "));
        assert!(is_said_once && last.contains(" level=error "), "{self:#?}");
        message(last)
    }
}

/// An agent that serves. It is killed when this is dropped.
#[derive(Debug)]
pub struct Agent {
    child: Running,
    pub address: SocketAddr,
}

impl Agent {
    /// Its number, as this test sees it.
    pub fn pid(&self) -> u32 {
        self.child.child.id()
    }

    /// One scrape.
    pub fn scrape(&self) -> Scrape {
        let answer = self.ask("/metrics");
        assert_eq!(answer.code, 200, "{answer:?}");
        Scrape::parse(answer.body)
    }

    /// The status that `/health` shows, and the reasons.
    pub fn health(&self) -> (String, Vec<String>) {
        let answer = self.ask("/health");
        assert_eq!(answer.code, 200, "{answer:?}");
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let reasons = json["reasons"].as_array().unwrap();
        let reasons = reasons.iter().map(|one| one.as_str().unwrap().to_owned());
        (
            json["status"].as_str().unwrap().to_owned(),
            reasons.collect(),
        )
    }

    /// One GET.
    pub fn ask(&self, path: &str) -> Answer {
        self.begin(path, "").answer()
    }

    /// One request without a body.
    pub fn request(&self, method: &str, path: &str) -> Answer {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Asked::by(method, stream, path, "").answer()
    }

    /// Sends a GET with further header lines, each with its line break.
    pub fn begin(&self, path: &str, headers: &str) -> Asked<TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Asked::of(stream, path, headers)
    }

    /// Lines of the log so far.
    pub fn log(&self) -> Vec<String> {
        self.child.log.lines()
    }

    /// Messages so far of records of a level.
    pub fn messages(&self, level: &str) -> Vec<String> {
        let level = format!(" level={level} ");
        self.log()
            .iter()
            .filter(|line| line.contains(&level))
            .map(|line| message(line))
            .collect()
    }

    /// Replaces the file of [`Launch::config`].
    pub fn write_config(&self, yaml: &str) {
        fs::write(self.child.files.path().join("config.yml"), yaml).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub fn stop(self, signal: libc::c_int) -> (ExitStatus, Vec<String>) {
        self.signal(signal);
        self.end()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.child.id()).unwrap();
        // SAFETY: takes two numbers; the child has not been waited for, so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for the end.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait();
        self.child.log.wait_for_end();
        (status, self.log())
    }
}

/// One GET. Several threads may ask at a time.
pub fn ask(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Asked::of(stream, path, "").answer()
}

/// A request that was sent.
#[derive(Debug)]
pub struct Asked<S>(S);

impl<S: Read + Write> Asked<S> {
    /// Sends a GET on a fresh connection, with further header lines.
    pub fn of(stream: S, path: &str, headers: &str) -> Self {
        Self::by("GET", stream, path, headers)
    }

    /// The same by any method.
    pub fn by(method: &str, mut stream: S, path: &str, headers: &str) -> Self {
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n"
        )
        .unwrap();
        Self(stream)
    }

    /// Waits for the whole answer.
    pub fn answer(mut self) -> Answer {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            code,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }
}

/// The answer to one request.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// Status line and headers, in small letters.
    pub head: String,
    pub body: String,
}

/// A child that is killed when this is dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    log: Log,
    files: tempfile::TempDir,
}

impl Running {
    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of the child", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

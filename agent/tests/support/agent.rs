//! The real binary as a child: started, asked over HTTP, read on standard error, ended.
//!
//! A [`Launch`] is a command line in the making; it becomes an [`Agent`] that serves, or an [`Ended`] that did not. The
//! port is the kernel's choice and is read from the log. Nothing here sleeps for a guessed time: it waits for a line, an
//! answer or an end, until a deadline that only a failure reaches.

use super::{
    fake_proc::FakeProc,
    log::{Log, message},
    scrape::Scrape,
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked where nothing can be waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// What the agent says stands in the way of kernel programs: `reason`, unless it was built without them; that comes
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

    /// By a program that runs the words after its own.
    pub fn under(mut self, words: &[&str]) -> Self {
        self.command
            .splice(0..0, words.iter().map(|word| OsString::from(*word)));
        self
    }

    /// As a user without any rights, from a copy of the binary that this user can reach.
    pub fn with_uid(mut self, uid: u32) -> Self {
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
        self.user = Some(uid);
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
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(uid) = self.user {
            // A change of user drops supplementary groups and, as it leaves root, all capabilities.
            command.uid(uid).gid(uid);
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

    /// Starts it, and waits until the first pass is done: what is in the tree now is what was there before the agent.
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

fn joined(flag: &str, path: &Path) -> OsString {
    let mut word = OsString::from(flag);
    word.push::<&OsStr>(path.as_ref());
    word
}

/// Bounds what this process may have of a resource.
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

    /// The status that `/health` tells, and the reasons.
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
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            code,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
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

    /// Sends a signal and waits for the end.
    pub fn stop(mut self, signal: libc::c_int) -> (ExitStatus, Vec<String>) {
        let pid = libc::pid_t::try_from(self.child.child.id()).unwrap();
        // SAFETY: takes two numbers; the child has not been waited for, so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        let status = self.child.wait();
        self.child.log.wait_for_end();
        (status, self.log())
    }
}

/// What came back for one request.
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

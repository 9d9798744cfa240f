//! The directory of a test, the programs in it, and the servers that run there.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use super::agent::until;

/// It is removed when this is dropped. Servers in it must be dropped before.
#[derive(Debug)]
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Servers of other users reach it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A program under a name of this place, which is the name of its group.
    pub(crate) fn program(&self, name: &str, binary: &Path) -> Command {
        let link = self.file(name);
        if !link.exists() {
            std::os::unix::fs::symlink(binary, &link).unwrap();
        }
        let mut command = Command::new(link);
        command
            .env_clear()
            .envs([("LC_ALL", "C"), ("PATH", "/usr/bin:/bin")])
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }
}

/// Runs a program to its end, which must be a good one; its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    let stdout = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{command:?}: {status}\n{stdout}{said}");
    stdout
}

/// A server of one program. Dropping it ends it with its children.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// The signal by which the program ends its children and itself.
    stop: libc::c_int,
}

impl Server {
    /// Starts it, and waits until it listens on all `ports`.
    pub(crate) fn start(mut command: Command, stop: libc::c_int, ports: &[u16]) -> Self {
        command.process_group(0);
        // It also ends if the test does without dropping this.
        // SAFETY: a system call that takes numbers, between fork and exec.
        unsafe { command.pre_exec(move || end_with_parent(stop)) };
        let child = command.spawn().unwrap();
        let mut server = Self { child, stop };
        until("a server that listens", || {
            let ended = server.child.try_wait().unwrap();
            assert_eq!(ended, None, "{command:?}");
            ports.iter().all(|port| server.is_listening(*port))
        });
        server
    }

    /// Whether a socket of its network listens there. A connection would be counted.
    fn is_listening(&self, port: u16) -> bool {
        let sockets = ["tcp", "tcp6"].map(|file| {
            let path = format!("/proc/{}/net/{file}", self.child.id());
            fs::read_to_string(path).unwrap_or_default()
        });
        // Local address, peer, state: 0A is LISTEN.
        let is_meant = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_port = |address: &&str| address.ends_with(&format!(":{port:04X}"));
            words.get(1).is_some_and(is_port) && words.get(3) == Some(&"0A")
        };
        sockets.iter().flat_map(|text| text.lines()).any(is_meant)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: takes two numbers; the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(pid, signal) };
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(self.stop);
            let _ = self.child.wait();
        }
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Has the kernel send this signal once the thread that starts the process has ended.
fn end_with_parent(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

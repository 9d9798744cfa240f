//! Network namespaces of the test's own, made by iproute2.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::support::place::run;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// It is removed when this is dropped; the kernel keeps it until the last process in it has ended.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    file: Arc<File>,
}

impl Namespace {
    /// One whose loopback interface is up.
    pub(crate) fn new() -> Self {
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("headcount-{}-{nth}", std::process::id());
        ip(&["netns", "add", &name]);
        let file = Arc::new(File::open(format!("/run/netns/{name}")).unwrap());
        let namespace = Self { name, file };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// `ip` for this namespace.
    pub(crate) fn ip(&self, words: &[&str]) {
        let mut all = vec!["-n", &self.name];
        all.extend(words);
        ip(&all);
    }

    /// Brings the thread into it. Its later children are there, too.
    pub(crate) fn enter(&self) {
        self.entrance()().unwrap();
    }

    /// A child calls it before it becomes a program.
    pub(crate) fn entrance(&self) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
        let file = Arc::clone(&self.file);
        // SAFETY: takes numbers only.
        move || match unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut remove = Command::new("ip");
        // A test that fails has other worries.
        let _ = remove.args(["netns", "del", &self.name]).status();
    }
}

fn ip(words: &[&str]) {
    run(Command::new("ip").args(words));
}

/// The same command in a network namespace.
pub(crate) fn within(mut command: Command, namespace: &Namespace) -> Command {
    let enter = namespace.entrance();
    // SAFETY: a system call that takes numbers, between fork and exec.
    unsafe { command.pre_exec(enter) };
    command
}

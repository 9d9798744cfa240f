//! A file that holds up its readers.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::agent::until;
use crate::support::fake_proc::FakeProc;

/// `cgroup` of a process that has no name yet: it is read by the pass itself, for no single process holds up the kernel there.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    contents: Vec<u8>,
}

impl Held {
    /// From now on it does not answer.
    pub(crate) fn new(tree: &FakeProc) -> Self {
        let process = tree.process(6).comm("held").argv::<&str>(&[]);
        process.write();
        let path = tree.path(6).join("cgroup");
        let contents = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let is_made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(is_made.success());
        Self { path, contents }
    }

    /// Waits until a reader has opened it.
    pub(crate) fn once_read(self) -> Reading {
        let mut pipe = None;
        until("a reader", || {
            let mut options = OpenOptions::new();
            // Without a reader this fails at once.
            let options = options.write(true).custom_flags(libc::O_NONBLOCK);
            pipe = options.open(&self.path).ok();
            pipe.is_some()
        });
        Reading {
            held: self,
            pipe: pipe.unwrap(),
        }
    }
}

/// The same while a reader has it open.
#[derive(Debug)]
pub(crate) struct Reading {
    held: Held,
    pipe: File,
}

impl Reading {
    /// It answers, and is a file again.
    pub(crate) fn release(mut self) {
        fs::remove_file(&self.held.path).unwrap();
        fs::write(&self.held.path, &self.held.contents).unwrap();
        self.pipe.write_all(&self.held.contents).unwrap();
    }
}

//! The log of a child as it is written: lines kept, and waited for.
//!
//! Only these methods read the pipe, so an answer contains all that was written before the question. A pipe
//! holds 64 KiB: a child that logs more between two questions waits.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::process::ChildStderr;
use std::time::Instant;

use super::agent::PATIENCE;

/// Standard error of a child.
#[derive(Debug)]
pub struct Log(RefCell<Kept>);

#[derive(Debug)]
struct Kept {
    pipe: ChildStderr,
    bytes: Vec<u8>,
    is_complete: bool,
}

impl Log {
    /// Takes the pipe over.
    pub fn of(pipe: ChildStderr) -> Self {
        let fd = pipe.as_raw_fd();
        // SAFETY: takes numbers; the descriptor is the pipe's, which is open.
        let code = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(code, 0);
        Self(RefCell::new(Kept {
            pipe,
            bytes: Vec::new(),
            is_complete: false,
        }))
    }

    /// All so far; of an unfinished line nothing.
    pub fn lines(&self) -> Vec<String> {
        let mut kept = self.0.borrow_mut();
        kept.read();
        let end = kept.bytes.iter().rposition(|byte| *byte == b'\n');
        let text = std::str::from_utf8(&kept.bytes[..end.map_or(0, |end| end + 1)]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The first line of which `wanted` holds; `None` when the stream ends without it.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.lines().into_iter().find(|line| wanted(line));
            if found.is_some() || self.0.borrow().is_complete {
                return found;
            }
            self.0.borrow().wait(deadline);
        }
    }

    /// Waits until the stream has ended.
    pub fn wait_for_end(&self) {
        self.wait_for(|_| false);
    }
}

impl Kept {
    /// Takes the bytes that are there.
    fn read(&mut self) {
        match self.pipe.read_to_end(&mut self.bytes) {
            Ok(_) => self.is_complete = true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for more, or for the end.
    fn wait(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "waited in vain: {}",
            self.bytes.escape_ascii()
        );
        let mut wanted = libc::pollfd {
            fd: self.pipe.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let milliseconds = libc::c_int::try_from(left.as_millis() + 1).unwrap();
        // SAFETY: `wanted` is one pollfd, and outlives the call. After any result, the caller looks again.
        unsafe { libc::poll(&raw mut wanted, 1, milliseconds) };
    }
}

/// The message of a record in logfmt; a line that is no record fails.
pub fn message(line: &str) -> String {
    let value = line
        .split_once(" msg=")
        .unwrap_or_else(|| panic!("no record: {line}"))
        .1;
    if !value.starts_with('"') {
        return value.split(' ').next().unwrap().to_owned();
    }
    // The text after the value, if any, is no JSON.
    let mut values = serde_json::Deserializer::from_str(value).into_iter();
    values.next().unwrap().unwrap()
}

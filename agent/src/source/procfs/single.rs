//! Reads one fact of one process, for callers that have its other facts from elsewhere.
//!
//! Open descriptors are not counted with the procfs crate: it counts `.` and `..` as well, so each kernel thread would have two.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use super::decimal::{parse_decimal, words};
use super::{Error, Procfs, Stat, file, io, stat, text, wchan};
use crate::process::Io;

/// Longest `loadavg` that is read, bytes; a real one has about 30.
const LOADAVG: usize = 256;

/// Parses the second number of the fourth field of `loadavg`, `<runnable tasks>/<all tasks>`.
fn parse_tasks(file: &[u8]) -> Option<u64> {
    let tasks = words(file).nth(3)?;
    parse_decimal(tasks.split(|byte| *byte == b'/').nth(1)?)
}

impl Procfs {
    /// Number of open descriptors: from Linux 6.2 on the size of `<pid>/fd`, which needs no privilege, before that its entries,
    /// counted.
    ///
    /// # Errors
    /// The process is gone, or `fd` cannot be read, which counts as a partial error.
    pub fn open_files(&mut self, tgid: u32) -> Result<u64, Error> {
        let result = self.open(tgid).and_then(|dir| {
            let count = if self.fd_sizes {
                file::size_at(dir.as_fd(), c"fd")
            } else {
                file::open_at(dir.as_fd(), c"fd", libc::O_RDONLY | libc::O_DIRECTORY)
                    .and_then(|fd| self.lister.count(fd.as_fd()))
            };
            count.map_err(|source| self.failure(tgid, c"fd", source))
        });
        self.soft(tgid, result)
    }

    /// Kernel function that a thread sleeps in; `None` if it does not sleep, or if the agent has no right to trace it.
    ///
    /// `tid == tgid` is the main thread: its file is `<pid>/wchan`, that of other threads `<pid>/task/<tid>/wchan`.
    ///
    /// # Errors
    /// The process or thread is gone, or `wchan` cannot be read, which counts as a partial error of the process.
    pub fn wchan(&mut self, tgid: u32, tid: u32) -> Result<Option<String>, Error> {
        let result = if tid == tgid {
            self.open(tgid).and_then(|dir| {
                self.read_patiently(tgid, dir.as_fd(), wchan::FILE, |bytes| {
                    Some(wchan::parse_wchan(bytes))
                })
            })
        } else {
            self.read_thread_wchan(tgid, tid)
        };
        self.soft(tgid, result)
    }

    fn read_thread_wchan(&mut self, tgid: u32, tid: u32) -> Result<Option<String>, Error> {
        let dir = self.open(tgid)?;
        let task = file::open_at(dir.as_fd(), c"task", libc::O_PATH | libc::O_DIRECTORY)
            .map_err(|source| self.failure(tgid, c"task", source))?;
        let name = self.name.of(tid, "");
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        // The end of a thread is as normal as that of a process and does not count as an error.
        let thread = match file::open_at(task.as_fd(), name, flags) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Err(Error::Gone { tgid }),
            thread => thread.map_err(|source| self.failure(tgid, c"task", source)),
        }?;
        self.read_wchan_of((tgid, tid), task.as_fd(), thread.as_fd())
    }

    /// Reads `wchan` in the directory of the thread, which is in `task`.
    fn read_wchan_of(
        &mut self,
        (tgid, tid): (u32, u32),
        task: BorrowedFd<'_>,
        thread: BorrowedFd<'_>,
    ) -> Result<Option<String>, Error> {
        let found = self.read_patiently(tgid, thread, wchan::FILE, |bytes| {
            Some(wchan::parse_wchan(bytes))
        });
        // The thread may have ended since its directory was opened.
        if found.is_err() && file::size_at(task, self.name.of(tid, "")).is_err() {
            return Err(Error::Gone { tgid });
        }
        found
    }

    /// Reads one file of the thread `(tgid, tid)`; `task` is the directory `task` of its process.
    pub(super) fn read_of_thread<T>(
        &mut self,
        (tgid, tid): (u32, u32),
        task: BorrowedFd<'_>,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        let name = self.name.of(tid, text(file));
        let parsed = self.buffer.read(task, name, cap).map(parse);
        // The end of a thread is as normal as that of a process and does not count as an error.
        if parsed
            .as_ref()
            .is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT))
            && file::size_at(task, self.name.of(tid, "")).is_err()
        {
            return Err(Error::Gone { tgid });
        }
        self.judge(tgid, file, parsed)
    }

    /// Storage IO of the process so far, ended threads included.
    ///
    /// # Errors
    /// The process is gone, or `io` cannot be read (of another user's process, without privilege), which counts as a partial
    /// error.
    pub fn io(&mut self, tgid: u32) -> Result<Io, Error> {
        let result = self
            .open(tgid)
            .and_then(|dir| self.read(tgid, dir.as_fd(), io::FILE, io::parse_io));
        self.soft(tgid, result)
    }

    /// The fields of `stat` that the agent uses, in the file's units.
    ///
    /// # Errors
    /// The process is gone, or `stat` cannot be read, which counts as a read error.
    pub fn stat(&mut self, tgid: u32) -> Result<Stat, Error> {
        let result = self
            .open(tgid)
            .and_then(|dir| self.read_patiently(tgid, dir.as_fd(), stat::FILE, stat::parse_stat));
        self.hard(result)
    }

    /// Start of a process, nanoseconds since boot, as exact as the clock tick. A failure counts as no error.
    ///
    /// # Errors
    /// The process is gone, or `stat` cannot be read.
    pub fn start_ns(&mut self, tgid: u32) -> Result<u64, Error> {
        let tick_ns = self.host.tick_ns;
        let dir = self.open(tgid)?;
        let stat = self.read_patiently(tgid, dir.as_fd(), stat::FILE, stat::parse_stat)?;
        Ok(stat.start_ticks.saturating_mul(tick_ns))
    }

    /// Number of tasks of the whole node (`loadavg`); `None` if unreadable.
    pub fn tasks(&mut self) -> Option<u64> {
        if self.root.is_none() {
            self.open_root().ok()?;
        }
        let root = self.root.clone()?;
        let file = self.buffer.read(root.as_fd(), c"loadavg", LOADAVG).ok()?;
        parse_tasks(file)
    }

    /// The fields of `stat` of one thread. A failure counts as no error, because threads end all the time.
    ///
    /// # Errors
    /// The process or thread is gone, or its `stat` cannot be read.
    pub fn thread_stat(&mut self, tgid: u32, tid: u32) -> Result<Stat, Error> {
        let (file, cap) = stat::FILE;
        let dir = self.open(tgid)?;
        let task = file::open_at(dir.as_fd(), c"task", libc::O_PATH | libc::O_DIRECTORY)
            .map_err(|source| self.failure(tgid, c"task", source))?;
        let bytes = self
            .buffer
            .read(task.as_fd(), self.name.of(tid, "/stat"), cap);
        let parsed = bytes.map(stat::parse_stat);
        self.judge(tgid, file, parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use std::sync::mpsc::channel;

    #[test]
    fn loadavg_gives_the_number_of_all_tasks() {
        assert_eq!(parse_tasks(b"5.72 4.94 4.10 8/201 5570\n"), Some(201));
        for bad in [&b""[..], b"1 2 3", b"1 2 3 8 9", b"1 2 3 8/x 9"] {
            assert_eq!(parse_tasks(bad), None);
        }
        let mut procfs = Procfs::new(Host::detect("/proc", "/").unwrap());
        assert!(procfs.tasks() > Some(1));
    }

    #[test]
    fn a_thread_that_ends_while_it_is_read_is_gone() {
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            // SAFETY: `gettid` has no arguments and returns a number.
            tell.send(unsafe { libc::gettid() }).unwrap();
            let _ = ended.recv();
        });
        let tid = u32::try_from(told.recv().unwrap()).unwrap();
        let mut procfs = Procfs::new(Host::detect("/proc", "/").unwrap());
        let tgid = std::process::id();
        let process = procfs.open(tgid).unwrap();
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let task = file::open_at(process.as_fd(), c"task", flags).unwrap();
        let directory = file::open_at(task.as_fd(), procfs.name.of(tid, ""), flags).unwrap();
        let mut read = || procfs.read_wchan_of((tgid, tid), task.as_fd(), directory.as_fd());
        assert!(read().is_ok());
        drop(end);
        thread.join().unwrap();
        // `join` may return before the kernel has removed the directory of the thread.
        while std::fs::exists(format!("/proc/self/task/{tid}")).unwrap() {
            std::thread::yield_now();
        }
        assert!(read().is_err_and(|error| error.is_gone()));
    }
}

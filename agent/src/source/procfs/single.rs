//! One fact of one process, for whoever has the rest from elsewhere.
//!
//! Descriptors are not counted by the procfs crate: without any it counts `.` and `..`, so each kernel thread has two.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use super::decimal::{parse_decimal, words};
use super::{Error, Procfs, Stat, file, io, stat, text, wchan};
use crate::process::Io;

/// Longest `loadavg` that is read, bytes; a real one has about 30.
const LOADAVG: usize = 256;

/// The second number of the fourth field of `loadavg`: tasks that are runnable, and all.
fn parse_tasks(file: &[u8]) -> Option<u64> {
    let tasks = words(file).nth(3)?;
    parse_decimal(tasks.split(|byte| *byte == b'/').nth(1)?)
}

impl Procfs {
    /// Open descriptors: the size of `<pid>/fd` from Linux 6.2 on, which needs no privilege, else its entries counted.
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

    /// Kernel function that a thread sleeps in; `None` while it does not sleep, and without the right to trace it.
    ///
    /// `tid == tgid` is the main thread: `<pid>/wchan`, else `<pid>/task/<tid>/wchan`.
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
        // A thread that ended is as normal as a process that did.
        let thread = match file::open_at(task.as_fd(), name, flags) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Err(Error::Gone { tgid }),
            thread => thread.map_err(|source| self.failure(tgid, c"task", source)),
        }?;
        self.read_wchan_of((tgid, tid), task.as_fd(), thread.as_fd())
    }

    /// The same in the directory of the thread, itself in `task`.
    fn read_wchan_of(
        &mut self,
        (tgid, tid): (u32, u32),
        task: BorrowedFd<'_>,
        thread: BorrowedFd<'_>,
    ) -> Result<Option<String>, Error> {
        let found = self.read_patiently(tgid, thread, wchan::FILE, |bytes| {
            Some(wchan::parse_wchan(bytes))
        });
        // It may have ended since its directory was opened.
        if found.is_err() && file::size_at(task, self.name.of(tid, "")).is_err() {
            return Err(Error::Gone { tgid });
        }
        found
    }

    /// Reads one file of a thread, `(tgid, tid)`, in the directory `task` of its process.
    pub(super) fn read_of_thread<T>(
        &mut self,
        (tgid, tid): (u32, u32),
        task: BorrowedFd<'_>,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        let name = self.name.of(tid, text(file));
        let parsed = self.buffer.read(task, name, cap).map(parse);
        // A thread that ended is as normal as a process that did.
        if parsed
            .as_ref()
            .is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT))
            && file::size_at(task, self.name.of(tid, "")).is_err()
        {
            return Err(Error::Gone { tgid });
        }
        self.judge(tgid, file, parsed)
    }

    /// Storage IO so far, dead threads included.
    ///
    /// # Errors
    /// The process is gone, or `io` cannot be read (another user's, without privilege), which counts as a partial
    /// error.
    pub fn io(&mut self, tgid: u32) -> Result<Io, Error> {
        let result = self
            .open(tgid)
            .and_then(|dir| self.read(tgid, dir.as_fd(), io::FILE, io::parse_io));
        self.soft(tgid, result)
    }

    /// The fields of `stat` that are used anywhere, in the file's units.
    ///
    /// # Errors
    /// The process is gone, or `stat` cannot be read, which counts as a read error.
    pub fn stat(&mut self, tgid: u32) -> Result<Stat, Error> {
        let result = self
            .open(tgid)
            .and_then(|dir| self.read_patiently(tgid, dir.as_fd(), stat::FILE, stat::parse_stat));
        self.hard(result)
    }

    /// Start of a process, nanoseconds since boot, to the tick. A failure is counted nowhere.
    ///
    /// # Errors
    /// The process is gone, or `stat` cannot be read.
    pub fn start_ns(&mut self, tgid: u32) -> Result<u64, Error> {
        let tick_ns = self.host.tick_ns;
        let dir = self.open(tgid)?;
        let stat = self.read_patiently(tgid, dir.as_fd(), stat::FILE, stat::parse_stat)?;
        Ok(stat.start_ticks.saturating_mul(tick_ns))
    }

    /// Tasks that the kernel counts, of all processes; `None` where unreadable.
    pub fn tasks(&mut self) -> Option<u64> {
        if self.root.is_none() {
            self.open_root().ok()?;
        }
        let root = self.root.clone()?;
        let file = self.buffer.read(root.as_fd(), c"loadavg", LOADAVG).ok()?;
        parse_tasks(file)
    }

    /// The same of one thread. A failure is counted nowhere: threads end all the time.
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
            // SAFETY: asks for nothing but a number.
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
        // Whoever joined it may know before the kernel has taken its directory away.
        while std::fs::exists(format!("/proc/self/task/{tid}")).unwrap() {
            std::thread::yield_now();
        }
        assert!(read().is_err_and(|error| error.is_gone()));
    }
}

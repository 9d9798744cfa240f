//! Opens directories of processes below the procfs root, and reads and parses files in them.
//!
//! In come ids of processes and threads, and names of files. Out go parsed values, or a [`ProcfsError`] that says whether the
//! process is gone. Nothing here counts failures, and a read that blocks blocks the calling thread.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::directory::Lister;
use super::error::{ProcfsError, text};
use super::file::{self, Buffer, FileName};
use crate::host::Host;

/// Flags to open a directory in which only files by name are opened.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// Flags to open a directory that is listed.
const LISTED: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Reads files below one procfs root. Its buffers are reused from file to file, so each thread needs its own.
#[derive(Debug)]
pub(super) struct FileReader {
    host: Host,
    /// The open root; `None` until it is needed, and if it could not be opened.
    root: Option<Arc<OwnedFd>>,
    buffer: Buffer,
    name: FileName,
    lister: Lister,
}

impl FileReader {
    pub(super) fn new(host: Host) -> Self {
        Self {
            host,
            root: None,
            buffer: Buffer::default(),
            name: FileName::default(),
            lister: Lister::default(),
        }
    }

    /// The host whose `/proc` is read.
    pub(super) const fn host(&self) -> &Host {
        &self.host
    }

    /// The open procfs root.
    pub(super) fn root(&mut self) -> Option<Arc<OwnedFd>> {
        self.need_root().ok()?;
        self.root.clone()
    }

    /// Uses this root, which is open already; with `None`, opens the root anew when it is needed.
    pub(super) fn set_root(&mut self, root: Option<Arc<OwnedFd>>) {
        self.root = root;
    }

    fn need_root(&mut self) -> Result<(), ProcfsError> {
        match self.root {
            Some(_) => Ok(()),
            None => self.open_root(),
        }
    }

    /// Opens the procfs root anew, because another file system may have been mounted there.
    pub(super) fn open_root(&mut self) -> Result<(), ProcfsError> {
        self.root = None;
        let root = file::open_root(&self.host.procfs);
        self.root = Some(Arc::new(root.map_err(|source| self.no_root(source))?));
        Ok(())
    }

    fn no_root(&self, source: io::Error) -> ProcfsError {
        ProcfsError::Root {
            path: self.host.procfs.clone(),
            source,
        }
    }

    /// Process ids in the procfs root, which is opened anew.
    pub(super) fn list(&mut self) -> Result<Vec<u32>, ProcfsError> {
        self.open_root()?;
        let mut tgids = Vec::new();
        if let Some(root) = &self.root {
            let listed = self.lister.read_ids(root.as_fd(), &mut tgids);
            listed.map_err(|source| self.no_root(source))?;
        }
        Ok(tgids)
    }

    /// Reads and parses a file of the node, such as `/proc/stat`. `None` if it cannot be read, or is not as the kernel writes it.
    pub(super) fn read_of_node<T>(
        &mut self,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        self.need_root().ok()?;
        let root = self.root.as_ref()?;
        let bytes = self.buffer.read_whole(root.as_fd(), file, cap);
        let bytes = bytes.inspect_err(|error| log::debug!("{}: {error}", text(file)));
        parse(bytes.ok()?)
    }

    /// Opens the directory of a process. Files opened in it belong to that process, never to a later one with the same number.
    pub(super) fn open(&mut self, tgid: u32) -> Result<OwnedFd, ProcfsError> {
        self.need_root()?;
        let Some(root) = &self.root else {
            return Err(ProcfsError::Gone { tgid });
        };
        file::open_at(root.as_fd(), self.name.of(tgid, ""), DIRECTORY)
            .map_err(|source| self.failure(tgid, c"directory", source))
    }

    /// Reads one file in the directory of a process with a single `read` call, and parses it.
    pub(super) fn read<T>(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ProcfsError> {
        let parsed = self.buffer.read(dir, file, cap).map(parse);
        self.judge(tgid, file, parsed)
    }

    /// Like [`FileReader::read`], but opens only the file and not the directory of the process before it.
    pub(super) fn read_alone<T>(
        &mut self,
        tgid: u32,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ProcfsError> {
        let Some(root) = &self.root else {
            return Err(ProcfsError::Gone { tgid });
        };
        let name = self.name.of(tgid, text(file));
        let parsed = self.buffer.read(root.as_fd(), name, cap).map(parse);
        self.judge(tgid, file, parsed)
    }

    /// Number of open descriptors. If `is_size`, it is the size of `fd`, else the number of entries.
    pub(super) fn count_fds(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
        is_size: bool,
    ) -> Result<u64, ProcfsError> {
        let count = if is_size {
            file::size_at(dir, c"fd")
        } else {
            file::open_at(dir, c"fd", LISTED).and_then(|fd| self.lister.count(fd.as_fd()))
        };
        count.map_err(|source| self.failure(tgid, c"fd", source))
    }

    /// Opens the directory of the threads of a process.
    pub(super) fn open_task(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
    ) -> Result<OwnedFd, ProcfsError> {
        file::open_at(dir, c"task", DIRECTORY).map_err(|source| self.failure(tgid, c"task", source))
    }

    /// Opens the directory of the threads of a process, and lists the threads.
    pub(super) fn list_threads(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
    ) -> Result<(OwnedFd, Vec<u32>), ProcfsError> {
        let mut tids = Vec::new();
        let task = file::open_at(dir, c"task", LISTED)
            .and_then(|task| self.lister.read_ids(task.as_fd(), &mut tids).map(|()| task));
        let task = task.map_err(|source| self.failure(tgid, c"task", source))?;
        Ok((task, tids))
    }

    /// Opens the directory of a thread of the process `tgid`; `task` is the directory of its threads.
    pub(super) fn open_thread(
        &mut self,
        (tgid, tid): (u32, u32),
        task: BorrowedFd<'_>,
    ) -> Result<OwnedFd, ProcfsError> {
        match file::open_at(task, self.name.of(tid, ""), DIRECTORY) {
            // The end of a thread is as normal as that of a process and does not count as an error.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                Err(ProcfsError::Gone { tgid })
            }
            opened => opened.map_err(|source| self.failure(tgid, c"task", source)),
        }
    }

    /// Reads one file of a thread of the process `tgid`; `task` is the directory of its threads.
    pub(super) fn read_of_thread<T>(
        &mut self,
        (tgid, tid): (u32, u32),
        task: BorrowedFd<'_>,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ProcfsError> {
        let name = self.name.of(tid, text(file));
        let parsed = self.buffer.read(task, name, cap).map(parse);
        let is_missing = |error: &io::Error| error.raw_os_error() == Some(libc::ENOENT);
        // The end of a thread is as normal as that of a process and does not count as an error.
        if parsed.as_ref().is_err_and(is_missing) && !self.has_thread(task, tid) {
            return Err(ProcfsError::Gone { tgid });
        }
        self.judge(tgid, file, parsed)
    }

    /// Whether the thread exists; `task` is the directory of the threads of its process.
    pub(super) fn has_thread(&mut self, task: BorrowedFd<'_>, tid: u32) -> bool {
        file::size_at(task, self.name.of(tid, "")).is_ok()
    }

    /// The result of reading `file` of a process: `parsed` is `None` inside if the content is not as the kernel writes it.
    pub(super) fn judge<T>(
        &mut self,
        tgid: u32,
        file: &'static CStr,
        parsed: io::Result<Option<T>>,
    ) -> Result<T, ProcfsError> {
        match parsed {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(ProcfsError::Malformed {
                tgid,
                file: text(file),
            }),
            Err(source) => Err(self.failure(tgid, file, source)),
        }
    }

    /// Why `file` of a process could not be read.
    pub(super) fn failure(
        &mut self,
        tgid: u32,
        file: &'static CStr,
        source: io::Error,
    ) -> ProcfsError {
        let file = text(file);
        match source.raw_os_error() {
            Some(libc::ESRCH) => ProcfsError::Gone { tgid },
            Some(libc::ENOENT) if !self.exists(tgid) => ProcfsError::Gone { tgid },
            Some(libc::EACCES | libc::EPERM) => ProcfsError::Denied { tgid, file },
            _ => ProcfsError::Io { tgid, file, source },
        }
    }

    fn exists(&mut self, tgid: u32) -> bool {
        let Some(root) = &self.root else { return false };
        file::size_at(root.as_fd(), self.name.of(tgid, "")).is_ok()
    }
}

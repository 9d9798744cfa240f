//! Opens files that other users control: no name in a directory leads out of it, and opening a file has no side effect.
//!
//! In: an open directory and a path below it. Out: descriptors with owner, identity and number of links, bytes of small regular
//! files, names, and whether a lock is held. Every step uses descriptors, so a user gains nothing by replacing a directory
//! between two steps.
//!
//! ```text
//! Place --Rule, O_PATH--> fstat: regular?  --/proc/self/fd/N--> open to read: the file that was looked at
//! ```
//!
//! A call may block for ever if the file system is dead, so all of this belongs in a reader (`targets/readers`). Left to others:
//! which owners to trust.

mod resolve;
mod watch;

use std::ffi::CStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub(super) use resolve::Rule;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RawDir, Stat, flock, fstat, open, openat,
    readlinkat, statat,
};
use rustix::io::Errno;
pub(super) use watch::{Stillness, WatchedLook, Watcher};

use super::failure::Failure;

/// Largest file that is read, bytes.
pub(super) const MOST_BYTES: u64 = 64 << 10;
/// Most names read of a directory.
pub(super) const MOST_NAMES: u64 = 65_536;
/// Bytes of the buffer beyond the size of a file; files in `/proc` have no known size.
const ROOM: usize = 1024;
/// Size of the buffer for the names that one system call returns.
const LISTING: usize = 32 << 10;

/// The identity of a file, the same for all its paths: device and inode.
pub(super) type FileKey = (u64, u64);

/// A directory below which paths are resolved.
#[derive(Debug)]
pub(super) struct Place {
    directory: OwnedFd,
    pub(super) key: FileKey,
    /// The owner.
    pub(super) uid: u32,
}

/// A regular file that is found but not open yet.
#[derive(Debug)]
pub(super) struct Regular {
    file: OwnedFd,
    /// Size in bytes according to the kernel; 0 for a file in `/proc`.
    size: u64,
    pub(super) key: FileKey,
    /// The owner.
    pub(super) uid: u32,
    /// Number of hard links.
    pub(super) links: u64,
    /// Time of its last change (`st_ctime`), nanoseconds since the epoch.
    pub(super) changed_ns: u64,
}

impl Place {
    /// Opens a directory by a path that only the administrator or the kernel chooses. Follows links.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn trusted(path: &Path) -> Result<Self, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty()).map_err(reason)?;
        let stat = fstat(&directory).map_err(reason)?;
        Self::of(directory, &stat)
    }

    /// Opens a directory below this one.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn directory(&self, path: &Path, rule: Rule) -> Result<Self, Failure> {
        let (directory, stat) = self.open(path, rule)?;
        Self::of(directory, &stat)
    }

    /// Opens a directory below this one. `look` watches for changes of the path and of the names in the directory.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn watched(
        &self,
        path: &Path,
        rule: Rule,
        look: &mut WatchedLook,
    ) -> Result<Self, Failure> {
        let path = path.as_os_str().as_bytes();
        let below = self.directory.as_fd();
        let found = resolve::walk(below, path, rule, |seen| look.watch(seen));
        let (directory, stat) = found.map_err(reason)?;
        Self::of(directory, &stat)
    }

    /// Opens the directory behind a link of `/proc`, such as the root of a process.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn behind(&self, link: &CStr) -> Result<Self, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(&self.directory, link, flags, Mode::empty()).map_err(reason)?;
        let stat = fstat(&directory).map_err(reason)?;
        Self::of(directory, &stat)
    }

    /// The identity of the file behind a link of `/proc`, such as a namespace or a descriptor. Does not open the file.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn key_behind(&self, link: &Path) -> Result<FileKey, Failure> {
        let stat = statat(&self.directory, link, AtFlags::empty()).map_err(reason)?;
        Ok(key(&stat))
    }

    /// The text of a link.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn link(&self, name: &Path) -> Result<Vec<u8>, Failure> {
        let target = readlinkat(&self.directory, name, Vec::new()).map_err(reason)?;
        Ok(target.into_bytes())
    }

    /// Finds a regular file in this directory by [`Rule::Inside`].
    ///
    /// # Errors
    /// [`Failure::Malformed`] if it is something else, or the reason why it is not found.
    pub(super) fn regular(&self, path: impl AsRef<Path>) -> Result<Regular, Failure> {
        let (file, stat) = self.open(path.as_ref(), Rule::Inside)?;
        check(&stat, FileType::RegularFile)?;
        Ok(Regular {
            file,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            key: key(&stat),
            uid: stat.st_uid,
            #[allow(clippy::useless_conversion)] // narrower on some platforms
            links: stat.st_nlink.into(),
            changed_ns: changed_ns(&stat),
        })
    }

    /// Opens a socket file in this directory by [`Rule::Inside`], with `O_PATH`. The agent can connect to it as
    /// `/proc/self/fd/N`. Also returns its owner.
    ///
    /// # Errors
    /// [`Failure::Malformed`] if it is something else, or the reason why it is not found.
    pub(super) fn socket(&self, path: impl AsRef<Path>) -> Result<(OwnedFd, u32), Failure> {
        let (file, stat) = self.open(path.as_ref(), Rule::Inside)?;
        check(&stat, FileType::Socket)?;
        Ok((file, stat.st_uid))
    }

    /// Calls `seen` with each name in the directory, without `.` and `..`, in the order of the directory, up to [`MOST_NAMES`].
    /// Returns whether these were all.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn names(&self, seen: impl FnMut(&[u8])) -> Result<bool, Failure> {
        self.names_up_to(MOST_NAMES, seen)
    }

    fn names_up_to(&self, most: u64, mut seen: impl FnMut(&[u8])) -> Result<bool, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = openat(&self.directory, c".", flags, Mode::empty()).map_err(reason)?;
        let mut buffer = vec![MaybeUninit::uninit(); LISTING];
        let mut names = RawDir::new(open, &mut buffer);
        let mut count = 0;
        while let Some(entry) = names.next() {
            let entry = entry.map_err(reason)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if count == most {
                return Ok(false);
            }
            count += 1;
            seen(name);
        }
        Ok(true)
    }

    fn open(&self, path: &Path, rule: Rule) -> Result<(OwnedFd, Stat), Failure> {
        let path = path.as_os_str().as_bytes();
        resolve::open(self.directory.as_fd(), path, rule).map_err(reason)
    }

    fn of(directory: OwnedFd, stat: &Stat) -> Result<Self, Failure> {
        check(stat, FileType::Directory)?;
        Ok(Self {
            directory,
            key: key(stat),
            uid: stat.st_uid,
        })
    }
}

impl Regular {
    /// Its content.
    ///
    /// # Errors
    /// [`Failure::TooLarge`] beyond [`MOST_BYTES`], or the reason.
    pub(super) fn read(&self) -> Result<Vec<u8>, Failure> {
        self.read_up_to(MOST_BYTES)
    }

    /// Its content.
    ///
    /// # Errors
    /// [`Failure::TooLarge`] beyond `most` bytes, or the reason.
    pub(super) fn read_up_to(&self, most: u64) -> Result<Vec<u8>, Failure> {
        // With spare room in the buffer, one call reads the file and a second one finds its end.
        let size = usize::try_from(self.size.min(most)).unwrap_or(0);
        let mut bytes = Vec::with_capacity(size + ROOM);
        let file = File::from(self.open()?);
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| of_read(&error))?;
        if bytes.len() as u64 > most {
            return Err(Failure::TooLarge);
        }
        Ok(bytes)
    }

    /// Calls `seen` with each line, until it returns false. Skips lines that are no UTF-8.
    ///
    /// # Errors
    /// [`Failure::TooLarge`] beyond `most` bytes, or the reason.
    pub(super) fn lines(
        &self,
        most: u64,
        mut seen: impl FnMut(&str) -> bool,
    ) -> Result<(), Failure> {
        let file = File::from(self.open()?);
        let mut lines = BufReader::new(file.take(most + 1));
        let (mut line, mut count) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line);
            let read = read.map_err(|error| of_read(&error))?;
            count += read as u64;
            if count > most {
                return Err(Failure::TooLarge);
            }
            if read == 0 || !std::str::from_utf8(&line).map_or(true, &mut seen) {
                return Ok(());
            }
        }
    }

    /// Whether a process holds an exclusive flock on the file. If not, this call holds a shared one for a moment.
    ///
    /// # Errors
    /// The reason.
    pub(super) fn is_locked(&self) -> Result<bool, Failure> {
        let file = self.open()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(reason(error)),
        }
    }

    /// Opens the file that was found, even if its name belongs to another file by now.
    fn open(&self) -> Result<OwnedFd, Failure> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).map_err(reason)
    }
}

fn check(stat: &Stat, wanted: FileType) -> Result<(), Failure> {
    if FileType::from_raw_mode(stat.st_mode) == wanted {
        Ok(())
    } else {
        Err(Failure::Malformed)
    }
}

fn changed_ns(stat: &Stat) -> u64 {
    let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
    #[allow(clippy::unnecessary_cast)] // signed on some platforms
    let ns = stat.st_ctime_nsec as u64;
    seconds.saturating_mul(1_000_000_000).saturating_add(ns)
}

const fn key(stat: &Stat) -> FileKey {
    (stat.st_dev, stat.st_ino)
}

fn of_read(error: &std::io::Error) -> Failure {
    Errno::from_io_error(error).map_or(Failure::Malformed, reason)
}

/// The reason for an error of a call on files.
pub(super) fn reason(error: Errno) -> Failure {
    match error {
        Errno::NOENT | Errno::SRCH | Errno::STALE => Failure::Gone,
        Errno::ACCESS | Errno::PERM => Failure::Denied,
        // The agent has run out of descriptors or memory.
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Failure::Limit,
        _ => Failure::Malformed,
    }
}

#[cfg(test)]
mod tests;

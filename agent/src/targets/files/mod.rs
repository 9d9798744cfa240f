//! Opens files of strangers: what the owner of a directory puts into it leads nowhere else, and opening it has no effect.
//!
//! In come a directory that is open and a path below it; out come descriptors with owner, identity and number of links, bytes of
//! small regular files, names, and whether a lock is held. Everything goes through descriptors: a directory that is exchanged
//! between two steps changes nothing.
//!
//! ```text
//! Place --Rule, O_PATH--> fstat: regular?  --/proc/self/fd/N--> open to read: the file that was looked at
//! ```
//!
//! A call may block for ever if the file system is dead, so all of this belongs into a reader (`readers.rs`). Whose files are
//! trusted is decided by the callers.

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
/// Most names of a directory that are looked at.
pub(super) const MOST_NAMES: u64 = 65_536;
/// Bytes that a file is given beyond its size, which is not known for files in `/proc`.
const ROOM: usize = 1024;
/// Bytes of names that one system call returns.
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

/// A regular file that is not open yet.
#[derive(Debug)]
pub(super) struct Regular {
    file: OwnedFd,
    /// Bytes, as the kernel shows; that of a file in `/proc` is 0.
    size: u64,
    pub(super) key: FileKey,
    /// The owner.
    pub(super) uid: u32,
    /// Names that it has in its file system.
    pub(super) links: u64,
    /// When it was last changed (`st_ctime`), nanoseconds since the epoch.
    pub(super) changed_ns: u64,
}

impl Place {
    /// Opens a directory by a path that only the administrator and the kernel choose: links are followed.
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

    /// Opens a directory below this one. `look` notices when the path may lead elsewhere, or when the directory may hold other
    /// names.
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

    /// The identity of the file behind a link of `/proc`, such as a namespace or a descriptor. It is not opened.
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

    /// Finds a regular file in this directory, [`Rule::Inside`].
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

    /// Opens a socket file in this directory, [`Rule::Inside`], with `O_PATH`: it can be connected to as `/proc/self/fd/N`. Also
    /// returns its owner.
    ///
    /// # Errors
    /// [`Failure::Malformed`] if it is something else, or the reason why it is not found.
    pub(super) fn socket(&self, path: impl AsRef<Path>) -> Result<(OwnedFd, u32), Failure> {
        let (file, stat) = self.open(path.as_ref(), Rule::Inside)?;
        check(&stat, FileType::Socket)?;
        Ok((file, stat.st_uid))
    }

    /// Calls `seen` with each name in the directory, without `.` and `..`, in the order of the directory.
    /// Returns whether these were all; no more than [`MOST_NAMES`] are looked at.
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
        // With room behind the end, one call reads the file and another one finds its end.
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

    /// Calls `seen` with each line, until it returns false. A line that is no UTF-8 is left out.
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

    /// Whether a process holds an exclusive flock on it. If not, this call holds a shared one for a moment.
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

    /// Opens the file that was looked at, whatever has its name by now.
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
        // The agent has no descriptor or no memory for it.
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Failure::Limit,
        _ => Failure::Malformed,
    }
}

#[cfg(test)]
mod tests;

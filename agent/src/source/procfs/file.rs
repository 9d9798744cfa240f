//! Opens and reads the small files of `/proc` with as few system calls as possible.
//!
//! In come a directory and a name in it; out go bytes in a buffer that is reused. This module parses nothing and reads no file
//! beyond its cap. Memory that a large file needed is freed afterwards.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

/// Size that the buffer keeps between reads, bytes: every file that each pass reads fits.
const USUAL: usize = 16 << 10;

/// A buffer that is reused for one file after another.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// Reads `name` in `dir` up to `cap` bytes; the rest of a longer file is left out.
    ///
    /// One `read` call is enough for files that the kernel writes in one go (all but `cmdline`): it returns less than asked for
    /// only at the end of the file.
    pub(super) fn read(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        cap: usize,
    ) -> io::Result<&[u8]> {
        self.fill(dir, name, cap, OFlags::RDONLY, true)
    }

    /// Reads a file that may be a pipe; a pipe reads as empty instead of blocking.
    pub(super) fn read_without_waiting(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        cap: usize,
    ) -> io::Result<&[u8]> {
        self.fill(dir, name, cap, OFlags::RDONLY | OFlags::NONBLOCK, true)
    }

    /// Reads a file that may arrive in pieces, until its end or `cap` bytes.
    pub(super) fn read_whole(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        cap: usize,
    ) -> io::Result<&[u8]> {
        self.fill(dir, name, cap, OFlags::RDONLY, false)
    }

    fn fill(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        cap: usize,
        flags: OFlags,
        short_is_end: bool,
    ) -> io::Result<&[u8]> {
        if self.bytes.len() != USUAL {
            self.bytes.resize(USUAL, 0);
            self.bytes.shrink_to_fit();
        }
        let mut file = File::from(open_at(dir, name, flags)?);
        let mut filled = 0;
        while filled < cap {
            if filled == self.bytes.len() {
                self.bytes.resize((filled * 2).min(cap), 0);
            }
            let end = self.bytes.len().min(cap);
            let room = &mut self.bytes[filled..end];
            let size = room.len();
            match file.read(room) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    if short_is_end && count < size {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.bytes[..filled])
    }
}

/// A file name that begins with a number, such as `42/stat`, made without an allocation for each.
#[derive(Debug, Default)]
pub(super) struct FileName {
    bytes: Vec<u8>,
}

impl FileName {
    /// `<id>/<file>` as a C string; only `<id>`, the directory, if `file` is empty.
    pub(super) fn of(&mut self, id: u32, file: &str) -> &CStr {
        self.bytes.clear();
        let slash = if file.is_empty() { "" } else { "/" };
        // Writing to memory cannot fail; if it did, the kernel would not find the empty name.
        let _ = write!(self.bytes, "{id}{slash}{file}\0");
        CStr::from_bytes_with_nul(&self.bytes).unwrap_or_default()
    }
}

/// Opens `path` as a directory for listing.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(path)
        .map(OwnedFd::from)
}

/// Opens `name` in `dir`; close-on-exec is added to `flags`.
pub(super) fn open_at(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    let open = || rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, Mode::empty());
    Ok(rustix::io::retry_on_intr(open)?)
}

/// Target of the link `name` in `dir`, raw bytes.
pub(super) fn read_link_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// Size of `name` in `dir` as `stat` reports it, bytes.
pub(super) fn size_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<u64> {
    let found = rustix::fs::statat(dir, name, AtFlags::empty())?;
    Ok(u64::try_from(found.st_size).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn buffer_reads_up_to_the_cap_and_shrinks_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("42"), vec![b'x'; 100_000]).unwrap();
        std::fs::write(dir.path().join("7"), b"short").unwrap();
        let root = open_root(dir.path()).unwrap();
        let (mut buffer, mut name) = (Buffer::default(), FileName::default());
        assert_eq!(
            buffer
                .read(root.as_fd(), name.of(42, ""), 1 << 20)
                .unwrap()
                .len(),
            100_000
        );
        assert_eq!(
            buffer
                .read_whole(root.as_fd(), name.of(42, ""), 50_001)
                .unwrap()
                .len(),
            50_001
        );
        assert_eq!(
            buffer.read(root.as_fd(), name.of(42, ""), 10).unwrap(),
            b"xxxxxxxxxx"
        );
        assert_eq!(
            buffer.read(root.as_fd(), name.of(7, ""), 1 << 20).unwrap(),
            b"short"
        );
        assert_eq!(buffer.bytes.capacity(), USUAL);
        let missing = buffer
            .read(root.as_fd(), name.of(8, "stat"), 10)
            .unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn directory_in_place_of_a_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("9")).unwrap();
        let root = open_root(dir.path()).unwrap();
        let error = Buffer::default().read(root.as_fd(), c"9", 10).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
    }
}

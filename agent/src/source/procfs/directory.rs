//! Lists directories of `/proc`: processes, threads, and the number of descriptors.
//!
//! It calls `getdents64` itself, into a buffer that is reused: listing 10,000 names allocates nothing per name, and lists the
//! directory that is open, not the one that its path names by now.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::decimal::parse_id;

const BUFFER: usize = 32 << 10;

/// Offsets in `struct linux_dirent64`: the record's length, and its name.
const RECORD_LENGTH: usize = 16;
const NAME: usize = 19;

/// Lists one directory after another into one buffer.
#[derive(Debug, Default)]
pub(super) struct Lister {
    bytes: Vec<u8>,
}

impl Lister {
    /// Adds the entries of `dir` whose name is a process or thread id to `ids`, in directory order.
    pub(super) fn read_ids(&mut self, dir: BorrowedFd<'_>, ids: &mut Vec<u32>) -> io::Result<()> {
        self.each_name(dir, |name| ids.extend(parse_id(name)))
    }

    /// Number of entries of `dir`, without `.` and `..`.
    pub(super) fn count(&mut self, dir: BorrowedFd<'_>) -> io::Result<u64> {
        let mut count = 0;
        self.each_name(dir, |name| {
            count += u64::from(name != b"." && name != b"..")
        })?;
        Ok(count)
    }

    fn each_name(&mut self, dir: BorrowedFd<'_>, mut seen: impl FnMut(&[u8])) -> io::Result<()> {
        self.bytes.resize(BUFFER, 0);
        loop {
            // SAFETY: the kernel writes at most `len` bytes into a buffer that is borrowed mutably for the call, and
            // `dir` is an open descriptor.
            let code = unsafe {
                libc::syscall(
                    libc::SYS_getdents64,
                    dir.as_raw_fd(),
                    self.bytes.as_mut_ptr(),
                    self.bytes.len(),
                )
            };
            match usize::try_from(code) {
                Ok(0) => return Ok(()),
                Ok(filled) => parse_names(&self.bytes[..filled], &mut seen),
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Calls `seen` with the name in each record; stops at a record that does not fit.
fn parse_names(mut records: &[u8], seen: &mut impl FnMut(&[u8])) {
    while let Some([low, high]) = records.get(RECORD_LENGTH..RECORD_LENGTH + 2) {
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        let Some(name) = records.get(NAME..length) else {
            return;
        };
        seen(name.split(|byte| *byte == 0).next().unwrap_or_default());
        records = &records[length..];
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::source::procfs::file::open_root;

    #[test]
    fn only_names_that_are_ids_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["1", "4194304", "007x", "self", "0", "stat", "12"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let mut ids = Vec::new();
        let mut lister = Lister::default();
        lister
            .read_ids(open_root(dir.path()).unwrap().as_fd(), &mut ids)
            .unwrap();
        ids.sort_unstable();
        assert_eq!(ids, [1, 12, 4_194_304]);
        assert_eq!(
            lister
                .count(open_root(dir.path()).unwrap().as_fd())
                .unwrap(),
            7
        );
    }

    #[test]
    fn more_names_than_the_buffer_holds_are_all_listed() {
        let dir = tempfile::tempdir().unwrap();
        for id in 1..=3000 {
            std::fs::write(dir.path().join(id.to_string()), "").unwrap();
        }
        let mut ids = Vec::new();
        Lister::default()
            .read_ids(open_root(dir.path()).unwrap().as_fd(), &mut ids)
            .unwrap();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(1..=3000));
    }

    #[test]
    fn record_cut_short_ends_the_list() {
        let mut count = 0;
        for bad in [&[][..], &[0; 17], &[0; 24], &[255; 24], &[1; 400]] {
            parse_names(bad, &mut |_| count += 1);
        }
        assert_eq!(count, 1, "only the last record is long enough");
    }
}

//! The user id that a blocked read of a process's files counts against.
//!
//! In comes the directory of a process; out goes a uid. It is the real uid, which running a set-user-ID program does not change.
//! If that is a subordinate uid, it is the one that [`SubordinateUids`] charges for it.
//!
//! Reading `status` waits for no lock that a process can hold. It is opened without waiting all the same, because a tree of files
//! may have a pipe in its place.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use super::file::Buffer;
use super::status::{self, Brief};
use crate::blocking::SubordinateUids;

/// All processes whose user is unknown are charged to this one.
const UNKNOWN: u32 = u32::MAX;

/// Finds the uid to charge; keeps the ranges of subordinate uids.
#[derive(Debug)]
pub(super) struct Owners {
    passwd: PathBuf,
    subuid: PathBuf,
    buffer: Buffer,
    /// Subordinate uids; read at most once a pass, and only if a reader is blocked.
    ranges: Option<SubordinateUids>,
}

impl Owners {
    pub(super) fn new(passwd: PathBuf, subuid: PathBuf) -> Self {
        Self {
            passwd,
            subuid,
            buffer: Buffer::default(),
            ranges: None,
        }
    }

    /// Begins a pass: the files may have changed, so they will be read again.
    pub(super) fn begin(&mut self) {
        self.ranges = None;
    }

    /// The user to whom the process with this directory is charged.
    pub(super) fn of(&mut self, directory: BorrowedFd<'_>) -> u32 {
        match self.brief(directory) {
            Some(brief) => self.owner(brief.real_uid),
            None => effective_uid(directory).map_or(UNKNOWN, |uid| self.owner(uid)),
        }
    }

    /// Reads `status` of a process whose other files do not answer.
    pub(super) fn brief(&mut self, directory: BorrowedFd<'_>) -> Option<Brief> {
        let (name, cap) = status::FILE;
        let file = self.buffer.read_without_waiting(directory, name, cap);
        status::parse_brief(file.ok()?)
    }

    fn owner(&mut self, uid: u32) -> u32 {
        self.ranges
            .get_or_insert_with(|| SubordinateUids::read(&self.subuid, &self.passwd))
            .share_of(uid)
    }
}

/// Owner of the directory `/proc/<pid>`: the effective uid. The files in the directory may belong to root instead, the directory
/// itself never does.
fn effective_uid(directory: BorrowedFd<'_>) -> Option<u32> {
    rustix::fs::fstat(directory).ok().map(|found| found.st_uid)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn files_are_read_once_a_pass() {
        let folder = tempfile::tempdir().unwrap();
        let [passwd, subuid] = ["passwd", "subuid"].map(|name| folder.path().join(name));
        std::fs::write(&passwd, "ann:x:1000:1000::/:/bin/sh\n").unwrap();
        std::fs::write(&subuid, "ann:100000:65536\n").unwrap();
        let mut owners = Owners::new(passwd, subuid.clone());
        assert_eq!(owners.owner(100_000), 1000);
        std::fs::write(&subuid, "").unwrap();
        assert_eq!(owners.owner(100_000), 1000);
        owners.begin();
        assert_eq!(owners.owner(100_000), 100_000);
    }

    #[test]
    fn process_without_status_counts_for_the_owner_of_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(4321), None).ok();
        let expected = std::os::unix::fs::MetadataExt::uid(&folder.path().metadata().unwrap());
        let directory = File::open(folder.path()).unwrap();
        let mut owners = Owners::new(PathBuf::new(), PathBuf::new());
        assert_eq!(owners.of(directory.as_fd()), expected);
        let text = "Name:\ta\nPPid:\t1\nUid:\t77\t0\t0\t0\n";
        std::fs::write(folder.path().join("status"), text).unwrap();
        assert_eq!(owners.of(directory.as_fd()), 77, "the real one");
    }
}

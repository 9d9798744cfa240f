//! The user id that a blocked read of a process's files counts against.
//!
//! In comes the directory of a process; out goes a uid. It is the real uid, which running a set-user-ID program does not change.
//! If that is a subordinate uid (`/etc/subuid` of the host), it is the uid of the user who owns the range, because one user owns
//! 65,536 of them. Ranges that only a name service knows are charged uid by uid.
//!
//! Reading `status` waits for no lock that a process can hold. It is opened without waiting all the same, because a tree of files
//! may have a pipe in its place.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::file::Buffer;
use super::status::{self, Brief};

/// Largest part of `/etc/subuid` and of `/etc/passwd` that is read, bytes; a line that is cut at the end is ignored.
const CAP: u64 = 1 << 20;
/// All processes whose user is unknown are charged to this one.
const UNKNOWN: u32 = u32::MAX;

/// Finds the uid to charge; keeps the ranges of subordinate uids.
#[derive(Debug)]
pub(super) struct Owners {
    passwd: PathBuf,
    subuid: PathBuf,
    buffer: Buffer,
    /// Subordinate uids; read at most once a pass, and only if a reader is blocked.
    ranges: Option<Vec<Range>>,
}

/// A range of subordinate uids that one user owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
    owner: u32,
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
        let ranges = self.ranges.get_or_insert_with(|| {
            let [passwd, subuid] = [&self.passwd, &self.subuid].map(|path| read(path));
            parse_ranges(&subuid, &passwd)
        });
        let has = |range: &&Range| {
            uid.checked_sub(range.first)
                .is_some_and(|n| n < range.count)
        };
        ranges.iter().find(has).map_or(uid, |range| range.owner)
    }
}

/// Owner of the directory `/proc/<pid>`: the effective uid. The files in the directory may belong to root instead, the directory
/// itself never does.
fn effective_uid(directory: BorrowedFd<'_>) -> Option<u32> {
    let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the descriptor is open for the length of the call, and `found` has room for what the kernel writes.
    let code = unsafe { libc::fstat(directory.as_raw_fd(), found.as_mut_ptr()) };
    // SAFETY: the call succeeded, so the kernel filled the structure.
    (code == 0).then(|| unsafe { found.assume_init() }.st_uid)
}

/// Content of a regular file; empty if there is none. Without `/etc/subuid` there are no subordinate uids.
fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.and_then(|file| Ok((file.metadata()?.is_file(), file)));
    if let Ok((true, file)) = file {
        let _ = file.take(CAP).read_to_end(&mut bytes);
    }
    bytes
}

/// Parses lines `user:first:count`; `user` is a name in `passwd`, or a uid.
fn parse_ranges(subuid: &[u8], passwd: &[u8]) -> Vec<Range> {
    let users = fields_by_line(passwd);
    let uid_of = |name: &str| {
        let mut named = users.iter().filter(|fields| fields.first() == Some(&name));
        let by_name = named.next().and_then(|fields| fields.get(2)?.parse().ok());
        by_name.or_else(|| name.parse().ok())
    };
    let range = |fields: &Vec<&str>| {
        Some(Range {
            owner: uid_of(fields.first()?)?,
            first: fields.get(1)?.parse().ok()?,
            count: fields.get(2)?.parse().ok()?,
        })
    };
    fields_by_line(subuid).iter().filter_map(range).collect()
}

fn fields_by_line(file: &[u8]) -> Vec<Vec<&str>> {
    let lines = file.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| std::str::from_utf8(line).ok());
    lines.map(|line| line.trim().split(':').collect()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n";

    #[test]
    fn subordinate_uid_counts_for_the_user_who_owns_its_range() {
        let folder = tempfile::tempdir().unwrap();
        let [passwd, subuid] = ["passwd", "subuid"].map(|name| folder.path().join(name));
        std::fs::write(&passwd, PASSWD).unwrap();
        let text = "ann:100000:65536\n1001:165536:65536\nnobody-here:300000:10\nbob:x:1\n";
        std::fs::write(&subuid, text).unwrap();
        let mut owners = Owners::new(passwd, subuid);
        let cases = [
            (1000, 1000),
            (100_000, 1000),
            (165_535, 1000),
            (165_536, 1001),
            (231_072, 231_072),
            (300_000, 300_000),
            (99_999, 99_999),
        ];
        for (uid, owner) in cases {
            assert_eq!(owners.owner(uid), owner, "{uid}");
        }
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

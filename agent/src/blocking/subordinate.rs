//! The user who owns a uid: subordinate uids (`/etc/subuid`) count for their owner, because one user owns 65,536 of them.
//!
//! In come the files `subuid` and `passwd` of the host; out comes, for each uid, the one to charge. Ranges that only a name
//! service knows are charged uid by uid.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Largest part of `/etc/subuid` and of `/etc/passwd` that is read, bytes; a line that is cut at the end is ignored.
const CAP: u64 = 1 << 20;
const ROOT: u32 = 0;

/// The ranges of subordinate uids of a host. By default none.
#[derive(Debug, Default)]
pub(crate) struct SubordinateUids(Vec<Range>);

/// A range of subordinate uids that one user owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
    owner: u32,
}

impl SubordinateUids {
    /// Reads the files at these paths. Without `subuid` there are no subordinate uids.
    pub(crate) fn read(subuid: &Path, passwd: &Path) -> Self {
        Self(parse_ranges(&read(subuid), &read(passwd)))
    }

    /// The uid to charge for the processes of `uid`: that of the owner of the range; the first of the range if root owns it,
    /// because containers do not take the share of root; `uid` itself if it is in no range, or root.
    pub(crate) fn share_of(&self, uid: u32) -> u32 {
        let has = |range: &&Range| {
            uid.checked_sub(range.first)
                .is_some_and(|n| n < range.count)
        };
        match self.0.iter().find(has).filter(|_| uid != ROOT) {
            Some(range) if range.owner == ROOT => range.first,
            Some(range) => range.owner,
            None => uid,
        }
    }
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
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n";

    #[test]
    fn subordinate_uid_counts_for_the_user_who_owns_its_range() {
        let text = b"ann:100000:65536\n1001:165536:65536\nnobody-here:300000:10\nbob:x:1\nroot:400000:9\nann:0:5\n";
        let uids = SubordinateUids(parse_ranges(text, PASSWD));
        let cases = [
            (0, 0),
            (1000, 1000),
            (100_000, 1000),
            (165_535, 1000),
            (165_536, 1001),
            (231_072, 231_072),
            (300_000, 300_000),
            (99_999, 99_999),
            (400_000, 400_000),
            (400_008, 400_000),
        ];
        for (uid, owner) in cases {
            assert_eq!(uids.share_of(uid), owner, "{uid}");
        }
    }
}

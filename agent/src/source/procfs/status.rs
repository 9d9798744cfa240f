//! `/proc/<pid>/status` and `/proc/<pid>/task/<tid>/status`: owner, swap, context switches.
//!
//! It has its own parser, because only four of some sixty lines are used. The procfs crate makes a map of strings of all lines,
//! refuses the file if one of twenty other lines is missing, fails on bytes that are not UTF-8, and takes 24 times as long to
//! parse (12.4 against 0.5 us), more than the kernel needs to write the file.

use std::ffi::CStr;

use super::decimal::{parse_decimal, words};
use crate::process::Switches;

/// Name, and largest size read, bytes; the list of supplementary groups can make the file this long.
pub(super) const FILE: (&CStr, usize) = (c"status", 1 << 20);

/// The lines of the file that the agent uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TaskStatus {
    /// `Uid`, second number: effective user id. `None` if the line is missing.
    pub effective_uid: Option<u32>,
    /// Whether the effective user or group id differs from the real one, the first number of `Uid` or `Gid`.
    pub has_borrowed_ids: bool,
    /// `VmSwap`: swapped-out memory, bytes (the file says kB and means KiB). 0 if the line is missing: kernel threads and zombies
    /// have no memory.
    pub swapped_bytes: u64,
    /// `voluntary_ctxt_switches`, `nonvoluntary_ctxt_switches` of this one task, without its other threads. `None` if a line is
    /// missing.
    pub switches: Option<Switches>,
}

/// Parses the used lines in any order; `None` if one of them is not as the kernel writes it.
pub(super) fn parse_status(file: &[u8]) -> Option<TaskStatus> {
    let mut status = TaskStatus::default();
    let (mut voluntary, mut nonvoluntary) = (None, None);
    for line in file.split(|byte| *byte == b'\n') {
        // The first letter rules out most lines. The kernel escapes newlines in the name, so no line can be forged.
        match line.first() {
            Some(b'U') => {
                if let Some(uids) = line.strip_prefix(b"Uid:") {
                    let (real, effective) = real_and_effective(uids)?;
                    status.effective_uid = Some(effective);
                    status.has_borrowed_ids |= real != effective;
                }
            }
            Some(b'G') => {
                if let Some(gids) = line.strip_prefix(b"Gid:") {
                    let (real, effective) = real_and_effective(gids)?;
                    status.has_borrowed_ids |= real != effective;
                }
            }
            Some(b'V') => {
                if let Some(size) = line.strip_prefix(b"VmSwap:") {
                    status.swapped_bytes = first_number(size)?.checked_mul(1024)?;
                }
            }
            Some(b'v') => {
                if let Some(count) = line.strip_prefix(b"voluntary_ctxt_switches:") {
                    voluntary = Some(first_number(count)?);
                }
            }
            Some(b'n') => {
                if let Some(count) = line.strip_prefix(b"nonvoluntary_ctxt_switches:") {
                    nonvoluntary = Some(first_number(count)?);
                }
            }
            _ => {}
        }
    }
    if let (Some(voluntary), Some(nonvoluntary)) = (voluntary, nonvoluntary) {
        status.switches = Some(Switches {
            voluntary,
            nonvoluntary,
        });
    }
    Some(status)
}

/// The lines of `status` that are used if no other file of the process can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Brief {
    /// `Name`: task name, raw bytes.
    pub comm: Vec<u8>,
    /// `PPid`: process id of the parent; 0 for none.
    pub parent: u32,
    /// `Uid`, first number.
    pub real_uid: u32,
    /// `Uid`, second number.
    pub effective_uid: u32,
}

/// Parses these lines; `None` if one is missing, or is not as the kernel writes it.
pub(super) fn parse_brief(file: &[u8]) -> Option<Brief> {
    let line = |key: &[u8]| {
        let mut lines = file.split(|byte| *byte == b'\n');
        lines.find_map(|line| line.strip_prefix(key))
    };
    let uid = |nth| u32::try_from(parse_decimal(words(line(b"Uid:")?).nth(nth)?)?).ok();
    Some(Brief {
        comm: unescape(line(b"Name:\t")?),
        parent: u32::try_from(first_number(line(b"PPid:")?)?).ok()?,
        real_uid: uid(0)?,
        effective_uid: uid(1)?,
    })
}

/// Undoes the kernel's escaping of a task name: of the newline and the backslash.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut bytes = name.iter().copied();
    let mut raw = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => raw.push(b'\n'),
                Some(other) => raw.push(other),
                None => raw.push(b'\\'),
            },
            byte => raw.push(byte),
        }
    }
    raw
}

/// Parses `Tgid`: the process that a task belongs to.
pub(super) fn parse_tgid(file: &[u8]) -> Option<u32> {
    let mut lines = file.split(|byte| *byte == b'\n');
    let tgid = lines.find_map(|line| line.strip_prefix(b"Tgid:"))?;
    u32::try_from(first_number(tgid)?).ok()
}

fn real_and_effective(ids: &[u8]) -> Option<(u32, u32)> {
    let mut ids = words(ids);
    let mut next = || u32::try_from(parse_decimal(ids.next()?)?).ok();
    Some((next()?, next()?))
}

fn first_number(value: &[u8]) -> Option<u64> {
    parse_decimal(words(value).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brief_reading_gives_the_raw_name_and_both_uids() {
        let file = b"Name:\ta\\nb\\\\c\nUmask:\t0022\nPPid:\t12\nUid:\t1000\t0\t0\t0\n";
        let expected = Brief {
            comm: b"a\nb\\c".to_vec(),
            parent: 12,
            real_uid: 1000,
            effective_uid: 0,
        };
        assert_eq!(parse_brief(file), Some(expected));
        for bad in [
            &b""[..],
            b"Name:\ta\nPPid:\t1\n",
            b"Name:\ta\nPPid:\tx\nUid:\t1\t1\n",
        ] {
            assert_eq!(parse_brief(bad), None);
        }
    }

    #[test]
    fn used_lines_are_parsed_among_others() {
        let file = b"Name:\tvim\nUmask:\t0022\nUid:\t1000\t1001\t1002\t1003\nGid:\t7\t7\t7\t7\nVmSize:\t 16772 kB\nVmSwap:\t      10 kB\n\
            voluntary_ctxt_switches:\t72\nnonvoluntary_ctxt_switches:\t6\n";
        let expected = TaskStatus {
            effective_uid: Some(1001),
            has_borrowed_ids: true,
            swapped_bytes: 10_240,
            switches: Some(Switches {
                voluntary: 72,
                nonvoluntary: 6,
            }),
        };
        assert_eq!(parse_status(file), Some(expected));
        assert_eq!(
            parse_status(file.trim_ascii_end()),
            Some(expected),
            "no newline at the end"
        );
    }

    #[test]
    fn missing_line_is_not_an_error() {
        assert_eq!(parse_status(b""), Some(TaskStatus::default()));
        assert_eq!(
            parse_status(b"Name:\t\xff\xfe\n\n\0\n:::\n"),
            Some(TaskStatus::default())
        );
        let one = parse_status(b"voluntary_ctxt_switches:\t72\nUid:\t0\t0\t0\t0").unwrap();
        assert_eq!((one.switches, one.effective_uid), (None, Some(0)));
    }

    #[test]
    fn line_without_its_number_is_malformed() {
        for bad in [
            &b"Uid:\t1000\n"[..],
            b"Uid:\tx\ty\tz\tw\n",
            b"Uid:\t0\t4294967296\t0\t0\n",
            b"Gid:\t0\n",
            b"VmSwap:\n",
            b"VmSwap:\t-1 kB\n",
            b"VmSwap:\t18446744073709551615 kB\n",
            b"voluntary_ctxt_switches:\t\xff\n",
            b"nonvoluntary_ctxt_switches:\t18446744073709551616\n",
        ] {
            assert_eq!(parse_status(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn effective_id_other_than_the_real_one_is_borrowed() {
        for (file, expected) in [
            (&b"Uid:\t5\t5\t0\t0\nGid:\t5\t5\t0\t0\n"[..], false),
            (b"Uid:\t5\t0\t0\t0\nGid:\t5\t5\t5\t5\n", true),
            (b"Uid:\t5\t5\t5\t5\nGid:\t5\t42\t42\t42\n", true),
            (b"Gid:\t5\t42\t42\t42\nUid:\t5\t5\t5\t5\n", true),
        ] {
            assert_eq!(parse_status(file).unwrap().has_borrowed_ids, expected);
        }
    }

    #[test]
    fn name_of_a_task_cannot_forge_another_line() {
        let file = b"Name:\tx\\nUid:\\t7\\t7\nUid:\t1\t2\t3\t4\n";
        assert_eq!(parse_status(file).unwrap().effective_uid, Some(2));
    }
}

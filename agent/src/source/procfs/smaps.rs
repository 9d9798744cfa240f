//! `/proc/<pid>/smaps_rollup`, else `/proc/<pid>/smaps`: the proportional share of a process in the memory that it maps.
//!
//! For this file, the kernel walks all page tables of the process while it holds the lock of the process's mappings, and it waits
//! if another task holds that lock. So only `source/smaps` reads these files, on threads of its own.
//!
//! It has its own parser, which works line by line: `smaps` of a large process has megabytes, and only two lines of each mapping
//! are used.

use std::ffi::CStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::OFlags;

use super::decimal::{parse_decimal, words};
use super::error::ProcfsError;
use super::file_reader::FileReader;
use super::{file, stat};
use crate::process::{ProcessId, Proportional};

/// One sum for the whole process; since Linux 4.14.
const ROLLUP: &CStr = c"smaps_rollup";
/// One part for each mapping.
const FULL: &CStr = c"smaps";
/// Largest size read, bytes: 65,530 mappings, the kernel's default limit, with 1 KB each.
const LIMIT: u64 = 64 << 20;

/// The share of the process `id` in the memory that it maps.
pub(super) fn read(files: &mut FileReader, id: ProcessId) -> Result<Proportional, ProcfsError> {
    // Opened for each reading, because this reader lives long and reads rarely.
    files.open_root()?;
    let tgid = id.tgid;
    let dir = files.open(tgid)?;
    let dir = dir.as_fd();
    let stat = files.read(tgid, dir, stat::FILE, stat::parse_stat)?;
    if stat.start_ticks != id.start_ns / files.host().tick_ns {
        return Err(ProcfsError::Gone { tgid });
    }
    match read_sum(dir, ROLLUP) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            let sum = read_sum(dir, FULL);
            files.judge(tgid, FULL, sum)
        }
        sum => files.judge(tgid, ROLLUP, sum),
    }
}

fn read_sum(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Proportional>> {
    let file = std::fs::File::from(file::open_at(dir, name, OFlags::RDONLY)?);
    let mut reader = BufReader::with_capacity(16 << 10, file.take(LIMIT));
    let mut line = Vec::new();
    let mut sum = Sum::default();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(sum.finish());
        }
        sum.add(&line);
    }
}

/// Sums of the lines read so far.
#[derive(Debug, Default)]
struct Sum {
    memory: Proportional,
    has_memory: bool,
    is_malformed: bool,
}

impl Sum {
    /// Adds one line. The first line of a mapping begins with its address. The kernel escapes newlines in file names, so no line
    /// can be forged.
    fn add(&mut self, line: &[u8]) {
        let (value, place) = if let Some(value) = line.strip_prefix(b"Pss:") {
            self.has_memory = true;
            (value, &mut self.memory.resident_bytes)
        } else if let Some(value) = line.strip_prefix(b"SwapPss:") {
            (value, &mut self.memory.swapped_bytes)
        } else {
            return;
        };
        // The file says kB and means KiB.
        let kib = words(value).next().and_then(parse_decimal);
        match kib.and_then(|kib| place.checked_add(kib.checked_mul(1024)?)) {
            Some(sum) => *place = sum,
            None => self.is_malformed = true,
        }
    }

    /// The sums; `None` if the file is not as the kernel writes it for a process that has memory.
    fn finish(self) -> Option<Proportional> {
        (self.has_memory && !self.is_malformed).then_some(self.memory)
    }
}

/// Parses a whole file in memory.
#[cfg(any(test, fuzzing))]
pub(super) fn parse(file: &[u8]) -> Option<Proportional> {
    let mut sum = Sum::default();
    file.split_inclusive(|byte| *byte == b'\n')
        .for_each(|line| sum.add(line));
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLED: &[u8] = b"55d3c0a00000-7ffd3f1f2000 ---p 00000000 00:00 0                          [rollup]\n\
        Rss:                5544 kB\nPss:                1234 kB\nPss_Dirty:           500 kB\nPss_Anon:            400 kB\n\
        Swap:                  9 kB\nSwapPss:               7 kB\nLocked:                0 kB\n";

    #[test]
    fn pss_and_swap_pss_of_a_rollup_are_parsed() {
        let expected = Proportional {
            resident_bytes: 1234 << 10,
            swapped_bytes: 7 << 10,
        };
        assert_eq!(parse(ROLLED), Some(expected));
    }

    #[test]
    fn mappings_of_a_full_file_are_added_up() {
        let mut file = ROLLED.to_vec();
        file.extend_from_slice(
            b"7f0000000000-7f0000001000 r--p 00000000 08:01 5 /x\\012Pss: 9 kB\nPss: 1 kB\n",
        );
        assert_eq!(parse(&file).unwrap().resident_bytes, 1235 << 10);
    }

    #[test]
    fn empty_file_and_bad_numbers_are_malformed() {
        for bad in [
            &b""[..],
            b"SwapPss: 1 kB\n",
            b"Pss:\n",
            b"Pss: -1 kB\n",
            b"Pss: 18446744073709551615 kB\n",
            b"Pss: 9007199254740991 kB\nPss: 18014398509481983 kB\nPss: 1 kB\n",
            b"Pss: 1 kB\nSwapPss: x kB\n",
            b"\xff\xfe",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}

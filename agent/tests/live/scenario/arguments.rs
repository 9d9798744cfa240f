//! Processes that overwrite their arguments.

use std::{fs, ptr};

use super::number;
use crate::process;

/// `COUNT PATTERN FILLER…`: overwrites all arguments with `PATTERN` (`nuls`, or `words`: x and NUL in turn), then as many
/// forks share them and wait until the input ends. Reports when all are there.
pub(super) fn overwritten(arguments: &[String]) {
    let (count, pattern) = (number(&arguments[0]), arguments[1].clone());
    overwrite(match pattern.as_str() {
        "nuls" => b"\0\0",
        "words" => b"x\0",
        _ => panic!("no pattern {pattern:?}"),
    });
    let members: Vec<i32> = (0..count)
        .map(|_| process::fork(|| while super::worker::read_line().is_some() {}))
        .collect();
    println!("ready {count}");
    while super::worker::read_line().is_some() {}
    for pid in members {
        process::reap(pid);
    }
}

/// Overwrites all arguments with `pattern`, as often as they have room.
pub(super) fn overwrite(pattern: &[u8]) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // Fields 48 and 49; the first one here is the third.
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [start, end] = [48, 49].map(|field| fields[field - 3].parse::<usize>().unwrap());
    let bytes: Vec<u8> = pattern
        .iter()
        .copied()
        .cycle()
        .take(end - start - 1)
        .collect();
    // SAFETY: the kernel says that this process's arguments are there, and no code here reads them any more.
    unsafe {
        let to = ptr::with_exposed_provenance_mut::<u8>(start);
        ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        *to.add(bytes.len()) = 0;
    }
}

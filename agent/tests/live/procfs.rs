//! The values of a process in `/proc/<pid>`.

use std::fs;
use std::path::PathBuf;

use crate::tier::TICK_NS;

/// One reading. Processes of several threads add up.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    pub(crate) voluntary: u64,
    pub(crate) nonvoluntary: u64,
    pub(crate) read_bytes: u64,
    pub(crate) write_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Reading {
    pub(crate) fn of(pid: i32) -> Self {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        let stat = text("stat");
        let field = |number| field(&stat, number);
        let (status, io) = (text("status"), text("io"));
        Self {
            user_ticks: field(14),
            system_ticks: field(15),
            resident_bytes: field(24) * page_bytes(),
            virtual_bytes: field(23),
            minor_faults: field(10),
            major_faults: field(12),
            voluntary: value(&status, "voluntary_ctxt_switches:"),
            nonvoluntary: value(&status, "nonvoluntary_ctxt_switches:"),
            read_bytes: value(&io, "read_bytes:"),
            write_bytes: value(&io, "write_bytes:"),
            threads: field(20),
            descriptors: fs::read_dir(folder.join("fd")).unwrap().count() as u64,
        }
    }
}

/// The time that a hypervisor took from the machine since its start (`steal` of `/proc/stat`), in nanoseconds.
pub(crate) fn taken_ns() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let ticks = text.lines().next().unwrap().split_whitespace().nth(8);
    ticks.unwrap().parse::<f64>().unwrap() * TICK_NS
}

/// CPUs that run tasks.
pub(crate) fn online_cpus() -> usize {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let lines = text.lines().filter(|line| line.starts_with("cpu"));
    // The first line is the sum of the others.
    lines.count() - 1
}

/// User and system time of a process's thread of this name, in ticks.
pub(crate) fn thread_ticks(pid: i32, name: &str) -> [u64; 2] {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let marker = format!(" ({name}) ");
    let stat = tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap())
        .find(|stat| stat.contains(&marker))
        .unwrap();
    [field(&stat, 14), field(&stat, 15)]
}

/// A field of `stat`, numbered as in the manual.
fn field(stat: &str, number: usize) -> u64 {
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // The first one behind the name is field 3.
    let word = fields.split(' ').nth(number - 3).unwrap();
    word.trim().parse().unwrap()
}

/// Of a file with a key and a number a line, in the unit that the line has (`kB` are KiB).
pub(crate) fn value(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.unwrap().split_whitespace().next();
    word.unwrap().parse().unwrap()
}

/// A process's memory without pages of files: of a program there are more or fewer, as the page cache likes it.
pub(crate) fn anonymous_bytes(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    value(&status, "RssAnon:") * 1024
}

fn page_bytes() -> u64 {
    // SAFETY: takes a number only.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

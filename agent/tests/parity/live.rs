//! Both programs side by side on this machine for a minute, under a mixed load of processes that live throughout: the
//! counters of both must grow by the same.
//!
//! Each of our scrapes stands between two of theirs, so a counter that only rises is bracketed. CPU time is shown in ticks by
//! them and precisely by us: a tick a process and reading may be between. The kernel divides it into user and system by the ticks
//! it saw, and it saw few before the first reading; time that this reading assigned to the wrong mode is missing there later.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::compare::{GROUP, samples};
use super::peer::Peer;
use super::support::agent::Launch;

/// How long both watch.
const WATCH: Duration = Duration::from_secs(60);
/// Seconds.
const TICK: f64 = 0.01;

/// Name, program, arguments, how many: busy in user mode, in the kernel, in both; writing to storage; asleep.
const LOAD: &[(&str, &str, &[&str], u32)] = &[
    ("pl-user", "sh", &["-c", "while :; do :; done"], 2),
    ("pl-both", "yes", &[], 1),
    ("pl-kernel", "cat", &["/dev/zero"], 1),
    (
        "pl-disk",
        "dd",
        &["if=/dev/zero", "of=FILE", "bs=512", "oflag=dsync"],
        1,
    ),
    ("pl-idle", "sleep", &["600"], 5),
];

const COUNTERS: &[&str] = &[
    "cpu_seconds_total",
    "read_bytes_total",
    "write_bytes_total",
    "major_page_faults_total",
    "minor_page_faults_total",
    "context_switches_total",
];

const GAUGES: &[&str] = &[
    "num_procs",
    "num_threads",
    "open_filedesc",
    "worst_fd_ratio",
    "oldest_start_time_seconds",
];

/// Processes that are killed when this is dropped.
struct Load {
    children: Vec<Child>,
    _files: tempfile::TempDir,
}

impl Load {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut load = Self {
            children: Vec::new(),
            _files: files,
        };
        let folder = load._files.path().to_owned();
        for (name, program, arguments, count) in LOAD {
            let path = folder.join(name);
            std::fs::copy(find(program), &path).unwrap();
            for _ in 0..*count {
                load.children
                    .push(begin(&path, arguments, &folder.join("data")));
            }
        }
        load
    }
}

fn begin(path: &Path, arguments: &[&str], data: &Path) -> Child {
    let arguments = arguments
        .iter()
        .map(|word| word.replace("FILE", &data.to_string_lossy()));
    let mut command = Command::new(path);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Another thread may have forked while the copy was open for writing; its child has the file open until it calls exec.
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
            spawned => return spawned.unwrap(),
        }
    }
}

fn find(program: &str) -> PathBuf {
    let folders = ["/usr/bin", "/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(program));
    found.into_iter().find(|path| path.exists()).unwrap()
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that ended by itself is a failure that the comparison shows.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Our scrape between two of theirs.
struct Reading {
    before: BTreeMap<String, f64>,
    ours: BTreeMap<String, f64>,
    after: BTreeMap<String, f64>,
}

#[test]
fn both_count_the_same_on_this_machine() {
    let _load = Load::start();
    let names: Vec<&str> = LOAD.iter().map(|(name, ..)| *name).collect();
    let yaml = format!(
        "process_names: [{{name: '{{{{.Comm}}}}', comm: [{}]}}]\n",
        names.join(", ")
    );
    let ours = Launch::new().config(&yaml).start();
    let theirs = Peer::on(Path::new("/proc"), &[], &yaml);
    let read = || Reading {
        before: samples(&theirs.scrape()),
        ours: samples(&ours.scrape().body),
        after: samples(&theirs.scrape()),
    };
    let first = read();
    std::thread::sleep(WATCH);
    let last = read();
    let mut complaints = Vec::new();
    let mut compared = 0;
    for (key, value) in &last.ours {
        let family = key.split('{').next().unwrap_or_default();
        let family = family.strip_prefix(GROUP).unwrap_or(family);
        let bounds = if COUNTERS.contains(&family) {
            counter(key, &first, &last)
        } else if GAUGES.contains(&family) {
            Some((*value, gauge(key, &last)))
        } else {
            None
        };
        let Some((found, (low, high))) = bounds else {
            continue;
        };
        compared += 1;
        if !(low..=high).contains(&found) {
            complaints.push(format!("{key}: {found}, theirs {low} to {high}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(
        compared,
        LOAD.len() * (8 + GAUGES.len()),
        "series are missing"
    );
}

/// The growth of ours, and the bounds that theirs allow.
fn counter(key: &str, first: &Reading, last: &Reading) -> Option<(f64, (f64, f64))> {
    let grown = last.ours.get(key)? - first.ours.get(key)?;
    let least = last.before.get(key)? - first.after.get(key)?;
    let most = last.after.get(key)? - first.before.get(key)?;
    let slack = if key.contains("cpu_seconds") {
        // Both ends of both programs' time are cut to ticks.
        2.0 * TICK * processes(key, last)? + cpu_time(key, &first.after)
    } else {
        0.0
    };
    Some((grown, (least - slack, most + slack)))
}

/// In both modes, of the group of `key`.
fn cpu_time(key: &str, of: &BTreeMap<String, f64>) -> f64 {
    let group = key.split(",mode=").next().unwrap_or_default();
    let modes = of.iter().filter(|(other, _)| other.starts_with(group));
    modes.map(|(_, seconds)| seconds).sum()
}

fn processes(key: &str, last: &Reading) -> Option<f64> {
    let from = key.find("groupname=")?;
    let label = key[from..].split([',', '}']).next()?;
    last.ours
        .get(&format!("{GROUP}num_procs{{{label}}}"))
        .copied()
}

/// Between theirs, whichever is larger.
fn gauge(key: &str, last: &Reading) -> (f64, f64) {
    let value = |of: &BTreeMap<String, f64>| of.get(key).copied().unwrap_or(f64::NAN);
    let (before, after) = (value(&last.before), value(&last.after));
    (before.min(after), before.max(after))
}

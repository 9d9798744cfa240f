//! The head of the report: how to read it, machine, versions, method.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;

use super::Bench;
use crate::{command, workspace};

const READING: &str = "\
## Reading and making this page

Each section under \"Figures\" is one load. A section has a table and, below it, the raw values that the table is made of. Empty columns are left out.

* `ratio` is headcount's figure as a share of the figure to its left: 1/142 means that the other program uses 142 times as much.
* `target` is the bound that the figure must keep; the last column says `met` or `MISSED`. A missed target is no failure of the command.
* Compare two versions on one machine, in one hour. Times vary with the machine and with the hour. Ratios and instruction counts vary less.

`cargo xtask bench` measures all sections and writes this page; `cargo xtask bench SECTION...` measures some and writes `target/bench/BENCH.md`. Either takes
`--output FILE`. It needs root, a machine without other load, and the two programs of Debian beside which it measures; it fetches those itself. Debian has no
promfetcher: `HEADCOUNT_PROMFETCHER` names one of 0.44 or older, for section `merge`; without it that section has no such column.
";

const METHOD: &str = "\
All programs run in the same minutes, one after the other or in turns, and nothing else is started beside them. Both group all processes by comm, but in `few`.

* CPU is user and system time of all threads by the process's CPU clock (`clock_getcpuclockid`), up to 250 ms after each scrape, because a garbage collector may
  run that late.
* Wall is the time from connecting to the last byte, uncompressed, over loopback.
* A figure made of many values is their median; p99 of few values is the second longest. MB are 10^6 bytes.
* Proportional memory is off in both programs unless a row says otherwise; process-exporter's threads are on.
* node_exporter runs with `--collector.disable-defaults --collector.processes`: it reads `stat` of each process and thread and shows sums of the node only.
* Instructions are those of user space. callgrind counts them in the agent's own code, over made-up bytes in the form of the records that the kernel programs
  write, without the kernel's part, `/proc` and HTTP.
* An answer of the fan-in is asked for with a deadline of 10 s. One server is all its instances and their router; it and the program that is measured have the two
  cores. Memory is the highest resident size in ten answers, less the size after the start. The merge alone has one thread, which is timed by its CPU.
* The kernel programs of network accounting see the sockets of the whole node, so rounds with and without them alternate, each with an agent of its own. The
  figure is the median of the pairs. The loads run on one CPU, in a network namespace that ends with the round. Scrapes with and without alternate, too; each
  agent rests for a second before, so that its next scrape looks at files. The kernel's memory is the growth of its `kmalloc` slabs when the sockets are made,
  less the same without an agent.
";

/// Everything above the tables.
pub(super) fn head(bench: &Bench) -> Result<String> {
    let mut text = format!("# Benchmarks\n\nWhat Headcount costs.\n\n{READING}\n## Where\n\n");
    text.push_str("| what | |\n| --- | --- |\n");
    for (what, value) in place(bench)? {
        let _ = writeln!(text, "| {what} | {value} |");
    }
    let _ = write!(text, "\n## How\n\n{METHOD}\n## Figures\n");
    Ok(text)
}

fn place(bench: &Bench) -> Result<Vec<(&'static str, String)>> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let line = |path: &str| read(path).lines().next().unwrap_or_default().to_owned();
    let value = |path: &str, key: &str, separator: char| {
        let text = read(path);
        let mut lines = text.lines().filter_map(|line| line.split_once(separator));
        let found = lines.find(|(name, _)| name.trim() == key);
        found.map_or_else(String::new, |(_, value)| {
            value.trim().trim_matches('"').to_owned()
        })
    };
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let tool = |name: &str| -> Result<String> {
        let output = command::read(Command::new(name).arg("--version"))?;
        Ok(output.lines().next().unwrap_or_default().to_owned())
    };
    Ok(vec![
        (
            "CPU",
            format!("{} of {}", cpus, value("/proc/cpuinfo", "model name", ':')),
        ),
        ("memory", value("/proc/meminfo", "MemTotal", ':')),
        ("kernel", line("/proc/sys/kernel/osrelease")),
        ("distribution", value("/etc/os-release", "PRETTY_NAME", '=')),
        ("load average at the start", line("/proc/loadavg")),
        ("when", date()?),
        ("headcount", tool(&bench.agent.to_string_lossy())?),
        ("commit", commit()?),
        ("compiler", tool("rustc")?),
        ("process-exporter", bench.peer.version.clone()),
        ("node_exporter", bench.node_exporter.version.clone()),
        (
            "promfetcher",
            bench
                .promfetcher
                .as_ref()
                .map_or("-".to_owned(), |peer| peer.version.clone()),
        ),
    ])
}

fn date() -> Result<String> {
    let output = command::read(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?;
    Ok(output.trim().to_owned())
}

/// The commit, and whether the tree differs from it.
fn commit() -> Result<String> {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude=*"]);
    let output = command::read(git.current_dir(workspace::root()))?;
    Ok(output.trim().to_owned())
}

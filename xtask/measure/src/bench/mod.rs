//! `cargo xtask bench [section]... [--output FILE]`: what the agent costs, beside what process-exporter and node_exporter's
//! collector `processes` cost.
//!
//! In: names of [`SECTIONS`], all of them without one. Out: tables on the terminal; all sections together write
//! `docs/dev/benchmarks.md`, chosen ones `target/bench/BENCH.md`, or either FILE. All programs run in the same minutes on this
//! machine, so ratios mean something where absolute figures do not. Debian has no promfetcher: the section `merge` is measured
//! beside one whose path is in `HEADCOUNT_PROMFETCHER`, and else without. CPU is what the kernel's process clocks say, in nanoseconds;
//! where many values were taken it is their median. Instructions are callgrind's, and the same on every run.
//!
//! It judges nothing: a missed target is a row that says so, not a failure. It needs root, for the kernel programs.

mod callgrind;
mod connections;
mod execs;
mod fan_in;
mod few;
mod generator;
mod idle;
mod load;
mod merge;
pub(crate) mod metrics;
mod network;
mod passenger;
mod programs;
mod replay;
mod report;
mod requests;
mod scrapes;
mod statistics;
pub(crate) mod subject;
mod switches;
mod table;
pub(crate) mod usage;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
pub(crate) use generator::{LOAD, main as load};
use subject::{Launch, Subject};
use table::Row;

use crate::peer::Peer;
use crate::{command, peer, setup, workspace};

struct Section {
    name: &'static str,
    what: &'static str,
    measure: fn(&Bench) -> Result<Vec<Row>>,
}

const SECTIONS: &[Section] = &[
    Section {
        name: "scrape",
        what: "5,000 idle and 50 busy processes, scrapes of both in turn",
        measure: scrapes::busy_node,
    },
    Section {
        name: "growth",
        what: "100, 1,000, 5,000 and 10,000 idle processes",
        measure: scrapes::growth,
    },
    Section {
        name: "bare",
        what: "10,000 idle processes, beside a program that only reads the task iterator and writes as many bytes",
        measure: scrapes::bare,
    },
    Section {
        name: "instructions",
        what: "instructions in user space, of made-up bytes of the iterator and the ring; 1 process in 100 has run, 1 in 50 has 8 threads",
        measure: replay::instructions,
    },
    Section {
        name: "merge",
        what: "made-up expositions of many instances in one body, alone and over HTTP",
        measure: merge::costs,
    },
    Section {
        name: "threads",
        what: "10,000 threads in one process",
        measure: scrapes::threads,
    },
    Section {
        name: "flags",
        what: "1,000 idle processes with threads and proportional memory shown or not",
        measure: scrapes::flags,
    },
    Section {
        name: "threaded",
        what: "300 idle processes of 20 threads each",
        measure: scrapes::threaded,
    },
    Section {
        name: "few",
        what: "`/proc` as the only source, 260 processes of which 6 are tracked, -threads=false, scrapes of both in turn",
        measure: few::tracked,
    },
    Section {
        name: "passenger",
        what: "0, 1 and 10 instances of Passenger with 20 processes each, which answer at once",
        measure: passenger::instances,
    },
    Section {
        name: "execs",
        what: "the agent's CPU while 10,000 programs start and end",
        measure: execs::cost,
    },
    Section {
        name: "slow-down",
        what: "fork, exec and exit with and without the agent, many short rounds",
        measure: execs::slow_down,
    },
    Section {
        name: "programs",
        what: "time of each kernel program",
        measure: execs::programs,
    },
    Section {
        name: "switches",
        what: "two processes on one CPU that take turns",
        measure: switches::cost,
    },
    Section {
        name: "network",
        what: "TCP over loopback with and without network accounting, in turns",
        measure: network::cost,
    },
    Section {
        name: "http",
        what: "wrk with nginx and Gunicorn, requests counted or not, in turns",
        measure: requests::cost,
    },
    Section {
        name: "idle",
        what: "a minute without scrapes",
        measure: idle::minute,
    },
];

/// All programs, ready to be started.
#[derive(Debug)]
pub(super) struct Bench {
    folder: PathBuf,
    agent: PathBuf,
    peer: Peer,
    node_exporter: Peer,
    promfetcher: Option<Peer>,
    config: PathBuf,
}

/// For both: every process with a command line, grouped by comm, as the agent does without a configuration.
const CONFIG: &str = "process_names:\n  - name: \"{{.Comm}}\"\n    cmdline:\n    - '.+'\n";

/// Hides the types from one program, whose path and arguments follow. Each step takes the place of the one before, so its
/// number is that of the program.
const WITHOUT_TYPES: &str = r#"#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/btf && mount -t tracefs none /sys/kernel/tracing && exec "$0" "$@"'"#;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Sections; without one, all
    #[arg(value_parser = PossibleValuesParser::new(SECTIONS.iter().map(|section| section.name)))]
    sections: Vec<String>,
    /// File for the tables. Without it, docs/dev/benchmarks.md for all sections, else target/bench/BENCH.md
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let is_chosen = |section: &&Section| match arguments.sections.as_slice() {
        [] => true,
        names => names.iter().any(|name| name == section.name),
    };
    let sections: Vec<&Section> = SECTIONS.iter().filter(is_chosen).collect();
    ensure!(
        setup::is_root(),
        "loading kernel programs needs root, and so does measuring them"
    );
    let bench = Bench::prepare()?;
    let is_whole = sections.len() == SECTIONS.len();
    let output = arguments.output.clone().unwrap_or_else(|| match is_whole {
        true => workspace::root().join("docs/dev/benchmarks.md"),
        false => bench.folder.join("BENCH.md"),
    });
    let mut text = report::head(&bench)?;
    for (n, section) in sections.iter().enumerate() {
        let Section { name, what, .. } = section;
        println!(
            "bench: section {}/{}: {name}: {what}",
            n + 1,
            sections.len()
        );
        let rows = (section.measure)(&bench).with_context(|| format!("section {name}"))?;
        let part = format!("\n### {name}: {what}\n\n{}", table::markdown(&rows));
        println!("{part}");
        text.push_str(&part);
        text.push_str(&table::raw(&rows));
        // After each section, so that an interrupted run leaves a report.
        std::fs::write(&output, &text).with_context(|| format!("write {}", output.display()))?;
    }
    println!("bench: the tables are in {}", output.display());
    Ok(())
}

impl Bench {
    fn prepare() -> Result<Self> {
        setup::ensure(setup::KERNEL_PROGRAMS)?;
        let mut cargo = workspace::cargo_with_ebpf();
        command::run(cargo.args(["build", "--release", "--package", "headcount"]))?;
        let folder = workspace::target_dir().join("bench");
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let config = folder.join("config.yaml");
        std::fs::write(&config, CONFIG).with_context(|| format!("write {}", config.display()))?;
        let peers = workspace::target_dir().join("peer");
        let node_exporter = workspace::target_dir().join("peer/node_exporter");
        Ok(Self {
            agent: workspace::target_dir().join("release/headcount"),
            peer: peer::fetch(&peer::PROCESS_EXPORTER, &peers)?,
            node_exporter: peer::fetch(&peer::NODE_EXPORTER, &node_exporter)?,
            promfetcher: peer::given("HEADCOUNT_PROMFETCHER")?,
            folder,
            config,
        })
    }

    /// A fresh agent that has taken its first pass.
    fn start_agent(&self, arguments: &[&str]) -> Result<Subject> {
        self.start("headcount", &self.agent, arguments)
    }

    /// The same where it cannot see the kernel's types, and has its programs on classic tracepoints.
    fn start_agent_without_types(&self, arguments: &[&str]) -> Result<Subject> {
        let script = self.folder.join("without-types");
        let text = format!("{WITHOUT_TYPES} {:?} \"$@\"\n", self.agent);
        std::fs::write(&script, text)
            .and_then(|()| std::fs::set_permissions(&script, Permissions::from_mode(0o700)))
            .with_context(|| format!("write {}", script.display()))?;
        self.start("headcount", &script, arguments)
    }

    /// Whether the agent has such a flag.
    fn knows_flag(&self, flag: &str) -> Result<bool> {
        let help = command::read(Command::new(&self.agent).arg("--help"))?;
        Ok(help.contains(flag))
    }

    /// A fresh process-exporter, smaps off.
    fn start_peer(&self, arguments: &[&str]) -> Result<Subject> {
        let all: Vec<&str> = arguments
            .iter()
            .copied()
            .chain(["-gather-smaps=false"])
            .collect();
        self.start("process-exporter", &self.peer.binary, &all)
    }

    fn start(&self, name: &str, binary: &Path, arguments: &[&str]) -> Result<Subject> {
        let config = format!("-config.path={}", self.config.display());
        let is_configured = arguments
            .iter()
            .any(|word| word.starts_with("-config.path="));
        let config = (!is_configured).then_some(config);
        let arguments = arguments.iter().copied().map(str::to_owned);
        let launch = Launch {
            name,
            binary,
            arguments: config.into_iter().chain(arguments).collect(),
            // process-exporter shows its landing page on every path it does not know.
            ready: "/health",
            processes: "namedprocess_namegroup_num_procs",
        };
        Subject::start(&launch, &self.folder)
    }

    /// A fresh node_exporter that counts processes and nothing else.
    fn start_node_exporter(&self) -> Result<Subject> {
        let arguments = ["--collector.disable-defaults", "--collector.processes"];
        let launch = Launch {
            name: "node_exporter",
            binary: &self.node_exporter.binary,
            arguments: arguments.map(str::to_owned).into(),
            ready: "/",
            processes: "node_processes_pids",
        };
        Subject::start(&launch, &self.folder)
    }
}

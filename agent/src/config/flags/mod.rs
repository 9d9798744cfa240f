//! The flags: names, defaults and allowed values.
//!
//! In: the words of the command line. Out: [`Flags`], or a [`FlagError`] with the text to print and the exit code.
//! Spelling as in process-exporter: one dash or two, and the last occurrence wins. Environment variables are not
//! read.

mod gunicorn;
mod http;
mod network;
mod parse;
mod passenger;
#[cfg(test)]
mod tests;
mod web;

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
pub use gunicorn::GunicornFlags;
pub use http::HttpFlags;
pub use network::NetworkFlags;
pub use parse::FlagError;
pub(super) use parse::parse;
pub use passenger::PassengerFlags;
pub use web::WebFlags;

use super::grouping::Grouping;
use super::logging::{Format, Level};
use crate::go::duration;
use crate::go::flag::parse_bool;

/// Source of the accounting data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Accounting {
    /// The best source that this kernel supports.
    #[default]
    Auto,
    /// Kernel programs at fork, exec and exit, and the task iterator.
    Iterator,
    /// A kernel program at every context switch.
    Switch,
    /// `/proc` only.
    Procfs,
}

/// The request on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "headcount",
    about = "What each group of processes on this node costs, for Prometheus",
    disable_version_flag = true,
    args_override_self = true,
    after_help = "Every flag may be written with one dash or two.\n\n\
        headcount check FILE        looks for mistakes in a configuration file\n\
        headcount list              prints the group of each process\n\
        headcount targets           prints the instances that fan-in would ask"
)]
pub struct Flags {
    /// Configuration file (YAML, as process-exporter reads it); without one, every process with a command line is
    /// grouped by its task name
    #[arg(long = "config.path", value_name = "FILE", value_parser = path_or_none)]
    config_path: Option<PathBuf>,
    /// Without a configuration file: task names (15 characters at most), separated by commas; each name is a group
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    procnames: String,
    /// Without a configuration file: pairs of task name and regular expression, separated by commas. A process with such a
    /// task name is in the group NAME:TEXT, where TEXT is the first capture of the expression that is not empty
    #[arg(
        long,
        value_name = "PAIRS",
        default_value = "",
        hide_default_value = true
    )]
    namemapping: String,
    /// Put a process that matches nothing into the group of its nearest ancestor that is in a group
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", value_parser = parse_bool)]
    pub children: bool,
    /// With /proc as the only source, classify the processes in no group again at each scrape. With kernel programs this is
    /// not needed: they report each exec
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = parse_bool)]
    recheck: bool,
    /// Like --recheck, but only for processes that started less than this long ago; 0 turns it off
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration::parse)]
    recheck_with_time_limit: Duration,
    /// Remove a group and its counters when a scrape finds no process in it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = parse_bool)]
    pub remove_empty_groups: bool,
    /// Where procfs is mounted
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,
    /// Root of the host's file system, for user names
    #[arg(long = "path.rootfs", value_name = "DIR", default_value = "/")]
    pub rootfs: PathBuf,
    /// Source of the accounting data
    #[arg(long, value_enum, value_name = "SOURCE", default_value_t)]
    pub accounting: Accounting,
    /// Size of the kernel's event buffer in bytes: a power of two, at least one page
    #[arg(long = "accounting.ring-bytes", value_name = "BYTES", default_value = "1048576", value_parser = ring_bytes)]
    pub ring_bytes: u32,
    /// Number of processes whose usage the kernel can sum up while the event buffer is full
    #[arg(long = "accounting.overflow-entries", value_name = "N", default_value = "8192",
        value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub overflow_entries: u32,
    /// Maximum number of groups; processes of further groups are counted in the group "other"
    #[arg(long = "max-groups", value_name = "N", default_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub max_groups: u32,
    /// Export metrics of threads by name, for processes with several threads
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true", value_parser = parse_bool)]
    pub threads: bool,
    /// Read the proportional memory of processes (smaps_rollup), in a thread beside the scrapes
    #[arg(long = "gather-smaps", value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_value = "true", default_missing_value = "true", value_parser = parse_bool)]
    pub gather_smaps: bool,
    /// CPU time per scrape for reading proportional memory. Scrapes that come more than once a second share one budget for 5 s.
    /// Processes for which the budget is not enough wait for the next one
    #[arg(long = "smaps.budget", value_name = "DURATION", default_value = "50ms", value_parser = budget)]
    pub smaps_budget: Duration,
    /// Export a histogram of the time that threads wait for a CPU, by group; needs the kernel programs, and adds a cost to each
    /// context switch
    #[arg(long = "collector.runqueue", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_parser = parse_bool)]
    pub collector_runqueue: bool,
    /// The payload of sockets.
    #[command(flatten)]
    pub network: NetworkFlags,
    /// HTTP requests.
    #[command(flatten)]
    pub http: HttpFlags,
    /// Applications of Gunicorn.
    #[command(flatten)]
    pub gunicorn: GunicornFlags,
    /// Instances of Phusion Passenger.
    #[command(flatten)]
    pub passenger: PassengerFlags,
    /// Listeners, TLS and access control.
    #[command(flatten)]
    pub web: WebFlags,
    /// Do not listen: take two passes over the processes, this long apart, print the metrics and exit; 0 serves as usual
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = duration::parse)]
    pub once_to_stdout_delay: Duration,
    /// Lowest level of the lines that are logged
    #[arg(long = "log.level", value_enum, value_name = "LEVEL", default_value_t)]
    log_level: Level,
    /// Log the group of each process, the reason, and its arguments; the same as --log.level=debug
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = parse_bool)]
    debug: bool,
    /// Format of the log lines
    #[arg(
        long = "log.format",
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub log_format: Format,
    /// Print the manual and exit
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_parser = parse_bool)]
    man: bool,
    /// Print the version and exit
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_parser = parse_bool)]
    version: bool,
}

impl Flags {
    /// Parses the words after the program's name.
    ///
    /// # Errors
    /// The words ask for help, the manual or the version, or are not valid.
    pub(super) fn parse(words: Vec<OsString>) -> Result<Self, FlagError> {
        let flags: Self = parse("headcount", words.into_iter())?;
        let text = match (flags.version, flags.man) {
            (true, _) => format!("headcount {}", env!("CARGO_PKG_VERSION")),
            (false, true) => include_str!("../manual.txt").trim_end().to_owned(),
            (false, false) => return Ok(flags),
        };
        Err(FlagError { code: 0, text })
    }

    /// The source of the groups. An empty value counts as absent.
    ///
    /// # Errors
    /// Both a file and names are given, which contradict each other.
    pub fn grouping(&self) -> Result<Grouping<'_>, String> {
        let path = self.config_path.as_deref().unwrap_or(Path::new(""));
        Grouping::of(path, &self.procnames, &self.namemapping)
    }

    /// Age up to which processes in no group are checked again, in the tier that does not see execs; `None`: never.
    pub fn recheck(&self) -> Option<Duration> {
        match self.recheck_with_time_limit {
            // As in process-exporter, which remembers unmatched processes only after it has checked their ancestors,
            // too.
            _ if !self.children => Some(Duration::MAX),
            Duration::ZERO => self.recheck.then_some(Duration::MAX),
            limit => Some(limit),
        }
    }

    /// Lowest level of the lines that are logged.
    pub fn log_level(&self) -> Level {
        if self.debug {
            Level::Debug
        } else {
            self.log_level
        }
    }
}

/// An empty path counts as absent, as in process-exporter; clap's own parser would refuse it.
pub(super) fn path_or_none(text: &str) -> Result<PathBuf, Infallible> {
    Ok(PathBuf::from(text))
}

fn budget(text: &str) -> Result<Duration, String> {
    let budget = duration::parse(text)?;
    if budget.is_zero() {
        return Err(
            "expected a duration above 0; to read no proportional memory, use -gather-smaps=false"
                .to_owned(),
        );
    }
    Ok(budget)
}

fn ring_bytes(text: &str) -> Result<u32, String> {
    let page = u32::try_from(procfs::page_size()).unwrap_or(1 << 16);
    text.parse()
        .ok()
        .filter(|bytes: &u32| bytes.is_power_of_two() && *bytes >= page)
        .ok_or_else(|| {
            format!(
                "expected a power of two of at least one page ({page} bytes) and at most 2147483648"
            )
        })
}

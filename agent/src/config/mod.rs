//! Configuration: turns YAML and flags into typed values; errors name the file, the line and the expected value.
//!
//! In: the words of the command line and the configuration file. Out: [`Flags`] and [`Config`], which hold the text
//! as typed, with its lines. [`crate::group`] compiles the regular expressions and name templates in them, and
//! reports its errors through [`Config::invalid`], so that these name a line too.
//!
//! Left to others: matching processes and watching the file. Environment variables are not read.

mod allowed_paths;
mod broker;
mod command;
mod document;
mod error;
mod exporters;
mod fan_in;
pub mod flags;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gorouters;
mod grouping;
pub mod host_name;
mod host_port;
mod item;
mod labels;
mod limiter;
mod listen;
pub mod logging;
mod nats;
mod problems;
mod read;
mod scrape;
mod suggest;
pub mod web;
pub(crate) mod yaml;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

pub use allowed_paths::PathRule;
pub use broker::BrokerConfig;
pub use command::{Command, ListFlags, TargetsFlags};
pub use error::{ConfigError, Fault, Warning};
pub use exporters::{ExporterConfig, ExporterTags, ParamValue};
pub use fan_in::{FanInConfig, FanInLimits};
pub use flags::{Accounting, FlagError, Flags};
pub use gorouters::GorouterConfig;
pub use grouping::Grouping;
pub use host_port::HostPort;
pub use item::{Item, Key, Label, MAX_LABELS, OWN_LABELS, ScrapeConfig, ScrapePort, Text};
pub use listen::{ListenAddress, ListenHost, TcpAddress};
pub use nats::{NatsConfig, NatsServerConfig};
pub(crate) use problems::{excerpt, excerpt_of};
pub use web::WebConfig;

/// Number of warnings that get a log line each.
const SHOWN_WARNINGS: usize = 4;

/// The content of a configuration file, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The file; `None` for the built-in configuration.
    pub path: Option<PathBuf>,
    /// Items in file order: the first that matches a process wins.
    pub items: Vec<Item>,
    /// The section `fan_in`; `None` without one.
    pub fan_in: Option<FanInConfig>,
    /// Accepted values that are probably mistakes.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// The configuration without a file: every process with a command line, grouped by its task name.
    pub fn built_in() -> Self {
        let text = |text: &str| Text {
            text: text.to_owned(),
            line: 1,
        };
        let item = Item {
            line: 1,
            name: Some(text("{{.Comm}}")),
            cmdline: Some(vec![text(".+")]),
            ..Item::default()
        };
        Config {
            items: vec![item],
            ..Config::default()
        }
    }

    /// Reads and parses the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is not regular text of at most 1 MiB, is not YAML, or has a value of the wrong type.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        document::parse(path, &read::read_config(path)?)
    }

    /// Parses `text` as the content of the file `path`.
    ///
    /// # Errors
    /// The same as [`Config::load`], except those of reading.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        document::parse(path, text)
    }

    /// The warnings as log lines, limited to the number that one call site may log at once: the last line sums up the
    /// rest.
    pub fn warning_lines(&self) -> Vec<String> {
        let (shown, rest) = self
            .warnings
            .split_at(self.warnings.len().min(SHOWN_WARNINGS));
        let mut lines: Vec<_> = shown.iter().map(Warning::to_string).collect();
        if let [first, ..] = rest {
            let places: Vec<_> = rest.iter().map(|one| one.line.to_string()).collect();
            lines.push(format!(
                "{}: further keys are unknown or repeated, or further values have tags, in lines {}",
                first.path.display(),
                places.join(", ")
            ));
        }
        lines
    }

    /// An error about the value of `key` in item number `item` (from 0), element `index` of a list, with its line.
    /// For the code that compiles the items.
    pub fn invalid(
        &self,
        item: usize,
        key: Key,
        index: Option<usize>,
        what: &'static str,
        cause: impl fmt::Display,
    ) -> ConfigError {
        let typed = self.items.get(item).and_then(|item| item.text(key, index));
        ConfigError::Invalid {
            path: self
                .path
                .clone()
                .unwrap_or_else(|| PathBuf::from("built-in configuration")),
            line: typed.map_or(1, |text| text.line),
            item: item + 1,
            key,
            what,
            text: typed.map_or(String::new(), |text| beginning(&text.text)),
            cause: beginning(&cause.to_string()),
        }
    }
}

/// The beginning of a text of up to 1 MiB: long enough to find it in the file, short enough for a log line.
fn beginning(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

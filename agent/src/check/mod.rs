//! `headcount check`: reports mistakes in a configuration file, and entries that probably do not mean what their author thinks.
//!
//! In comes a path; out go findings, each with its line and a remedy. Mistakes that a run refuses or warns of come from `config`
//! and `group`. The other findings are about entries that a run accepts, as process-exporter does, but that do not do what they
//! seem to. Nothing that is right in a configuration of any good style is a finding: users ignore warnings that are often wrong.

mod alternatives;
mod entries;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod name;
mod reach;

use std::collections::HashSet;
use std::path::Path;

use crate::config::{Config, ConfigError, Fault, Warning};
use crate::group;

/// Largest number of findings that are shown one by one.
const SHOWN: usize = 200;

/// Result of checking a file.
#[derive(Debug)]
pub struct Report {
    /// One line each, in the order of the file.
    pub findings: Vec<String>,
    /// Items in the file.
    pub items: usize,
}

/// A finding about a line of the file.
#[derive(Debug)]
struct Finding {
    line: usize,
    what: String,
}

/// Checks the file.
pub fn check(path: &Path) -> Report {
    match Config::load(path) {
        Ok(config) => report(path, &config),
        Err(error) => Report {
            findings: vec![error.to_string()],
            items: 0,
        },
    }
}

fn report(path: &Path, config: &Config) -> Report {
    let at = |line: usize, what: String| Finding {
        line,
        what: format!("{}:{line}: {what}", path.display()),
    };
    let whole = |error: &ConfigError| Finding {
        line: error.line(),
        what: error.to_string(),
    };
    let review = group::review(config);
    let mut findings: Vec<Finding> = review.errors.iter().map(whole).collect();
    findings.extend(config.warnings.iter().map(|warning| Finding {
        line: warning.line,
        what: match warning.fault {
            Fault::Unknown { suggestion: None } => format!("{warning}; remove it"),
            Fault::Unknown { .. } | Fault::Tag { .. } => warning.to_string(),
            Fault::Repeated { .. } => format!("{warning}; remove the others"),
        },
    }));
    if config.items.is_empty() {
        let what =
            "there is no item in process_names, so no process is in a group; add one".to_owned();
        findings.push(at(1, what));
    }
    for doubt in review.doubts {
        let item = &config.items[doubt.item];
        let typed = item.text(doubt.key, doubt.number);
        let line = typed.map_or(item.line, |text| text.line);
        let what = format!("{}: {}: {}", called(doubt.item), doubt.key, doubt.what);
        findings.push(at(line, what));
    }
    let is_tag = |warning: &&Warning| matches!(warning.fault, Fault::Tag { .. });
    let tagged = config.warnings.iter().filter(is_tag);
    let tagged: HashSet<usize> = tagged.map(|warning| warning.line).collect();
    for (index, item) in config.items.iter().enumerate() {
        // The rest of a text that was taken for a tag is no further mistake.
        let entries = entries::remarks(item).filter(|(line, _)| !tagged.contains(line));
        let entries = entries.chain(alternatives::remark(item));
        for (line, what) in entries.chain(reach::remark(config, index)) {
            findings.push(at(line, format!("{}: {what}", called(index))));
        }
    }
    findings.sort_by_key(|finding| finding.line);
    Report {
        findings: bounded(findings),
        items: config.items.len(),
    }
}

fn called(index: usize) -> String {
    format!("item {} of process_names", index + 1)
}

fn bounded(findings: Vec<Finding>) -> Vec<String> {
    let more = findings.len().saturating_sub(SHOWN);
    let lines = findings.into_iter().map(|finding| finding.what);
    let mut lines: Vec<String> = lines.take(SHOWN).collect();
    if more > 0 {
        lines.push(format!("{more} more; correct these first"));
    }
    lines
}

#[cfg(test)]
mod mistakes_tests;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;

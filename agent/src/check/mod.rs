//! `headcount check`: reports mistakes in a configuration file, and entries that probably do not mean what their author thinks.
//!
//! In comes a path; out go findings, each with its line and a remedy. Mistakes that a run refuses or warns of come from `config`
//! and `group`. The other findings are about entries that a run accepts, as process-exporter does, but that have another effect
//! than they seem to have. Nothing that is right in a configuration of any good style is a finding: users ignore warnings that
//! are often wrong. Findings about the files that `fan_in` names stand last.

mod alternatives;
mod entries;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod name;
mod promfetcher;
mod reach;

use std::collections::HashSet;
use std::path::Path;

use crate::config::{Config, ConfigError, Fault, Warning};
use crate::group;
use crate::targets::fan_in::survey::FanInSurvey;

/// Largest number of findings that are shown one by one.
const SHOWN: usize = 200;

/// Keys of promfetcher's configuration, and the keys with the same effect here.
const PROMFETCHER: [(&str, &str); 9] = [
    (
        "gorouters",
        "write fan_in: {gorouters: [{url: \"http://HOST:PORT/routes\", username: USER, password_file: FILE}]}",
    ),
    (
        "broker",
        "write fan_in: {broker: {username: USER, password_file: FILE}}; its ids are those of promfetcher unless you set service_id and plan_id",
    ),
    (
        "db_conn",
        "write the rows of its table app_endpoints as JSON into the file of fan_in: {broker: {file: FILE}}",
    ),
    ("external_exporters", "move it below fan_in, as it is"),
    (
        "nats",
        "write fan_in: {nats: {servers: [\"nats://HOST:PORT\"], username: USER, password_file: FILE}}",
    ),
    ("port", "use the flag --web.listen-address=:PORT"),
    ("enable_ssl", "use the flag --web.config.file"),
    (
        "tls_pem",
        "use the flag --web.config.file, and write tls_server_config: {cert_file: FILE, key_file: FILE} there",
    ),
    ("logging", "use the flags --log.level and --log.format"),
];

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
        Ok(config) => {
            let mut report = report(path, &config);
            if let Some(fan_in) = &config.fan_in {
                let problems = FanInSurvey::of(fan_in).problems;
                report.findings.extend(problems.into_iter().take(SHOWN));
            }
            report
        }
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
            Fault::Unknown { suggestion: None } => {
                let mut keys = PROMFETCHER.iter().chain(&promfetcher::FURTHER);
                let instead = keys.find(|(key, _)| *key == warning.key);
                let remedy = instead.map_or("remove it", |(_, instead)| *instead);
                format!("{warning}; {remedy}")
            }
            Fault::Unknown { .. } | Fault::Tag { .. } | Fault::Elsewhere { .. } => {
                warning.to_string()
            }
            Fault::Repeated { .. } => format!("{warning}; remove the others"),
        },
    }));
    if config.items.is_empty() {
        let what =
            "there is no item in process_names, so no process is in a group; add one".to_owned();
        findings.push(at(1, what));
    }
    if let Some(fan_in) = &config.fan_in
        && !fan_in.has_source()
    {
        let what = "fan_in names no source of instances, so nothing is asked; write routes_file, file_sd, gorouters, nats, or scrape in an item";
        findings.push(at(fan_in.line, what.to_owned()));
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

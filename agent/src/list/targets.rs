//! `headcount targets`: the instances and external exporters that fan-in would ask now, and why.

use std::time::Instant;

use super::lines::lines;
use crate::config::FanInConfig;
use crate::targets::fan_in::survey::FanInSurvey;

const HEAD: [&str; 6] = [
    "ROUTE",
    "ASKED AT",
    "APPLICATION",
    "FOUND BY",
    "UNTIL",
    "SOURCE",
];
/// Largest width of each column except the last, which takes the rest.
const WIDEST: [usize; 5] = [48, 64, 48, 16, 10];

/// The instances in lines of `width` columns, and what it leaves out, each a line.
pub fn targets(fan_in: &FanInConfig, width: usize) -> (String, Vec<String>) {
    let survey = FanInSurvey::of(fan_in);
    let now = Instant::now();
    let rows = survey.entries.iter().map(|entry| {
        let application = &entry.instance.application;
        let names = [
            &application.organization_name,
            &application.space_name,
            &application.name,
        ];
        let names = names.into_iter().filter(|name| !name.is_empty());
        let names = names.map(String::as_str).collect::<Vec<_>>().join("/");
        vec![
            entry.route.clone(),
            entry.url(),
            if names.is_empty() {
                "-".to_owned()
            } else {
                names
            },
            entry.found_by().to_owned(),
            entry.until(now),
            entry.file.display().to_string(),
        ]
    });
    let exporters = fan_in.external_exporters.iter().map(|exporter| {
        let (url, source) = (
            exporter.url(),
            format!("external exporter {}", exporter.name),
        );
        let cells = ["*", &url, "each", "all", "always", &source];
        cells.map(str::to_owned).to_vec()
    });
    let head = HEAD.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).chain(exporters).collect();
    let not_asked = survey
        .not_asked
        .iter()
        .map(|url| format!("{url}: not asked; only an agent asks it"));
    let processes = fan_in.asks_processes.then(|| {
        "processes of items with scrape: only an agent finds them; headcount_fan_in_processes counts them by outcome".to_owned()
    });
    let remarks = survey
        .problems
        .into_iter()
        .chain(not_asked)
        .chain(processes);
    (lines(&rows, &WIDEST, width), remarks.collect())
}

//! Merged expositions: `promtool` must find no problem in them that it does not find in the bodies of single instances.

use std::collections::BTreeSet;

use headcount::merge::{BodyFormat, LabelConflict, MergeRules, ScrapedBody, merge};

use super::prometheus::said_of_metrics;

const NODE: &str = include_str!("../fixtures/expositions/node_exporter-1.5.0.txt");
const PROMETHEUS: &str = include_str!("../fixtures/expositions/prometheus-2.42.0.txt");
const PYTHON: [&str; 2] = [
    include_str!("../fixtures/expositions/prometheus_client-0.16.0-0.txt"),
    include_str!("../fixtures/expositions/prometheus_client-0.16.0-1.txt"),
];
/// The same bodies in OpenMetrics, which `promtool` cannot read.
const OPEN_METRICS: [&str; 2] = [
    include_str!("../fixtures/expositions/prometheus_client-0.16.0-0.openmetrics"),
    include_str!("../fixtures/expositions/prometheus_client-0.16.0-1.openmetrics"),
];
const HISTOGRAM: &str = "# HELP x Times.\n# TYPE x histogram\n\
                         x_bucket{le=\"1\"} 1\nx_bucket{le=\"+Inf\"} 2\nx_sum 3\nx_count 2\n";
const SUMMARY: &str =
    "# HELP x Times.\n# TYPE x summary\nx{quantile=\"0.5\"} 1\nx_sum 3\nx_count 2\n";
const GAUGE: &str = "# HELP x Things.\n# TYPE x gauge\nx 1\n";
const PART: &str = "# HELP x_count Things.\n# TYPE x_count gauge\nx_count 1\n";

/// Fails if `promtool` reports a problem for the merge of `given` that it does not report for a body of `alone`.
fn check_merge(given: &[&str], alone: &[&str]) {
    let labels: Vec<_> = (0..given.len())
        .map(|n| [("instance".to_owned(), format!("\"{n}\\"))])
        .collect();
    let answers: Vec<_> = given
        .iter()
        .zip(&labels)
        .map(|(body, labels)| ScrapedBody {
            labels,
            without: &[],
            keeps_labels: false,
            body: body.as_bytes(),
            format: if body.ends_with("# EOF\n") {
                BodyFormat::OpenMetrics
            } else {
                BodyFormat::Text
            },
        })
        .collect();
    let rules = MergeRules {
        label_conflict: LabelConflict::Exported,
        keeps_timestamps: false,
        most_bytes: usize::MAX,
    };
    let merged = merge(&answers, &rules);
    assert!(merged.instances.iter().all(|one| one.malformed.is_none()));
    let known: BTreeSet<String> = alone
        .iter()
        .flat_map(|body| lines(&said_of_metrics(body)))
        .collect();
    let said = lines(&said_of_metrics(std::str::from_utf8(&merged.body).unwrap()));
    let new: Vec<_> = said.difference(&known).collect();
    assert!(new.is_empty(), "{new:#?}");
}

fn lines(said: &str) -> BTreeSet<String> {
    said.lines().map(str::to_owned).collect()
}

#[test]
fn merged_bodies_have_no_new_problem_for_promtool() {
    assert!(lines(&said_of_metrics(NODE)).len() > 20, "{NODE}");
    check_merge(&[NODE], &[NODE]);
    check_merge(&[NODE, PROMETHEUS, NODE], &[NODE, PROMETHEUS]);
    check_merge(&PYTHON, &PYTHON);
    check_merge(&OPEN_METRICS, &PYTHON);
    check_merge(
        &[PYTHON[0], OPEN_METRICS[1], PROMETHEUS],
        &[PYTHON[0], PYTHON[1], PROMETHEUS],
    );
}

#[test]
fn bodies_with_conflicting_types_have_no_new_problem_for_promtool() {
    let bodies = [HISTOGRAM, SUMMARY, GAUGE, PART];
    for first in bodies {
        for second in bodies {
            check_merge(&[first, second], &[first, second]);
        }
    }
    check_merge(&bodies, &bodies);
}

//! Bodies of real exporters: Debian's node_exporter 1.5.0, Prometheus 2.42.0, and an application with the Python client 0.16.0,
//! which has a metric of every type, in both formats.

use super::*;

const NODE: &str = include_str!("../../../tests/fixtures/expositions/node_exporter-1.5.0.txt");
const PROMETHEUS: &str = include_str!("../../../tests/fixtures/expositions/prometheus-2.42.0.txt");
const TEXTS: [&str; 2] = [
    include_str!("../../../tests/fixtures/expositions/prometheus_client-0.16.0-0.txt"),
    include_str!("../../../tests/fixtures/expositions/prometheus_client-0.16.0-1.txt"),
];
const OPEN_METRICS: [&str; 2] = [
    include_str!("../../../tests/fixtures/expositions/prometheus_client-0.16.0-0.openmetrics"),
    include_str!("../../../tests/fixtures/expositions/prometheus_client-0.16.0-1.openmetrics"),
];

/// The lines of a body, sorted.
fn lines(body: &str) -> Vec<&str> {
    let mut lines: Vec<_> = body.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn each_line_of_a_real_body_stays() {
    for body in [NODE, PROMETHEUS, TEXTS[0]] {
        let merged = alone(body);
        assert_eq!(lines(text(&merged)), lines(body));
        assert_eq!(merged.type_conflicts, 0);
    }
}

#[test]
fn open_metrics_become_the_text_that_the_python_client_writes() {
    let [from_text, from_open_metrics] =
        [TEXTS, OPEN_METRICS].map(|bodies| numbered(&bodies, &RULES));
    assert_eq!(text(&from_open_metrics), text(&from_text));
    assert_eq!(from_open_metrics.type_conflicts, 0);
    for (body, outcome) in OPEN_METRICS.iter().zip(&from_open_metrics.instances) {
        let exemplars = body.lines().filter(|line| line.contains(" # {")).count();
        assert_eq!(outcome.exemplars, exemplars as u64);
    }
    let mixed = numbered(&[TEXTS[0], OPEN_METRICS[1]], &RULES);
    assert_eq!(text(&mixed), text(&from_text));
}

//! Fuzz target for configuration files with any content.

use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};

use super::report;
use crate::config::Config;
use crate::config::fuzzing::lines;
use crate::group::fuzzing::{Subject, halves};
use crate::group::{BootTime, Classifier, MAX_NAME, Verdict, review};

/// Checks a configuration, a NUL and a process: `check` reports a finding for every configuration that a run refuses, each
/// finding has a line of the file, and the result for the process is bounded.
pub(crate) fn configuration(input: &[u8]) {
    let Some((text, rest)) = halves(input) else {
        return;
    };
    let path = Path::new("c.yml");
    let lines = lines(text);
    let config = match Config::parse(path, text) {
        Ok(config) => config,
        Err(error) => {
            assert!((1..=lines).contains(&error.line()), "{error}");
            assert!(error.to_string().len() < 4096);
            return;
        }
    };
    let compiled = Classifier::new(&config);
    assert_eq!(compiled.is_ok(), review(&config).errors.is_empty());
    let report = report(path, &config);
    assert_eq!(report.items, config.items.len());
    assert!(compiled.is_ok() || !report.findings.is_empty());
    for finding in &report.findings {
        assert!(
            finding.starts_with("c.yml:") || finding.ends_with("correct these first"),
            "{finding}"
        );
        assert!(finding.len() < 8192, "{} bytes", finding.len());
    }
    assert!(
        config
            .warnings
            .iter()
            .all(|warning| (1..=lines).contains(&warning.line))
    );
    let (Ok(classifier), Ok(subject)) =
        (compiled, Subject::arbitrary(&mut Unstructured::new(rest)))
    else {
        return;
    };
    classify(&config, &classifier, &subject);
}

fn classify(config: &Config, classifier: &Classifier, subject: &Subject<'_>) {
    let facts = subject.facts();
    let first = classifier.misses(&facts).position(|miss| miss.is_none());
    let verdict = classifier.classify(&facts, BootTime::default());
    let decided = match &verdict {
        Verdict::Unmatched => None,
        Verdict::Excluded { item } => Some((*item, true)),
        Verdict::Member(placement) => {
            assert!(placement.name.len() <= MAX_NAME);
            let is_label = |value: &str| (1..=MAX_NAME).contains(&value.len());
            assert!(placement.labels.iter().all(|(_, value)| is_label(value)));
            Some((placement.item, false))
        }
    };
    assert_eq!(
        decided,
        first.map(|item| (item, config.items[item].exclude))
    );
    assert_eq!(classifier.classify(&facts, BootTime::default()), verdict);
}

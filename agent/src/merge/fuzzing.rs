//! Fuzz target: merges arbitrary bodies, and merges the result again.

use std::collections::BTreeSet;

use super::{BodyFormat, InstanceOutcome, LabelConflict, MergeRules, ScrapedBody, merge};

/// Splits the bodies from each other in an input.
const SEPARATOR: u8 = 0xFF;

/// Asserts that each series is counted once, that a plain reader finds as many series as were counted as written, no two of them
/// equal, and that the merged body does not change if it is merged alone and without labels.
pub(crate) fn merge_bodies(input: &[u8]) {
    let Some((flags, bodies)) = input.split_first() else {
        return;
    };
    let flag = |bit: u32| flags >> bit & 1 == 1;
    let labels = |n: usize| {
        let value = if flag(0) {
            n.to_string()
        } else {
            "\"\\".to_owned()
        };
        vec![
            ("instance".to_owned(), value),
            ("app".to_owned(), String::new()),
        ]
    };
    let bodies: Vec<_> = bodies.split(|byte| *byte == SEPARATOR).collect();
    let labels: Vec<_> = (0..bodies.len()).map(labels).collect();
    let ends_as_open_metrics = |body: &[u8]| body.ends_with(b"# EOF") || body.ends_with(b"# EOF\n");
    let answers: Vec<ScrapedBody<'_>> = bodies
        .iter()
        .zip(&labels)
        .map(|(body, labels)| ScrapedBody {
            labels: if flag(1) { labels } else { &[] },
            without: if flag(5) { &["index", "le"] } else { &[] },
            keeps_labels: flag(6),
            body,
            format: match ends_as_open_metrics(body) {
                true => BodyFormat::OpenMetrics,
                false => BodyFormat::Text,
            },
        })
        .collect();
    let rules = MergeRules {
        label_conflict: match flag(2) {
            true => LabelConflict::Exported,
            false => LabelConflict::Overwrite,
        },
        keeps_timestamps: flag(3),
        most_bytes: if flag(4) {
            bodies.concat().len()
        } else {
            usize::MAX
        },
    };
    let merged = merge(&answers, &rules);
    assert!(merged.body.len() <= rules.most_bytes);
    for (answer, outcome) in answers.iter().zip(&merged.instances) {
        check_counts(answer, outcome);
    }
    let written: u64 = merged.instances.iter().map(|outcome| outcome.series).sum();
    let text = std::str::from_utf8(&merged.body).expect("UTF-8");
    assert_eq!(read(text), written);

    let again = ScrapedBody {
        labels: &[],
        without: &[],
        keeps_labels: false,
        body: &merged.body,
        format: BodyFormat::Text,
    };
    let rules = MergeRules {
        keeps_timestamps: true,
        most_bytes: usize::MAX,
        ..rules
    };
    let again = merge(&[again], &rules);
    assert_eq!(std::str::from_utf8(&again.body), Ok(text));
    let expected = InstanceOutcome {
        series: written,
        ..InstanceOutcome::default()
    };
    assert_eq!(
        (again.type_conflicts, &*again.instances),
        (0, &[expected][..])
    );
}

/// Each line of a series is counted once.
fn check_counts(answer: &ScrapedBody<'_>, outcome: &InstanceOutcome) {
    let counted = outcome.series + outcome.duplicates + outcome.reserved + outcome.cut;
    if outcome.malformed.is_some() {
        assert_eq!((counted, outcome.timestamps, outcome.exemplars), (0, 0, 0));
        return;
    }
    let lines = answer.body.split(|byte| *byte == b'\n');
    let firsts = lines.filter_map(|line| line.iter().find(|byte| !matches!(byte, b' ' | b'\t')));
    assert_eq!(
        counted,
        firsts.filter(|first| **first != b'#').count() as u64
    );
}

/// Reads a merged body by its lines. Families must be sorted and have one type, and a series stands in its family once. Returns
/// the number of series.
pub(super) fn read(text: &str) -> u64 {
    let mut series = BTreeSet::new();
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(
                help.split(' ').next() > Some(family),
                "{help} behind {family}"
            );
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, word) = typed.split_once(' ').expect("a type");
            assert!(name > family, "{name} behind {family}");
            (family, kind) = (name, word);
        } else {
            let name = &line[..line.find(['{', ' ']).expect("a value")];
            let endings: &[&str] = match kind {
                "histogram" => &["", "_bucket", "_sum", "_count"],
                "summary" => &["", "_sum", "_count"],
                _ => &[""],
            };
            let ending = name.strip_prefix(family).expect("a series of the family");
            assert!(endings.contains(&ending), "{name} in {kind} {family}");
            assert!(series.insert(line.to_owned()), "twice: {line}");
        }
    }
    series.len() as u64
}

//! Invariants over made-up applications: their series are known, so those of the merged body are, too.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::merge::fuzzing::read;

/// Names of families, some of which are called like parts of others.
const NAMES: [&str; 6] = ["a", "a_bucket", "a_count", "b", "b_sum", "c"];
/// Types, in the words of both formats.
const TYPES: [(&str, &str); 5] = [
    ("counter", "counter"),
    ("gauge", "gauge"),
    ("histogram", "histogram"),
    ("summary", "summary"),
    ("untyped", "unknown"),
];
/// Labels of series; the merge adds `i`.
const LABELS: [&str; 4] = [
    "x=\"1\"",
    "y=\"é\"",
    "z=\"\\\\ \\n \\\" {},#=\"",
    "i=\"own\"",
];

/// The place of a type in `TYPES`, and series: each bit stands for one of `LABELS`.
type MadeFamily = (usize, BTreeSet<u8>);
/// An application: families by name.
type MadeBody = BTreeMap<&'static str, MadeFamily>;

fn body() -> impl Strategy<Value = MadeBody> {
    let series = prop::collection::btree_set(0..1_u8 << LABELS.len(), 1..5);
    let family = (0..TYPES.len(), series);
    prop::collection::btree_map(prop::sample::select(&NAMES[..]), family, 0..NAMES.len())
}

/// A body without families that are called like parts of others.
fn sound_body() -> impl Strategy<Value = MadeBody> {
    body().prop_map(|mut body| {
        body.retain(|name, _| !name.contains('_'));
        body
    })
}

/// The series of a family: names, labels and values.
fn series(name: &str, (kind, series): &MadeFamily) -> Vec<(String, String, u64)> {
    let parts: &[(&str, &str)] = match TYPES[*kind].0 {
        "counter" => &[("_total", "")],
        "histogram" => &[
            ("_bucket", "le=\"1\""),
            ("_bucket", "le=\"+Inf\""),
            ("_sum", ""),
            ("_count", ""),
        ],
        "summary" => &[("", "quantile=\"0.5\""), ("_sum", ""), ("_count", "")],
        _ => &[("", "")],
    };
    let of_one = |bits: &u8| {
        let bits = *bits;
        let own = (0..LABELS.len()).filter(move |n| bits >> n & 1 == 1);
        let own: Vec<&str> = own.map(|n| LABELS[n]).collect();
        parts.iter().map(move |(ending, label)| {
            let mut labels = own.clone();
            labels.extend((!label.is_empty()).then_some(*label));
            (format!("{name}{ending}"), labels.join(","), u64::from(bits))
        })
    };
    series.iter().flat_map(of_one).collect()
}

fn line((name, labels, value): &(String, String, u64)) -> String {
    match labels.as_str() {
        "" => format!("{name} {value}\n"),
        labels => format!("{name}{{{labels}}} {value}\n"),
    }
}

fn text_of(body: &MadeBody) -> String {
    let family = |(name, family): (&&str, &MadeFamily)| {
        let word = TYPES[family.0].0;
        let name_in_text = if word == "counter" {
            format!("{name}_total")
        } else {
            (*name).to_owned()
        };
        let lines: String = series(name, family).iter().map(line).collect();
        format!("# HELP {name_in_text} Of {name}.\n# TYPE {name_in_text} {word}\n{lines}")
    };
    body.iter().map(family).collect()
}

fn open_metrics_of(body: &MadeBody) -> String {
    let family = |(name, family): (&&str, &MadeFamily)| {
        let lines: String = series(name, family).iter().map(line).collect();
        format!(
            "# TYPE {name} {}\n# HELP {name} Of {name}.\n{lines}",
            TYPES[family.0].1
        )
    };
    let families: String = body.iter().map(family).collect();
    families + "# EOF\n"
}

/// The lines that a body's series have in the merged body if they get the label `i`.
fn expected_lines(body: &MadeBody, i: usize) -> Vec<String> {
    let all = body.iter().flat_map(|(name, family)| series(name, family));
    let all = all.map(|(name, labels, value)| {
        let mut labels = labels.replace("i=\"own\"", "exported_i=\"own\"");
        if !labels.is_empty() {
            labels.push(',');
        }
        line(&(name, format!("{labels}i=\"{i}\""), value))
    });
    all.collect()
}

fn is_series(line: &&str) -> bool {
    !line.starts_with('#')
}

proptest! {
    #[test]
    fn one_body_stays_as_it_is_in_both_formats(body in sound_body()) {
        let expected = text_of(&body);
        for given in [expected.clone(), open_metrics_of(&body)] {
            let merged = alone(&given);
            prop_assert_eq!(text(&merged), &*expected);
            prop_assert_eq!(merged.instances[0].series, expected.lines().filter(is_series).count() as u64);
        }
    }

    #[test]
    fn no_series_is_lost_or_doubled_in_any_order(
        bodies in prop::collection::vec((body(), any::<bool>()), 1..5),
    ) {
        let given: Vec<_> = bodies
            .iter()
            .enumerate()
            .map(|(i, (body, in_text))| {
                let body = if *in_text { text_of(body) } else { open_metrics_of(body) };
                (body, [("i".to_owned(), i.to_string())])
            })
            .collect();
        let answers: Vec<_> = given.iter().map(|(body, labels)| scraped(body, labels)).collect();
        let rules = MergeRules { label_conflict: LabelConflict::Exported, ..RULES };
        let merged = merge(&answers, &rules);
        let mut expected: Vec<_> = bodies
            .iter()
            .enumerate()
            .flat_map(|(i, (body, _))| expected_lines(body, i))
            .collect();
        expected.sort_unstable();
        // Two families of a body may have a series in common.
        let all = expected.len();
        expected.dedup();
        let dropped: u64 = merged.instances.iter().map(|outcome| outcome.duplicates).sum();
        prop_assert_eq!(dropped, (all - expected.len()) as u64);
        let sorted = |merged: &MergedBody| -> Vec<String> {
            let lines = text(merged).split_inclusive('\n').filter(is_series);
            let mut lines: Vec<_> = lines.map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        prop_assert_eq!(sorted(&merged), &*expected);
        prop_assert_eq!(read(text(&merged)), expected.len() as u64);

        let reversed: Vec<_> = answers.iter().rev().copied().collect();
        let reversed = merge(&reversed, &rules);
        let types = |merged: &MergedBody| -> Vec<String> {
            let lines = text(merged).lines().filter(|line| line.starts_with("# TYPE"));
            lines.map(str::to_owned).collect()
        };
        prop_assert_eq!(sorted(&reversed), expected);
        prop_assert_eq!(types(&reversed), types(&merged));
        prop_assert_eq!(reversed.type_conflicts, merged.type_conflicts);
    }
}

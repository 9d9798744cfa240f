//! Fuzz target: writes samples with arbitrary labels and values, and reads them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};

use super::{Descriptor, Kind, Value, Writer};

const fn family(name: &'static str, kind: Kind, labels: &'static [&'static str]) -> Descriptor {
    Descriptor {
        name,
        kind,
        help: "Help with a \\ and a\nsecond line.",
        labels,
        unit: "",
        source: "",
        fallback: "",
    }
}

const FAMILIES: [Descriptor; 3] = [
    family("b_total", Kind::Counter, &["groupname", "n"]),
    family("a_bytes", Kind::Gauge, &["groupname", "n"]),
    family("a", Kind::Gauge, &["n"]),
];

#[derive(Debug, Arbitrary)]
enum Number {
    Integer(u64),
    Float(f64),
    Nanoseconds(u64),
}

#[derive(Debug, Arbitrary)]
struct MadeSample {
    family: u8,
    value: Number,
    group: Vec<u8>,
    more: Option<Vec<u8>>,
}

type ReadLabels = BTreeMap<String, String>;

/// Asserts that every written body reads back: labels byte for byte, values bit for bit, families once and in order.
pub(crate) fn exposition(input: &[u8]) {
    let Ok(samples) = Vec::<MadeSample>::arbitrary(&mut Unstructured::new(input)) else {
        return;
    };
    let mut writer = Writer::default();
    let mut expected: BTreeMap<(&str, String), (ReadLabels, f64)> = BTreeMap::new();
    for (n, sample) in samples.iter().enumerate() {
        let descriptor = &FAMILIES[usize::from(sample.family) % FAMILIES.len()];
        let n = format!("{n:08}");
        let group = String::from_utf8_lossy(&sample.group);
        let values: Vec<&str> = descriptor
            .labels
            .iter()
            .map(|label| if *label == "n" { n.as_str() } else { &*group })
            .collect();
        let more = sample.more.iter().map(|value| {
            (
                Arc::from("unit"),
                String::from_utf8_lossy(value).into_owned(),
            )
        });
        let more: Vec<(Arc<str>, String)> = more.collect();
        let (value, number) = match sample.value {
            Number::Integer(value) => (Value::Integer(value), value as f64),
            Number::Float(value) => (Value::Float(value), value),
            Number::Nanoseconds(ns) => (Value::Nanoseconds(ns), seconds(ns)),
        };
        writer
            .family(descriptor)
            .with_labels(&more)
            .sample(&values, value);
        let labels = descriptor.labels.iter().map(|label| (*label).to_owned());
        let labels = labels.zip(values.iter().map(|value| (*value).to_owned()));
        let more = more
            .into_iter()
            .map(|(name, value)| (name.to_string(), value));
        expected.insert(
            (descriptor.name, n.clone()),
            (labels.chain(more).collect(), number),
        );
    }
    assert_eq!(writer.samples(), samples.len() as u64);
    let body = String::from_utf8(writer.finish()).expect("text");
    assert!(body.is_empty() || body.ends_with('\n'));
    let mut found = read(&body);
    for ((family, n), (labels, value)) in expected {
        let (read_labels, read_value) = found.remove(&(family.to_owned(), n)).expect("a sample");
        assert_eq!(read_labels, labels);
        assert!(read_value.to_bits() == value.to_bits() || read_value.is_nan() && value.is_nan());
    }
    assert!(found.is_empty(), "{found:?}");
}

/// Parses the decimal digits, as a reader of the writer's number does.
fn seconds(ns: u64) -> f64 {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    text.parse().expect("a number")
}

/// A strict reader of the text format: accepts only texts that the specification allows.
fn read(body: &str) -> BTreeMap<(String, String), (ReadLabels, f64)> {
    let mut found = BTreeMap::new();
    let mut family = String::new();
    let mut lines = body.split_terminator('\n');
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a name");
            assert!(name > family.as_str(), "{name} behind {family}");
            assert_eq!(text, "Help with a \\\\ and a\\nsecond line.");
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
            let (typed, kind) = kind.and_then(|kind| kind.split_once(' ')).expect("a type");
            assert!(typed == name && ["counter", "gauge"].contains(&kind));
            name.clone_into(&mut family);
            continue;
        }
        let rest = line
            .strip_prefix(family.as_str())
            .and_then(|rest| rest.strip_prefix('{'));
        let (labels, value) = labels(rest.expect("a sample of the family"));
        let value = match value {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            "NaN" => f64::NAN,
            digits => {
                assert!(
                    digits.bytes().all(|byte| b"0123456789.e-".contains(&byte)),
                    "{digits}"
                );
                digits.parse().expect("a number")
            }
        };
        let n = labels.get("n").cloned().expect("the number");
        assert!(found.insert((family.clone(), n), (labels, value)).is_none());
    }
    found
}

/// Reads the labels up to the closing brace; returns them and the rest after the space.
fn labels(mut rest: &str) -> (ReadLabels, &str) {
    let mut labels = ReadLabels::new();
    loop {
        let (name, behind) = rest.split_once("=\"").expect("a label");
        let mut value = String::new();
        let mut characters = behind.chars();
        loop {
            match characters.next().expect("a closing quote") {
                '"' => break,
                '\\' => {
                    let escaped = characters.next().filter(|c| ['n', '\\', '"'].contains(c));
                    let escaped = escaped.expect("one of the three escapes");
                    value.push(if escaped == 'n' { '\n' } else { escaped });
                }
                plain => value.push(plain),
            }
        }
        assert!(labels.insert(name.to_owned(), value).is_none());
        let behind = characters.as_str();
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (labels, behind.strip_prefix("} ").expect("a closing brace")),
        }
    }
}

//! A strict reader of the text format: a malformed line, a family without its TYPE line, or a sample that is there twice
//! fails the test that scraped it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One time series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// One scrape.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    values: HashMap<Series, f64>,
    kinds: HashMap<String, String>,
}

impl Samples {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut samples = Self::default();
        if !text.ends_with('\n') {
            return Err("the last line does not end".to_owned());
        }
        for line in text.split_terminator('\n') {
            samples
                .line(line)
                .ok_or_else(|| format!("malformed, or there twice: {line:?}"))?;
        }
        Ok(samples)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name, rest) = (words.next()?, words.next()?, words.next()?);
            return match kind {
                "HELP" if !rest.is_empty() => Some(()),
                "TYPE" if ["counter", "gauge", "histogram", "summary"].contains(&rest) => {
                    let former = self.kinds.insert(name.to_owned(), rest.to_owned());
                    former.is_none().then_some(())
                }
                _ => None,
            };
        }
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => parse_labels(rest)?,
            None => (BTreeMap::new(), rest),
        };
        let value = parse_value(value.strip_prefix(' ')?)?;
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_announced = self.kind(name).is_some();
        let series = Series {
            name: name.to_owned(),
            labels,
        };
        let former = self.values.insert(series, value);
        (is_name && is_announced && former.is_none()).then_some(())
    }

    /// The type in the TYPE line of the family of `name`.
    fn kind(&self, name: &str) -> Option<&str> {
        let of_parts = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix));
        std::iter::once(name)
            .chain(of_parts)
            .find_map(|family| self.kinds.get(family))
            .map(String::as_str)
    }

    /// The value of exactly this series.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let name = name.to_owned();
        self.values.get(&Series { name, labels }).copied()
    }

    /// As [`Self::value`], of a series that must be there.
    pub(crate) fn the(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.value(name, labels)
            .unwrap_or_else(|| panic!("the exposition has no {name}{labels:?}"))
    }

    /// All series of one name.
    pub(crate) fn series<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a BTreeMap<String, String>, f64)> {
        self.values
            .iter()
            .filter(move |(series, _)| series.name == name)
            .map(|(series, value)| (&series.labels, *value))
    }

    /// Names of all series, each once, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> = self
            .values
            .keys()
            .map(|series| series.name.as_str())
            .collect();
        names.into_iter()
    }

    /// All series that may only rise.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.values
            .iter()
            .filter(|(series, _)| self.kind(&series.name).is_some_and(|kind| kind != "gauge"))
            .map(|(series, value)| (series, *value))
    }

    /// The agent's own families that are not 0: for a test that fails.
    pub(crate) fn own_counts(&self) -> String {
        let mut lines: Vec<String> = self
            .values
            .iter()
            .filter(|(series, value)| {
                let is_own = series.name.starts_with("headcount_");
                is_own && **value != 0.0 && !series.name.contains("_collector_")
            })
            .map(|(series, value)| format!("  {}{:?} {value}", series.name, series.labels))
            .collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    pub(crate) fn of(&self, series: &Series) -> Option<f64> {
        self.values.get(series).copied()
    }
}

/// Labels up to the closing brace, and the text after it.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, tail) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = tail.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(match chars.next()? {
                    'n' => '\n',
                    '\\' => '\\',
                    '"' => '"',
                    _ => return None,
                }),
                other => value.push(other),
            }
        }
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || labels.insert(name.to_owned(), value).is_some() {
            return None;
        }
        let tail = chars.as_str();
        if let Some(after) = tail.strip_prefix('}') {
            return Some((labels, after));
        }
        rest = tail.strip_prefix(',')?;
    }
}

fn parse_value(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => text.parse().ok(),
        _ => None,
    }
}

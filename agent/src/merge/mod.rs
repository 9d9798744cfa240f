//! Merges the expositions of several instances into one, in the text format 0.0.4.
//!
//! In: the body of each instance, in the text format 0.0.4 or in OpenMetrics, with the labels that its series get. Out: one body,
//! and for each instance what became of its series. The lines of a family are together: families sorted by name, instances in the
//! order given, the series of an instance in their own order.
//!
//! ```text
//!  bodies --> parsed (lines: tokens of a line) --> families: names and types of all instances --> output: relabel, write, cut
//! ```
//!
//! Rules:
//!
//! * A body that Prometheus would refuse contributes nothing. Quoted metric and label names (UTF-8) are refused, too: the answer
//!   is read by servers that do not know them.
//! * Text 0.0.4 has fewer types than OpenMetrics. A counter is called by the name of its series (`x_total`). Info and state sets
//!   are gauges. Gauge histograms are histograms without sum and count. `_created`, `_gsum` and `_gcount` are gauges of their
//!   own. The Python client writes the same when it is asked for text.
//! * A family whose instances disagree on its type keeps all series, as untyped families by the names of the series. So does a
//!   histogram or summary `x` if there is another family `x_count`, `x_sum` or `x_bucket`.
//! * Exemplars and units are dropped, because the format has none. Families without series are left out.
//!
//! Bounds: the index holds 20 bytes for each stretch of lines of one family in one body, at most 262,144 in each;
//! a body with more is refused. There are at most 2,097,152 in all; series of further ones are counted as cut. There are at most 65,536 families; series of further ones are counted as cut. While a
//! family is written, each of its series has an entry of 20 bytes. No IO, no clock, no panic.

mod families;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod line;
mod output;
mod parsed;
#[cfg(test)]
mod tests;

use families::FamilyTable;
use output::Output;
use parsed::ParsedBody;

/// Most families of one body, and of all together.
const MAX_FAMILIES: usize = 1 << 16;
/// Most stretches of lines of one family in one body, and in all together.
const MAX_RUNS: usize = 1 << 18;
const MAX_PIECES: usize = 1 << 21;

/// Series whose names begin with one of these speak about instances; only the agent itself may say that.
const RESERVED: [&[u8]; 3] = [
    b"headcount_target_",
    b"promfetcher_scrape_error",
    b"promfetcher_scrape_external_exporter_error",
];

/// The answer of one instance.
#[derive(Debug, Clone, Copy)]
pub struct ScrapedBody<'a> {
    /// Labels that each of its series gets, in this order, behind its own. The names are valid and distinct.
    pub labels: &'a [(String, String)],
    /// Names of further labels that its series cannot have: to these the same happens as to those that `labels` replace.
    pub without: &'a [&'a str],
    /// Whether labels of its series are renamed in a conflict, regardless of the rules.
    pub keeps_labels: bool,
    /// The body, not compressed.
    pub body: &'a [u8],
    /// The format, as `Content-Type` says.
    pub format: BodyFormat,
}

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics 0.0.1 or 1.0.
    OpenMetrics,
}

/// The fate of a label of a series if the instance gets one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelConflict {
    /// It is dropped.
    Overwrite,
    /// It is renamed `exported_<name>`, as often as it takes to be unique; the same as Prometheus does.
    Exported,
}

/// How to merge.
#[derive(Debug, Clone, Copy)]
pub struct MergeRules {
    /// The fate of labels of the same name.
    pub label_conflict: LabelConflict,
    /// Whether timestamps stay.
    pub keeps_timestamps: bool,
    /// Largest size of the merged body. The part of an instance in a family is left out as a whole if it does not fit.
    pub most_bytes: usize,
}

/// The merged body, and the outcome for each instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergedBody {
    /// The body, in the text format 0.0.4.
    pub body: Vec<u8>,
    /// One for each instance, in the order given.
    pub instances: Vec<InstanceOutcome>,
    /// Families that lost their type.
    pub type_conflicts: u64,
}

/// The fate of the series of one instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceOutcome {
    /// Series in the merged body.
    pub series: u64,
    /// Series left out because the same series was there already.
    pub duplicates: u64,
    /// Series left out because their names are those of the agent's own series about instances.
    pub reserved: u64,
    /// Series left out because they did not fit.
    pub cut: u64,
    /// Timestamps left out.
    pub timestamps: u64,
    /// Exemplars left out.
    pub exemplars: u64,
    /// Why the body contributes nothing.
    pub malformed: Option<MalformedBody>,
}

/// The first fault of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct MalformedBody {
    /// The line, from 1.
    pub line: usize,
    /// The mistake there.
    pub reason: &'static str,
}

/// Merges `answers` by `rules`.
pub fn merge(answers: &[ScrapedBody<'_>], rules: &MergeRules) -> MergedBody {
    let mut instances = vec![InstanceOutcome::default(); answers.len()];
    let mut table = FamilyTable::default();
    for ((n, answer), outcome) in (0..).zip(answers).zip(&mut instances) {
        match ParsedBody::parse(answer.body, answer.format) {
            Ok(parsed) => {
                outcome.reserved = parsed.reserved;
                outcome.exemplars = parsed.exemplars;
                if !rules.keeps_timestamps {
                    outcome.timestamps = parsed.timestamps;
                }
                outcome.cut = table.join(n, &parsed);
            }
            Err(malformed) => outcome.malformed = Some(malformed),
        }
    }
    table.settle(answers, &mut instances);
    let mut output = Output::new(answers, rules, &table);
    output.write(&table, &mut instances);
    MergedBody {
        body: output.body,
        instances,
        type_conflicts: table.conflicts,
    }
}

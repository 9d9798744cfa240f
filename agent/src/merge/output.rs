//! Writes the merged body.
//!
//! In: the settled table, and the bodies. Out: the body, and the counts of series written and left out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::families::{FamilyTable, MergedFamily, Piece};
use super::line::{Cursor, SeriesLabel, SeriesLine, milliseconds};
use super::{InstanceOutcome, LabelConflict, MergeRules, ScrapedBody};
use crate::exposition::{Kind, write_label_value};

/// The labels that an instance's series get.
#[derive(Debug)]
struct Origin<'a> {
    labels: Vec<SeriesLabel<'a>>,
    /// Names that the instance's own labels cannot have, beside those of `labels`.
    without: &'a [&'a str],
    keeps_labels: bool,
    /// These labels as they are written.
    text: Vec<u8>,
    /// Sum of their hashes.
    hash: u64,
}

/// Where a series stands.
#[derive(Debug, Clone, Copy)]
struct SeriesPlace {
    instance: u32,
    start: u32,
}

#[derive(Debug)]
pub(super) struct Output<'a> {
    answers: &'a [ScrapedBody<'a>],
    rules: &'a MergeRules,
    origins: Vec<Origin<'a>>,
    random: RandomState,
    pub(super) body: Vec<u8>,
}

type Series = HashMap<u64, SeriesPlace, RandomState>;

impl<'a> Output<'a> {
    pub(super) fn new(
        answers: &'a [ScrapedBody<'a>],
        rules: &'a MergeRules,
        table: &FamilyTable<'_>,
    ) -> Self {
        let random = RandomState::default();
        let origins: Vec<_> = answers
            .iter()
            .map(|answer| Origin::new(answer, &random))
            .collect();
        // About its final size, so that it is not copied while it grows.
        let size = |piece: &Piece| {
            let added = origins
                .get(piece.instance as usize)
                .map_or(0, |origin| origin.text.len() + 3);
            (piece.run.end - piece.run.start) as usize + piece.run.series as usize * added
        };
        let sizes: usize = table.pieces.iter().map(size).sum();
        let heads = table.families.iter();
        let heads: usize = heads
            .map(|one| 2 * one.name.len() + one.help.len() + 32)
            .sum();
        // A line that is too long is written before that is seen.
        let most = rules.most_bytes.saturating_add(1 << 16);
        let body = Vec::with_capacity((sizes + heads).min(most));
        Self {
            answers,
            rules,
            origins,
            random,
            body,
        }
    }

    pub(super) fn write(&mut self, table: &FamilyTable<'_>, outcomes: &mut [InstanceOutcome]) {
        for pieces in table.pieces.chunk_by(|a, b| a.run.family == b.run.family) {
            let Some(family) = pieces
                .first()
                .and_then(|first| table.families.get(first.run.family as usize))
            else {
                continue;
            };
            let head = self.body.len();
            self.head(family);
            let samples = self.body.len();
            let all = pieces.iter().map(|piece| piece.run.series as usize).sum();
            let mut seen = Series::with_capacity_and_hasher(all, self.random.clone());
            for part in pieces.chunk_by(|a, b| a.instance == b.instance) {
                let instance = part.first().map_or(0, |first| first.instance as usize);
                if let Some(outcome) = outcomes.get_mut(instance) {
                    self.part(part, outcome, &mut seen);
                }
            }
            if self.body.len() == samples {
                self.body.truncate(head);
            }
        }
    }

    fn head(&mut self, family: &MergedFamily<'_>) {
        if !family.help.is_empty() {
            self.body.extend_from_slice(b"# HELP ");
            self.body.extend_from_slice(family.name);
            self.body.push(b' ');
            help(family.help, &mut self.body);
            self.body.push(b'\n');
        }
        self.body.extend_from_slice(b"# TYPE ");
        self.body.extend_from_slice(family.name);
        self.body.push(b' ');
        let word = family.kind.map_or("untyped", Kind::word);
        self.body.extend_from_slice(word.as_bytes());
        self.body.push(b'\n');
    }

    /// Writes the series of an instance in a family, or nothing if they do not fit.
    fn part(&mut self, part: &[Piece], outcome: &mut InstanceOutcome, seen: &mut Series) {
        let start = self.body.len();
        let (mut written, mut duplicates) = (0, 0);
        let mut labels = Vec::new();
        for piece in part {
            let (Some(answer), Some(origin)) = (
                self.answers.get(piece.instance as usize),
                self.origins.get(piece.instance as usize),
            ) else {
                continue;
            };
            let mut cursor = Cursor::new(answer.body, piece.run.start as usize);
            while cursor.at < piece.run.end as usize && self.body.len() <= self.rules.most_bytes {
                let place = SeriesPlace {
                    instance: piece.instance,
                    start: cursor.place(),
                };
                cursor.skip_blanks();
                // Was read before.
                let Ok(series) = cursor.series(answer.format, &mut labels) else {
                    break;
                };
                self.relabel(&mut labels, origin);
                if self.is_repeated(seen, place, series.name, &labels, origin.hash) {
                    duplicates += 1;
                    continue;
                }
                written += 1;
                write_series(&mut self.body, &series, &labels, &origin.text);
                if let Some(timestamp) = series.timestamp.filter(|_| self.rules.keeps_timestamps)
                    && let Some(ms) = milliseconds(timestamp, answer.format)
                {
                    self.body.push(b' ');
                    self.body.extend_from_slice(ms.to_string().as_bytes());
                }
                self.body.push(b'\n');
            }
        }
        if self.body.len() > self.rules.most_bytes {
            self.body.truncate(start);
            let series = part.iter().map(|piece| u64::from(piece.run.series));
            outcome.cut += series.sum::<u64>();
            return;
        }
        outcome.series += written;
        outcome.duplicates += duplicates;
    }

    /// Drops or renames the labels whose names are among those that the instance gets, or cannot have.
    fn relabel(&self, labels: &mut Vec<SeriesLabel<'_>>, origin: &Origin<'_>) {
        let is_added = |name: &[u8]| {
            origin.labels.iter().any(|added| *added.name == *name)
                || origin.without.iter().any(|one| one.as_bytes() == name)
        };
        let conflict = match origin.keeps_labels {
            true => LabelConflict::Exported,
            false => self.rules.label_conflict,
        };
        match conflict {
            LabelConflict::Overwrite => labels.retain(|label| !is_added(&label.name)),
            LabelConflict::Exported => {
                labels.retain(|label| !(label.value.is_empty() && is_added(&label.name)));
                let mut conflicts: Vec<usize> = (0..labels.len())
                    .filter(|place| is_added(&labels[*place].name))
                    .collect();
                // The order of Prometheus.
                conflicts.sort_by_key(|place| labels[*place].name.len());
                for place in conflicts {
                    let mut name = labels[place].name.to_vec();
                    while is_added(&name) || labels.iter().any(|label| *label.name == *name) {
                        name.splice(..0, *b"exported_");
                    }
                    labels[place].name = Cow::Owned(name);
                }
            }
        }
    }

    /// Whether the family has this series already. If not, it has it now.
    fn is_repeated(
        &self,
        seen: &mut Series,
        place: SeriesPlace,
        name: &[u8],
        labels: &[SeriesLabel<'_>],
        added: u64,
    ) -> bool {
        let labels_hash = labels.iter().fold(added, |sum, label| {
            sum.wrapping_add(hash(label, &self.random))
        });
        let mut key = labels_hash.wrapping_add(self.random.hash_one(name));
        while let Some(earlier) = seen.get(&key) {
            if self.identity(*earlier) == self.identity(place) {
                return true;
            }
            key = key.wrapping_add(1);
        }
        seen.insert(key, place);
        false
    }

    /// Name and labels of the series at this place. Two series are the same to Prometheus if these are equal.
    fn identity(&self, place: SeriesPlace) -> Option<(&'a [u8], Vec<SeriesLabel<'_>>)> {
        let answer = self.answers.get(place.instance as usize)?;
        let origin = self.origins.get(place.instance as usize)?;
        let mut cursor = Cursor::new(answer.body, place.start as usize);
        cursor.skip_blanks();
        let mut labels = Vec::new();
        let series = cursor.series(answer.format, &mut labels).ok()?;
        self.relabel(&mut labels, origin);
        labels.extend_from_slice(&origin.labels);
        labels.retain(|label| !label.value.is_empty());
        labels.sort_unstable();
        Some((series.name, labels))
    }
}

impl<'a> Origin<'a> {
    fn new(answer: &ScrapedBody<'a>, random: &RandomState) -> Self {
        let mut text = Vec::new();
        let labels: Vec<_> = answer
            .labels
            .iter()
            .map(|(name, value)| {
                let mut escaped = String::new();
                write_label_value(value, &mut escaped);
                SeriesLabel {
                    name: Cow::Borrowed(name.as_bytes()),
                    value: Cow::Owned(escaped.into_bytes()),
                }
            })
            .collect();
        let mut total = 0_u64;
        for label in &labels {
            if !text.is_empty() {
                text.push(b',');
            }
            write_label(&mut text, label);
            total = total.wrapping_add(hash(label, random));
        }
        Self {
            labels,
            without: answer.without,
            keeps_labels: answer.keeps_labels,
            text,
            hash: total,
        }
    }
}

/// The hash of a label; 0 for an empty one, because that means the same as none.
fn hash(label: &SeriesLabel<'_>, random: &RandomState) -> u64 {
    if label.value.is_empty() {
        return 0;
    }
    random.hash_one((&label.name, &label.value))
}

fn write_label(body: &mut Vec<u8>, label: &SeriesLabel<'_>) {
    body.extend_from_slice(&label.name);
    body.extend_from_slice(b"=\"");
    body.extend_from_slice(&label.value);
    body.push(b'"');
}

/// Writes a line up to its value.
fn write_series(
    body: &mut Vec<u8>,
    series: &SeriesLine<'_>,
    labels: &[SeriesLabel<'_>],
    added: &[u8],
) {
    body.extend_from_slice(series.name);
    if !labels.is_empty() || !added.is_empty() {
        body.push(b'{');
        for (n, label) in labels.iter().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            write_label(body, label);
        }
        if !labels.is_empty() && !added.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(added);
        body.push(b'}');
    }
    body.push(b' ');
    body.extend_from_slice(series.value);
}

/// Writes a help text. Only a backslash and a line feed are escaped in text 0.0.4; OpenMetrics also escapes the quote.
fn help(text: &[u8], body: &mut Vec<u8>) {
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            body.push(byte);
            continue;
        }
        match bytes.next_if(|next| matches!(next, b'n' | b'\\' | b'"')) {
            Some(b'"') => body.push(b'"'),
            escaped => body.extend_from_slice(&[b'\\', escaped.unwrap_or(b'\\')]),
        }
    }
}

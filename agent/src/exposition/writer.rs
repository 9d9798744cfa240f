//! The writer: takes samples family by family and hands over one part of an exposition.
//!
//! Each family is written as one block of a text. [`Writer::take`] hands over text and blocks as a [`Part`], without copying
//! them; [`assemble`] makes the body, with the blocks in the order of their names, so callers need not know each other. A family
//! without a sample writes nothing; if two callers write the same family, the body has its head once. Callers must not write two
//! samples with the same labels; debug builds assert that.

use std::mem;
use std::sync::Arc;

use super::part::{Block, Part, assemble};
use super::text::{write_help, write_label_value};
use super::{Descriptor, Value};

/// Collects the families of one part of a scrape.
#[derive(Debug, Default)]
pub struct Writer {
    part: Part,
    /// Bytes and blocks of the part before; the next one is most likely as large.
    expected: (usize, usize),
}

/// Sizes of the text written since a [`Mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// All bytes.
    pub bytes: usize,
    /// The bytes of samples; the others are heads of families.
    pub sample_bytes: usize,
}

/// A point in the text to which [`Writer::roll_back`] can return.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    text: usize,
    blocks: usize,
    samples: u64,
}

/// One family while its samples are being written.
#[derive(Debug)]
pub struct Family<'w> {
    writer: &'w mut Writer,
    descriptor: &'w Descriptor,
    /// Labels in addition to the descriptor's: name and value.
    more: &'w [(Arc<str>, String)],
    begun: bool,
}

impl Writer {
    /// Begins a family. Its head is written with its first sample.
    pub fn family<'w>(&'w mut self, descriptor: &'w Descriptor) -> Family<'w> {
        Family {
            writer: self,
            descriptor,
            more: &[],
            begun: false,
        }
    }

    /// The text and blocks written so far.
    pub const fn part(&self) -> &Part {
        &self.part
    }

    /// Samples written so far; each line of a histogram counts as one.
    pub const fn samples(&self) -> u64 {
        self.part.samples()
    }

    /// Returns the current point.
    pub const fn mark(&self) -> Mark {
        Mark {
            text: self.part.text.len(),
            blocks: self.part.blocks.len(),
            samples: self.part.samples,
        }
    }

    /// Sizes of the text written since `mark`, which must come from this writer, after its last [`Writer::take`].
    pub fn written(&self, mark: Mark) -> Written {
        let blocks = self.part.blocks.iter().skip(mark.blocks);
        Written {
            bytes: self.bytes() - mark.text,
            sample_bytes: blocks.map(|block| block.end - block.samples).sum(),
        }
    }

    /// Bytes written so far.
    pub const fn bytes(&self) -> usize {
        self.part.bytes()
    }

    /// Discards everything written since `mark`, which must come from this writer, after its last [`Writer::take`].
    pub fn roll_back(&mut self, mark: Mark) {
        self.part.text.truncate(mark.text);
        self.part.blocks.truncate(mark.blocks);
        self.part.samples = mark.samples;
    }

    /// Takes the written text, without copying it. The writer is empty afterwards and has no buffers until it writes again.
    pub fn take(&mut self) -> Part {
        let part = mem::take(&mut self.part);
        self.expected = (part.text.len(), part.blocks.len());
        part
    }

    /// The whole body if this is the only part: families sorted by name. The writer is empty afterwards.
    pub fn finish(&mut self) -> Vec<u8> {
        assemble(&[&self.take()])
    }

    /// Makes buffers for a part a little larger than the one before, so that its text is not moved as it grows.
    fn reserve(&mut self) {
        let (bytes, blocks) = mem::take(&mut self.expected);
        self.part.text.reserve_exact(bytes + bytes / 16);
        self.part.blocks.reserve(blocks);
    }

    pub(super) fn begin(&mut self, name: &str, help: &str, kind: &str) {
        if self.part.blocks.is_empty() {
            self.reserve();
        }
        let Part { text, blocks, .. } = &mut self.part;
        let head = text.len();
        text.push_str("# HELP ");
        let start = text.len();
        text.push_str(name);
        let name_range = start..text.len();
        text.push(' ');
        write_help(help, text);
        text.push_str("\n# TYPE ");
        text.push_str(name);
        text.push(' ');
        text.push_str(kind);
        text.push('\n');
        let samples = text.len();
        blocks.push(Block {
            name: name_range,
            head,
            samples,
            end: samples,
            lines: 0,
            labelled: false,
        });
    }

    /// Writes one line of the last family begun.
    pub(super) fn line<'l>(
        &mut self,
        name: &str,
        suffix: &str,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: Value,
    ) {
        let Part {
            text,
            blocks,
            samples,
        } = &mut self.part;
        text.push_str(name);
        text.push_str(suffix);
        let mut opening = '{';
        for (label, label_value) in labels {
            text.push(opening);
            text.push_str(label);
            text.push_str("=\"");
            write_label_value(label_value, text);
            text.push('"');
            opening = ',';
        }
        if opening == ',' {
            text.push('}');
        }
        text.push(' ');
        value.write(text);
        text.push('\n');
        *samples += 1;
        if let Some(block) = blocks.last_mut() {
            block.end = text.len();
            block.lines += 1;
            block.labelled |= opening == ',';
        }
    }
}

impl<'w> Family<'w> {
    /// Bytes written so far, including other families.
    pub const fn bytes(&self) -> usize {
        self.writer.bytes()
    }

    /// Adds these labels to every further sample; none may be one of the descriptor's.
    pub fn with_labels(&mut self, more: &'w [(Arc<str>, String)]) -> &mut Self {
        self.more = more;
        self
    }

    /// Writes one sample; `labels` are the values of the descriptor's labels, in its order.
    pub fn sample(&mut self, labels: &[&str], value: impl Into<Value>) {
        self.sample_with(labels, self.more, value);
    }

    /// The same with these additional labels, in place of those of [`Family::with_labels`].
    pub fn sample_with(
        &mut self,
        labels: &[&str],
        more: &[(Arc<str>, String)],
        value: impl Into<Value>,
    ) {
        let Descriptor {
            name,
            labels: names,
            ..
        } = self.descriptor;
        debug_assert_eq!(labels.len(), names.len(), "label values of {name}");
        self.begin();
        if more.is_empty() {
            let pairs = names.iter().copied().zip(labels.iter().copied());
            return self.writer.line(name, "", pairs, value.into());
        }
        let all = self.all_labels(labels, more);
        self.writer.line(name, "", all.into_iter(), value.into());
    }

    /// As [`Family::sample`], but leaves out the labels with an empty value.
    pub fn sample_with_some(&mut self, labels: &[&str], value: impl Into<Value>) {
        self.begin();
        let mut labels = self.all_labels(labels, self.more);
        labels.retain(|(_, label_value)| !label_value.is_empty());
        let name = self.descriptor.name;
        self.writer.line(name, "", labels.into_iter(), value.into());
    }

    /// Writes one histogram whose buckets were counted elsewhere (in the kernel), each for itself; `labels` as in
    /// [`Family::sample`]. `counts` has one count for each of `bounds`, not cumulative, and a last one for values above all
    /// bounds.
    pub fn histogram(&mut self, labels: &[&str], bounds: &[f64], counts: &[u64], sum: Value) {
        debug_assert_eq!(counts.len(), bounds.len() + 1, "one bucket for each bound");
        self.begin();
        let labels = self.all_labels(labels, self.more);
        let name = self.descriptor.name;
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let mut bound = String::new();
        let mut count = 0_u64;
        for (upper, held) in bounds.zip(counts) {
            count += held;
            bound.clear();
            Value::Float(upper).write(&mut bound);
            let labels = labels.iter().copied().chain([("le", bound.as_str())]);
            self.writer.line(name, "_bucket", labels, count.into());
        }
        let writer = &mut *self.writer;
        writer.line(name, "_sum", labels.iter().copied(), sum);
        writer.line(name, "_count", labels.iter().copied(), count.into());
    }

    /// Writes one summary without quantiles; `labels` as in [`Family::sample`].
    pub fn summary(&mut self, labels: &[&str], sum: Value, count: u64) {
        self.begin();
        let labels = self.all_labels(labels, self.more);
        let name = self.descriptor.name;
        let writer = &mut *self.writer;
        writer.line(name, "_sum", labels.iter().copied(), sum);
        writer.line(name, "_count", labels.iter().copied(), count.into());
    }

    /// Writes the head before the first sample.
    fn begin(&mut self) {
        if !self.begun {
            let Descriptor {
                name, kind, help, ..
            } = self.descriptor;
            self.writer.begin(name, help, kind.word());
            self.begun = true;
        }
    }

    /// The descriptor's labels with these values, and the additional ones, sorted by name.
    fn all_labels<'l>(
        &self,
        values: &[&'l str],
        more: &'l [(Arc<str>, String)],
    ) -> Vec<(&'l str, &'l str)> {
        let names = self.descriptor.labels.iter().copied();
        let own = names.zip(values.iter().copied());
        let more = more.iter();
        let more = more.map(|(name, value)| (&**name, value.as_str()));
        let mut all: Vec<(&str, &str)> = own.chain(more).collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Kind;
    use super::*;

    const fn descriptor(name: &'static str, labels: &'static [&'static str]) -> Descriptor {
        let (help, unit, source, fallback) = ("Help.", "", "", "");
        Descriptor {
            name,
            kind: Kind::Gauge,
            help,
            labels,
            unit,
            source,
            fallback,
        }
    }

    static A: Descriptor = descriptor("a", &[]);
    static B: Descriptor = descriptor("b", &["x", "y"]);

    fn finished(writer: &mut Writer) -> String {
        String::from_utf8(writer.finish()).unwrap()
    }

    #[test]
    fn more_labels_stand_among_the_descriptor_s_by_name() {
        let mut writer = Writer::default();
        let more = [("a".into(), "1".to_owned()), ("xx".into(), "\"".to_owned())];
        let mut family = writer.family(&B);
        family.with_labels(&more).sample(&["2", "3"], 1_u64);
        family.with_labels(&[]).sample(&["2", "3"], 2_u64);
        let body = finished(&mut writer);
        let samples: Vec<&str> = body.lines().skip(2).collect();
        assert_eq!(
            samples,
            [r#"b{a="1",x="2",xx="\"",y="3"} 1"#, r#"b{x="2",y="3"} 2"#]
        );
    }

    #[test]
    fn families_are_sorted_and_have_one_head() {
        let mut writer = Writer::default();
        writer.family(&B).sample(&["1", "q\"\n"], 2.5);
        writer.family(&A).sample(&[], 1_u64);
        writer.family(&B).sample(&["2", ""], f64::INFINITY);
        assert_eq!(writer.samples(), 3);
        let mut labelled = BTreeMap::new();
        writer.part().count_labelled(&mut labelled);
        assert_eq!(labelled, [("b".to_owned(), 2)].into());
        assert_eq!(
            finished(&mut writer),
            "# HELP a Help.\n# TYPE a gauge\na 1\n\
             # HELP b Help.\n# TYPE b gauge\nb{x=\"1\",y=\"q\\\"\\n\"} 2.5\nb{x=\"2\",y=\"\"} +Inf\n"
        );
        assert_eq!((writer.samples(), finished(&mut writer).as_str()), (0, ""));
    }

    #[test]
    fn a_family_without_samples_leaves_no_trace() {
        let mut writer = Writer::default();
        let _ = writer.family(&A);
        assert_eq!(finished(&mut writer), "");
    }

    #[test]
    fn half_written_families_are_rolled_back() {
        let mut writer = Writer::default();
        writer.family(&A).sample(&[], 1_u64);
        let mark = writer.mark();
        writer.family(&B).sample(&["1", "2"], 2_u64);
        let written = writer.written(mark);
        let (head, line) = ("# HELP b Help.\n# TYPE b gauge\n", "b{x=\"1\",y=\"2\"} 2\n");
        assert_eq!(written.bytes, head.len() + line.len());
        assert_eq!(written.sample_bytes, line.len());
        writer.roll_back(mark);
        assert_eq!(writer.samples(), 1);
        assert_eq!(
            finished(&mut writer),
            "# HELP a Help.\n# TYPE a gauge\na 1\n"
        );
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "two samples with the same labels")]
    fn the_same_sample_twice_is_noticed() {
        let mut writer = Writer::default();
        let mut family = writer.family(&B);
        family.sample(&["1", "2"], 1_u64);
        family.sample(&["1", "2"], 2_u64);
        writer.finish();
    }

    #[test]
    fn summary_has_sum_and_count_and_empty_labels_can_be_left_out() {
        let mut writer = Writer::default();
        let more = [("a".into(), "1".to_owned())];
        let mut family = writer.family(&B);
        let family = family.with_labels(&more);
        family.summary(&["2", "3"], Value::Nanoseconds(1_500_000_000), 4);
        family.sample_with_some(&["", "3"], 5_u64);
        let body = finished(&mut writer);
        let samples: Vec<&str> = body.lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                r#"b_sum{a="1",x="2",y="3"} 1.5"#,
                r#"b_count{a="1",x="2",y="3"} 4"#,
                r#"b{a="1",y="3"} 5"#
            ]
        );
    }

    static TIME: Descriptor = Descriptor {
        name: "time_seconds",
        kind: Kind::Histogram,
        help: "Time.",
        labels: &["who"],
        unit: "",
        source: "",
        fallback: "",
    };

    #[test]
    fn buckets_are_added_up_and_the_last_one_is_the_count() {
        let mut writer = Writer::default();
        let more = [("a".into(), "1".to_owned())];
        let sum = Value::Nanoseconds(7_750_000_000);
        let mut family = writer.family(&TIME);
        let family = family.with_labels(&more);
        family.histogram(&["b"], &[0.5, 1.0], &[2, 0, 1], sum);
        assert_eq!(writer.samples(), 5);
        assert_eq!(
            String::from_utf8(writer.finish()).unwrap(),
            "# HELP time_seconds Time.\n# TYPE time_seconds histogram\n\
             time_seconds_bucket{a=\"1\",who=\"b\",le=\"0.5\"} 2\n\
             time_seconds_bucket{a=\"1\",who=\"b\",le=\"1\"} 2\n\
             time_seconds_bucket{a=\"1\",who=\"b\",le=\"+Inf\"} 3\n\
             time_seconds_sum{a=\"1\",who=\"b\"} 7.75\ntime_seconds_count{a=\"1\",who=\"b\"} 3\n"
        );
    }
}

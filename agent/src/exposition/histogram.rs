//! Writes histograms whose buckets were counted elsewhere (in the kernel), each bucket for itself.

use super::{Family, Value};

impl Family<'_> {
    /// Writes one histogram; `labels` as in [`Family::sample`]. `counts` has one count for each of `bounds`, not
    /// cumulative, and a last one for values above all bounds.
    pub fn histogram(&mut self, labels: &[&str], bounds: &[f64], counts: &[u64], sum: Value) {
        debug_assert_eq!(counts.len(), bounds.len() + 1, "one bucket for each bound");
        self.begin();
        let labels = self.all_labels(labels);
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
}

#[cfg(test)]
mod tests {
    use super::super::{Descriptor, Kind, Writer};
    use super::*;

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

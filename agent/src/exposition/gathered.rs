//! Writes families of the `prometheus` crate: the agent's counts about itself.

use prometheus::Registry;
use prometheus::proto::{Histogram, LabelPair, MetricFamily, MetricType};

use super::{Kind, Value, Writer};

/// Writes all families of `registry`.
pub fn write_registry(registry: &Registry, out: &mut Writer) {
    for family in registry.gather() {
        write_family(&family, out);
    }
}

/// Writes one gathered family. Types that the crate's own metrics never have (summary, untyped) are left out.
fn write_family(family: &MetricFamily, out: &mut Writer) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::GAUGE => Kind::Gauge,
        MetricType::HISTOGRAM => Kind::Histogram,
        MetricType::SUMMARY | MetricType::UNTYPED => return,
    };
    if family.get_metric().is_empty() {
        return;
    }
    let name = family.name();
    out.begin(name, family.help(), kind.word());
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match kind {
            Kind::Counter => {
                let value = metric.get_counter().get_value().into();
                out.line(name, "", pairs(labels), value);
            }
            Kind::Gauge => {
                let value = metric.get_gauge().get_value().into();
                out.line(name, "", pairs(labels), value);
            }
            Kind::Histogram => write_histogram(name, labels, metric.get_histogram(), out),
            // Left out above.
            Kind::Summary => {}
        }
    }
}

fn write_histogram(name: &str, labels: &[LabelPair], histogram: &Histogram, out: &mut Writer) {
    let count = histogram.get_sample_count();
    let buckets = histogram
        .get_bucket()
        .iter()
        .map(|b| (b.upper_bound(), b.cumulative_count()));
    // The crate has no bucket for `+Inf`; the format requires one.
    let last = std::iter::once((f64::INFINITY, count));
    let mut bound = String::new();
    for (upper, cumulative) in buckets.filter(|(upper, _)| upper.is_finite()).chain(last) {
        bound.clear();
        Value::Float(upper).write(&mut bound);
        let labels = pairs(labels).chain([("le", bound.as_str())]);
        out.line(name, "_bucket", labels, cumulative.into());
    }
    let sum = histogram.get_sample_sum().into();
    out.line(name, "_sum", pairs(labels), sum);
    out.line(name, "_count", pairs(labels), count.into());
}

fn pairs(labels: &[LabelPair]) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|pair| (pair.name(), pair.value()))
}

#[cfg(test)]
mod tests {
    use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounterVec, Opts};

    use super::*;

    #[test]
    fn counters_gauges_and_histograms_are_printed() {
        let registry = Registry::new();
        let runs = IntCounterVec::new(Opts::new("runs_total", "Runs.\n"), &["who"]).unwrap();
        let level = Gauge::new("level", "Level.").unwrap();
        let options = HistogramOpts::new("time_seconds", "Time.").buckets(vec![0.5, 1.0]);
        let time = HistogramVec::new(options, &["who"]).unwrap();
        registry.register(Box::new(runs.clone())).unwrap();
        registry.register(Box::new(level.clone())).unwrap();
        registry.register(Box::new(time.clone())).unwrap();
        runs.with_label_values(&["a\"b"]).inc_by(3);
        level.set(f64::NEG_INFINITY);
        time.with_label_values(&["a"]).observe(0.75);
        time.with_label_values(&["a"]).observe(7.0);

        let mut writer = Writer::default();
        write_registry(&registry, &mut writer);
        assert_eq!(writer.samples(), 7);
        assert_eq!(
            String::from_utf8(writer.finish()).unwrap(),
            "# HELP level Level.\n# TYPE level gauge\nlevel -Inf\n\
             # HELP runs_total Runs.\\n\n# TYPE runs_total counter\nruns_total{who=\"a\\\"b\"} 3\n\
             # HELP time_seconds Time.\n# TYPE time_seconds histogram\n\
             time_seconds_bucket{who=\"a\",le=\"0.5\"} 0\n\
             time_seconds_bucket{who=\"a\",le=\"1\"} 1\n\
             time_seconds_bucket{who=\"a\",le=\"+Inf\"} 2\n\
             time_seconds_sum{who=\"a\"} 7.75\ntime_seconds_count{who=\"a\"} 2\n"
        );
    }
}

//! The collector `self`: how the collectors fare, what the agent costs, how much this answer shows.

use super::{Collector, Error, Runs, View, process_metrics};
use crate::exposition::{Descriptor, Kind, Writer};

static EXPOSED_SAMPLES: Descriptor = Descriptor {
    name: "headcount_exposed_samples",
    kind: Kind::Gauge,
    help: "Samples of this exposition, this one included.",
    labels: &[],
    unit: "samples",
    source: "agent",
    fallback: "-",
};

static EXPOSED_SERIES: Descriptor = Descriptor {
    name: "headcount_exposed_series",
    kind: Kind::Gauge,
    help: "Samples of this exposition by family; a family without labels has one, and is left out.",
    labels: &["family"],
    unit: "series",
    source: "agent",
    fallback: "-",
};

#[derive(Debug)]
pub(super) struct Own {
    runs: Runs,
}

impl Own {
    pub(super) fn new(runs: &Runs) -> Self {
        Self { runs: runs.clone() }
    }
}

impl Collector for Own {
    fn name(&self) -> &'static str {
        "self"
    }

    fn descriptors(&self) -> Vec<&'static Descriptor> {
        let own = Runs::descriptors().into_iter();
        own.chain([&EXPOSED_SAMPLES, &EXPOSED_SERIES])
            .chain(process_metrics::descriptors())
            .collect()
    }

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), Error> {
        out.registry(self.runs.registry());
        process_metrics::write(&process_metrics::read(view.boot_time_seconds)?, out);
        // Last of the last collector, so all others are counted.
        write_series(out);
        let samples = out.samples() + 1;
        out.family(&EXPOSED_SAMPLES).sample(&[], samples);
        Ok(())
    }
}

/// How many samples each family with labels has, this one included.
fn write_series(out: &mut Writer) {
    let mut families = out.labelled();
    let all = families.len() as u64 + 1;
    families.insert(EXPOSED_SERIES.name.to_owned(), all);
    let mut series = out.family(&EXPOSED_SERIES);
    for (family, samples) in &families {
        series.sample(&[family], *samples);
    }
}

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
        let own = Runs::descriptors().into_iter().chain([&EXPOSED_SAMPLES]);
        own.chain(process_metrics::descriptors()).collect()
    }

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), Error> {
        out.registry(self.runs.registry());
        process_metrics::write(&process_metrics::read(view.boot_time_seconds)?, out);
        // Last of the last collector, so all others are counted.
        let samples = out.samples() + 1;
        out.family(&EXPOSED_SAMPLES).sample(&[], samples);
        Ok(())
    }
}

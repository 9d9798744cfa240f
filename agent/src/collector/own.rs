//! The collector `self`: runs of all collectors, and the resources that the agent itself uses.

use super::{Collector, CollectorError, Runs, View, process_metrics, run};
use crate::exposition::{Descriptor, Writer, write_registry};

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
        let own = Runs::descriptors().into_iter().chain(run::DESCRIPTORS);
        own.chain(process_metrics::descriptors()).collect()
    }

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), CollectorError> {
        write_registry(self.runs.registry(), out);
        process_metrics::write(&process_metrics::read(view.boot_time_seconds)?, out);
        Ok(())
    }
}

//! The collector `self`: the resources that the agent itself uses. The runs of all collectors are listed with it, and written with the
//! exposition as a whole.

use super::{Collector, CollectorError, Runs, View, process_metrics, whole};
use crate::exposition::{Descriptor, Writer};

#[derive(Debug)]
pub(super) struct Own;

impl Collector for Own {
    fn name(&self) -> &'static str {
        "self"
    }

    fn descriptors(&self) -> Vec<&'static Descriptor> {
        let own = Runs::descriptors().into_iter().chain(whole::DESCRIPTORS);
        own.chain(process_metrics::descriptors()).collect()
    }

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), CollectorError> {
        process_metrics::write(&process_metrics::read(view.boot_time_seconds)?, out);
        Ok(())
    }
}

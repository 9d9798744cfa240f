//! A row of a collector's table, and the collector that writes such a table.

use super::{Collector, Error, View};
use crate::exposition::{Descriptor, Family, Writer};

/// A family and the function that writes its samples from the whole view.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) descriptor: Descriptor,
    pub(super) write: fn(&View<'_>, &mut Family<'_>),
}

/// A collector that consists of a table and cannot fail.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) metrics: &'static [Metric],
    pub(super) needs_state: bool,
}

impl Collector for Table {
    fn name(&self) -> &'static str {
        self.name
    }

    fn descriptors(&self) -> Vec<&'static Descriptor> {
        self.metrics
            .iter()
            .map(|metric| &metric.descriptor)
            .collect()
    }

    fn needs_state(&self) -> bool {
        self.needs_state
    }

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), Error> {
        for metric in self.metrics {
            (metric.write)(view, &mut out.family(&metric.descriptor));
        }
        Ok(())
    }
}

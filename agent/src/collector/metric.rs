//! Rows of the collectors' tables, and the collector that writes such a table.

use super::{Collector, CollectorError, View};
use crate::exposition::{Descriptor, Family, Writer};
use crate::group::Group;
use crate::source::Fact;

/// A family and the function that writes its samples from the whole view.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) descriptor: Descriptor,
    pub(super) write: fn(&View<'_>, &mut Family<'_>),
}

/// A family and the function that writes its samples for one group.
pub(super) struct GroupMetric {
    pub(super) descriptor: Descriptor,
    /// Facts that the family is made of; without a source for each of them it is left out.
    pub(super) facts: &'static [Fact],
    pub(super) write: fn(&View<'_>, &Group, &mut Family<'_>),
}

impl GroupMetric {
    /// Whether all its facts have a source on this node.
    pub(super) fn is_known(&self, view: &View<'_>) -> bool {
        self.facts.iter().all(|fact| view.has(*fact))
    }
}

/// A collector that consists of a table and cannot fail.
#[derive(Debug)]
pub(super) struct MetricTable {
    name: &'static str,
    metrics: &'static [Metric],
    needs_state: bool,
}

impl MetricTable {
    /// A collector whose families need the state.
    pub(super) fn with_state(name: &'static str, metrics: &'static [Metric]) -> Box<dyn Collector> {
        Box::new(Self {
            name,
            metrics,
            needs_state: true,
        })
    }

    /// A collector whose families need nothing of the state; see [`Collector::needs_state`].
    pub(super) fn without_state(
        name: &'static str,
        metrics: &'static [Metric],
    ) -> Box<dyn Collector> {
        Box::new(Self {
            name,
            metrics,
            needs_state: false,
        })
    }
}

impl Collector for MetricTable {
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

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), CollectorError> {
        for metric in self.metrics {
            (metric.write)(view, &mut out.family(&metric.descriptor));
        }
        Ok(())
    }
}

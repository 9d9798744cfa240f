//! Rows of the collectors' tables, and the collector that writes such a table.

use super::{Collector, CollectorError, PartOf, View};
use crate::exposition::{Descriptor, Family, Writer};
use crate::group::Group;
use crate::source::Fact;
use crate::targets::KindRow;

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
    part: PartOf,
    name: &'static str,
    metrics: &'static [Metric],
}

impl MetricTable {
    pub(super) fn boxed(
        part: PartOf,
        name: &'static str,
        metrics: &'static [Metric],
    ) -> Box<dyn Collector> {
        Box::new(Self {
            part,
            name,
            metrics,
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

    fn part(&self) -> PartOf {
        self.part
    }

    fn collect(&mut self, view: &View<'_>, out: &mut Writer) -> Result<(), CollectorError> {
        for metric in self.metrics {
            (metric.write)(view, &mut out.family(&metric.descriptor));
        }
        Ok(())
    }
}

/// A kind of target as a collector. The targets thread writes its families; here it is only listed.
#[derive(Debug)]
pub(super) struct TargetCollector(&'static KindRow);

impl TargetCollector {
    pub(super) fn boxed(kind: &'static KindRow) -> Box<dyn Collector> {
        Box::new(Self(kind))
    }
}

impl Collector for TargetCollector {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn descriptors(&self) -> Vec<&'static Descriptor> {
        (self.0.descriptors)()
    }

    fn part(&self) -> PartOf {
        PartOf::Targets
    }

    /// Never called: [`PartOf::Targets`] has no [`View`].
    fn collect(&mut self, _: &View<'_>, _: &mut Writer) -> Result<(), CollectorError> {
        Ok(())
    }
}

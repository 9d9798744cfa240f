//! A row of a collector's table: a family and how it is written.

use super::View;
use crate::exposition::{Descriptor, Family, Writer};

/// A family made of the view as a whole.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) descriptor: Descriptor,
    pub(super) write: fn(&View<'_>, &mut Family<'_>),
}

pub(super) fn write_all(metrics: &'static [Metric], view: &View<'_>, out: &mut Writer) {
    for metric in metrics {
        (metric.write)(view, &mut out.family(&metric.descriptor));
    }
}

pub(super) fn descriptors(metrics: &'static [Metric]) -> Vec<&'static Descriptor> {
    metrics.iter().map(|metric| &metric.descriptor).collect()
}

//! What was built.

use super::Build;
use super::metric::Metric;
use crate::exposition::{Descriptor, Kind};

pub(super) static METRICS: &[Metric] = &[Metric {
    descriptor: Descriptor {
        name: "headcount_build_info",
        kind: Kind::Gauge,
        help: "What was built; always 1.",
        labels: &["revision", "rustversion", "target", "version"],
        unit: "-",
        source: "build",
        fallback: "-",
    },
    write: |view, out| {
        let Build {
            version,
            revision,
            rustversion,
            target,
        } = *view.build;
        out.sample(&[revision, rustversion, target, version], 1_u64);
    },
}];

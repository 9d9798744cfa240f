//! `headcount_build_info`: version, revision, compiler and target of this build.

use super::Build;
use super::metric::Metric;
use crate::exposition::{Descriptor, Kind};

pub(super) static METRICS: &[Metric] = &[Metric {
    descriptor: Descriptor {
        name: "headcount_build_info",
        kind: Kind::Gauge,
        help: "Version, revision, Rust version and target of this build; always 1.",
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

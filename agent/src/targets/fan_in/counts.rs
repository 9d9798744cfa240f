//! The numbers of the sources of instances, and the families that show them.
//!
//! In: the counts of each kind of source. Out: four families. Left to others: the sources themselves.

use std::time::Duration;

use crate::exposition::{Descriptor, Kind, Writer};
use crate::targets::failure::Failure;

static ENTRIES: Descriptor = Descriptor {
    name: "headcount_fan_in_entries",
    kind: Kind::Gauge,
    help: "Entries of a source that name an instance and have not expired; an instance has one for each of its routes.",
    labels: &["source"],
    unit: "entries",
    source: "agent",
    fallback: "-",
};

static UNUSED: Descriptor = Descriptor {
    name: "headcount_fan_in_unused_entries",
    kind: Kind::Gauge,
    help: "Entries of a source that are not used, by reason: expired (its ttl is over), limit (beyond 20,000 of all sources, or \
           beyond the bytes of texts), unusable (it names no instance that can be asked; the log has the first).",
    labels: &["reason", "source"],
    unit: "entries",
    source: "agent",
    fallback: "-",
};

static AGE: Descriptor = Descriptor {
    name: "headcount_fan_in_age_seconds",
    kind: Kind::Gauge,
    help: "Time since the agent last looked at a source and found that all of it can be used.",
    labels: &["source"],
    unit: "seconds",
    source: "agent",
    fallback: "left out until the source could be used",
};

static FAILURES: Descriptor = Descriptor {
    name: "headcount_fan_in_source_failures_total",
    kind: Kind::Counter,
    help: "Looks at a file of a source, or questions to a router, that failed, and connections to the bus that failed or ended, by \
           reason, in the words of headcount_target_failures_total. What it has shown before is used until it expires.",
    labels: &["reason", "source"],
    unit: "looks",
    source: "agent",
    fallback: "-",
};

/// The families of all sources.
pub(super) const DESCRIPTORS: [&Descriptor; 4] = [&ENTRIES, &UNUSED, &AGE, &FAILURES];

/// The numbers of all sources of a kind.
#[derive(Debug, Default)]
pub(super) struct SourceCounts {
    pub(super) live: u64,
    pub(super) expired: u64,
    pub(super) omitted: u64,
    pub(super) unusable: u64,
    /// Time since each source was without fault: the longest of all sources of the kind; `None` if one never was.
    pub(super) age: Option<Duration>,
    pub(super) failures: [u64; Failure::OF_SOURCES.len()],
}

/// Writes the families. `kinds`: the value of the label `source` for each kind, and its numbers.
pub(super) fn write(kinds: &[(&str, SourceCounts)], out: &mut Writer) {
    let mut entries = out.family(&ENTRIES);
    for (source, counts) in kinds {
        entries.sample(&[source], counts.live);
    }
    let mut unused = out.family(&UNUSED);
    for (source, counts) in kinds {
        unused.sample(&["expired", source], counts.expired);
        unused.sample(&["limit", source], counts.omitted);
        unused.sample(&["unusable", source], counts.unusable);
    }
    let mut age = out.family(&AGE);
    for (source, counts) in kinds {
        if let Some(seconds) = counts.age {
            age.sample(&[source], seconds.as_secs_f64());
        }
    }
    let mut failures = out.family(&FAILURES);
    for (source, counts) in kinds {
        for (reason, count) in Failure::OF_SOURCES.iter().zip(counts.failures) {
            failures.sample(&[reason.word(), source], count);
        }
    }
}

pub(super) fn count(failures: &mut [u64; Failure::OF_SOURCES.len()], failure: Failure) {
    let mut all = Failure::OF_SOURCES.iter().zip(failures);
    if let Some((_, count)) = all.find(|(reason, _)| **reason == failure) {
        *count += 1;
    }
}

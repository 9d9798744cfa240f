//! The families about an exposition as a whole, and its assembly from the parts.
//!
//! In come the parts that arrived by the deadline of a scrape, out goes the body. The server's part is written here, last, so
//! that it can count the collectors that succeeded and the size of the exposition.

use std::collections::BTreeMap;

use super::bounded::Omitted;
use super::collected::PartOf;
use super::run::Collectors;
use super::{Runs, View};
use crate::exposition::{Descriptor, Kind, Part, assemble, write_registry};

static SUCCESS: Descriptor = Descriptor {
    name: "headcount_collector_success",
    kind: Kind::Gauge,
    help: "1 if the families of this collector are in this exposition, 0 if the collector failed or was not ready before the scrape's deadline.",
    labels: &["collector"],
    unit: "-",
    source: "agent",
    fallback: "-",
};

static EXPOSED_SAMPLES: Descriptor = Descriptor {
    name: "headcount_exposed_samples",
    kind: Kind::Gauge,
    help: "Samples in this exposition, this one included.",
    labels: &[],
    unit: "samples",
    source: "agent",
    fallback: "-",
};

static EXPOSED_SERIES: Descriptor = Descriptor {
    name: "headcount_exposed_series",
    kind: Kind::Gauge,
    help: "Samples in this exposition by family; families without labels, which have one sample each, are left out.",
    labels: &["family"],
    unit: "series",
    source: "agent",
    fallback: "-",
};

static MAX_BYTES: Descriptor = Descriptor {
    name: "headcount_exposition_max_bytes",
    kind: Kind::Gauge,
    help: "Largest size of an exposition in bytes before compression (--web.max-exposition-bytes); groups that do not fit are left out.",
    labels: &[],
    unit: "bytes",
    source: "agent",
    fallback: "-",
};

static OMITTED: Descriptor = Descriptor {
    name: "headcount_exposition_omitted_groups",
    kind: Kind::Gauge,
    help: "Groups left out of this exposition because it would be too large, with all their families (`all`) or only with those by thread name (`thread`); their counters continue and return when there is room.",
    labels: &["families"],
    unit: "groups",
    source: "agent",
    fallback: "-",
};

/// Families written after all collectors ran; METRICS.md lists them under `self`.
pub(super) const DESCRIPTORS: [&Descriptor; 5] = [
    &SUCCESS,
    &MAX_BYTES,
    &OMITTED,
    &EXPOSED_SERIES,
    &EXPOSED_SAMPLES,
];

/// The parts that arrived, and the facts about them.
#[derive(Debug, Default)]
pub struct Arrived<'a> {
    /// The parts, in the order in which samples of one family shall stand.
    pub parts: Vec<&'a Part>,
    /// The collectors whose families are in them.
    pub succeeded: Vec<&'static str>,
    /// Groups that are left out of them.
    pub(super) omitted: Omitted,
}

impl<'a> Arrived<'a> {
    /// Adds a part that [`Collectors`] have written.
    pub fn add(&mut self, collected: &'a super::CollectedPart) {
        self.parts.push(&collected.part);
        self.succeeded.extend(&collected.succeeded);
        self.omitted = collected.omitted;
    }
}

/// Writes the server's part and assembles expositions.
#[derive(Debug)]
pub struct Assembler {
    server: Collectors,
    runs: Runs,
    /// All collectors of which an exposition can have families.
    names: Vec<&'static str>,
}

impl Assembler {
    /// `targets`: the collectors of the targets' part that are enabled.
    pub fn new(runs: &Runs, targets: &[&'static str]) -> Self {
        for collector in targets {
            runs.announce(collector);
        }
        let names = super::all(runs)
            .filter(|one| one.part() != PartOf::Targets || targets.contains(&one.name()))
            .map(|one| one.name())
            .collect();
        Self::with(Collectors::of(PartOf::Server, runs), names, runs)
    }

    pub(super) fn with(server: Collectors, names: Vec<&'static str>, runs: &Runs) -> Self {
        Self {
            server,
            runs: runs.clone(),
            names,
        }
    }

    /// The exposition of the parts that `arrived` and of the server's part. Collectors of other parts are marked as failed.
    pub fn exposition(&mut self, view: &View<'_>, mut arrived: Arrived<'_>) -> Vec<u8> {
        arrived.succeeded.extend(self.server.run(view));
        write_registry(self.runs.registry(), &mut self.server.writer);
        self.write_success(&arrived.succeeded);
        self.write_bound(arrived.omitted);
        self.write_series(&arrived.parts);
        let samples = arrived.parts.iter().map(|part| part.samples());
        let samples = samples.sum::<u64>() + self.server.writer.samples() + 1;
        let mut family = self.server.writer.family(&EXPOSED_SAMPLES);
        family.sample(&[], samples);
        let own = self.server.writer.take();
        let mut parts = arrived.parts;
        parts.push(&own);
        assemble(&parts)
    }

    fn write_success(&mut self, succeeded: &[&'static str]) {
        let mut family = self.server.writer.family(&SUCCESS);
        for name in &self.names {
            family.sample(&[name], succeeded.contains(name));
        }
    }

    fn write_bound(&mut self, omitted: Omitted) {
        let Omitted { groups, threads } = omitted;
        let most = self.runs.bound().most_bytes() as u64;
        self.server.writer.family(&MAX_BYTES).sample(&[], most);
        let mut family = self.server.writer.family(&OMITTED);
        family.sample(&["all"], groups);
        family.sample(&["thread"], threads);
    }

    /// Writes the number of samples of each family with labels, this one included.
    fn write_series(&mut self, parts: &[&Part]) {
        let mut families = BTreeMap::new();
        for part in parts {
            part.count_labelled(&mut families);
        }
        self.server.writer.part().count_labelled(&mut families);
        let all = families.len() as u64 + 1;
        families.insert(EXPOSED_SERIES.name.to_owned(), all);
        let mut series = self.server.writer.family(&EXPOSED_SERIES);
        for (family, samples) in &families {
            series.sample(&[family], *samples);
        }
    }
}

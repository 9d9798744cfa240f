//! Totals of fan-in since the start, and the families that show them in `/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::NAME;
use super::ask::AskedInstance;
use super::merged::{Made, Omissions};
use super::sources::Sources;
use super::table::FanInInstance;
use crate::exposition::{Descriptor, Kind, Writer};
use crate::targets::failure::Failure;
use crate::targets::outcomes::FAILURES;

/// Most applications and most instances with counts of their own; fetches of further ones are counted without labels.
const MOST_COUNTED: usize = 1000;
/// Most bytes of labels in a family whose labels come from sources, so that the family fits into the exposition.
const MOST_LABELS: usize = 128 << 10;

static ANSWERS: Descriptor = Descriptor {
    name: "headcount_fan_in_answers_total",
    kind: Kind::Counter,
    help: "Answers to requests for the metrics of an application by outcome: merged, not_found, all_refuse (each instance answers 4xx), \
           path_not_allowed, missed (not made in time, or every client has gone); requests that share an answer count once.",
    labels: &["outcome"],
    unit: "answers",
    source: "agent",
    fallback: "left out unless fan_in is configured",
};

static SHARED: Descriptor = Descriptor {
    name: "headcount_fan_in_shared_requests_total",
    kind: Kind::Counter,
    help: "Requests for the metrics of an application that shared the answer to an equal one.",
    labels: &[],
    unit: "requests",
    source: "agent",
    fallback: "left out unless fan_in is configured",
};

static SECONDS: Descriptor = Descriptor {
    name: "headcount_fan_in_seconds_total",
    kind: Kind::Counter,
    help: "Time in seconds that answers took, by step: ask (until the last instance answered or failed), merge.",
    labels: &["step"],
    unit: "seconds",
    source: "agent, monotonic clock",
    fallback: "left out unless fan_in is configured",
};

static BYTES: Descriptor = Descriptor {
    name: "headcount_fan_in_bytes_total",
    kind: Kind::Counter,
    help: "Size in bytes, without compression, of what instances sent (received) and of the answers made of it (merged).",
    labels: &["what"],
    unit: "bytes",
    source: "agent",
    fallback: "left out unless fan_in is configured",
};

static SERIES: Descriptor = Descriptor {
    name: "headcount_fan_in_series_total",
    kind: Kind::Counter,
    help: "Series of instances in merged answers.",
    labels: &[],
    unit: "series",
    source: "agent",
    fallback: "left out unless fan_in is configured",
};

static OMITTED: Descriptor = Descriptor {
    name: "headcount_fan_in_omitted_total",
    kind: Kind::Counter,
    help: "What merged answers left out: instances beyond the bound, series beyond the bound (cut), series that were there already \
           (duplicates) or that speak for the agent (reserved), timestamps and exemplars; and families that lost their type (types).",
    labels: &["what"],
    unit: "-",
    source: "agent",
    fallback: "left out until an answer was merged",
};

static FETCHED: Descriptor = Descriptor {
    name: "promfetch_metric_fetch_success_total",
    kind: Kind::Counter,
    help: "Instances and external exporters whose metrics were merged, by application; without labels for applications after the first 1,000.",
    labels: &[
        "app_id",
        "app_name",
        "organization_id",
        "organization_name",
        "space_id",
        "space_name",
    ],
    unit: "fetches",
    source: "agent",
    fallback: "left out until there is one",
};

static FETCH_FAILED: Descriptor = Descriptor {
    name: "promfetch_metric_fetch_failed_total",
    kind: Kind::Counter,
    help: "Instances and external exporters whose metrics could not be fetched or merged, by instance, which exporters do not have; \
           instances that answered 4xx are not counted; without labels for instances after the first 1,000.",
    labels: &[
        "app_id",
        "app_name",
        "index",
        "instance_id",
        "organization_id",
        "organization_name",
        "space_id",
        "space_name",
    ],
    unit: "fetches",
    source: "agent",
    fallback: "left out until there is one",
};

static TABLE_AGE: Descriptor = Descriptor {
    name: "promfetch_latest_time_scrape_route",
    kind: Kind::Gauge,
    help: "Time in seconds since every source of instances could last be used.",
    labels: &[],
    unit: "seconds",
    source: "agent, monotonic clock",
    fallback: "left out until that is so",
};

static TABLE_FAILED: Descriptor = Descriptor {
    name: "promfetch_scrape_route_failed_total",
    kind: Kind::Counter,
    help: "Looks at sources of instances that failed, connections to the bus that failed or ended, and malformed messages on it.",
    labels: &[],
    unit: "looks",
    source: "agent",
    fallback: "left out unless fan_in is configured",
};

/// The families of [`FanInTotals`] but for [`FAILURES`], which all kinds share.
pub(super) const DESCRIPTORS: [&Descriptor; 10] = [
    &ANSWERS,
    &SHARED,
    &SECONDS,
    &BYTES,
    &SERIES,
    &OMITTED,
    &FETCHED,
    &FETCH_FAILED,
    &TABLE_AGE,
    &TABLE_FAILED,
];

/// The outcome of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerOutcome {
    Merged,
    NotFound,
    AllRefuse,
    PathNotAllowed,
    Missed,
}

impl AnswerOutcome {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Merged, "merged"),
        (Self::NotFound, "not_found"),
        (Self::AllRefuse, "all_refuse"),
        (Self::PathNotAllowed, "path_not_allowed"),
        (Self::Missed, "missed"),
    ];
}

/// Totals since the start.
#[derive(Debug, Default)]
pub(super) struct FanInTotals {
    answers: [u64; AnswerOutcome::ALL.len()],
    shared: u64,
    asking: Duration,
    merging: Duration,
    received: u64,
    merged: u64,
    series: u64,
    omitted: Option<Omissions>,
    failures: [u64; Failure::OF_INSTANCES.len()],
    fetched: CountsByLabels<6>,
    failed: CountsByLabels<8>,
}

impl FanInTotals {
    pub(super) fn count_answer(&mut self, outcome: AnswerOutcome) {
        self.answers[outcome as usize] += 1;
    }

    /// Counts a question that shares the answer of another one.
    pub(super) fn count_shared(&mut self) {
        self.shared += 1;
    }

    /// Counts the failures of instances that were asked, and `took`, the time it took to ask all. [`Self::count_made`] counts the
    /// instances that answered.
    pub(super) fn count_asked(&mut self, asked: &[AskedInstance], took: Duration) {
        self.asking += took;
        for one in asked {
            if let Err(no_reply) = &one.reply {
                self.count_failure(&one.instance, no_reply.reason, one.refusal().is_some());
            }
        }
    }

    /// Counts an answer, and `took`, the time of its merge.
    pub(super) fn count_made(&mut self, made: &Made, took: Duration) {
        self.merging += took;
        self.received += made.received_bytes;
        self.merged += made.plain_bytes as u64;
        self.series += made.series;
        let omitted = self
            .omitted
            .get_or_insert(made.omitted.map(|(what, _)| (what, 0)));
        for ((_, total), (_, count)) in omitted.iter_mut().zip(made.omitted) {
            *total += count;
        }
        for (instance, result) in &made.answered {
            match result {
                Ok(()) => self.fetched.add(application_labels(instance)),
                Err(failure) => self.count_failure(instance, *failure, false),
            }
        }
    }

    fn count_failure(&mut self, instance: &FanInInstance, failure: Failure, is_refusal: bool) {
        let all = Failure::OF_INSTANCES.iter().zip(&mut self.failures);
        for (_, count) in all.filter(|(reason, _)| **reason == failure) {
            *count += 1;
        }
        if !is_refusal {
            let [id, name, organization_id, organization, space_id, space] =
                application_labels(instance);
            let label = |wanted: &str| {
                let mut labels = instance.labels.iter();
                let found = labels.find(|(name, _)| name == wanted);
                found.map_or("", |(_, value)| value.as_str())
            };
            let (index, instance_id) = (label("index"), label("instance_id"));
            let labels = [
                id,
                name,
                index,
                instance_id,
                organization_id,
                organization,
                space_id,
                space,
            ];
            self.failed.add(labels);
        }
    }

    /// Writes the families; promfetcher's two families about the table show `sources`.
    pub(super) fn write(&self, sources: &Sources, out: &mut Writer) {
        let mut answers = out.family(&ANSWERS);
        for ((_, outcome), count) in AnswerOutcome::ALL.iter().zip(self.answers) {
            answers.sample(&[outcome], count);
        }
        out.family(&SHARED).sample(&[], self.shared);
        let mut seconds = out.family(&SECONDS);
        seconds.sample(&["ask"], self.asking.as_secs_f64());
        seconds.sample(&["merge"], self.merging.as_secs_f64());
        let mut bytes = out.family(&BYTES);
        bytes.sample(&["received"], self.received);
        bytes.sample(&["merged"], self.merged);
        out.family(&SERIES).sample(&[], self.series);
        let mut omitted = out.family(&OMITTED);
        for (what, count) in self.omitted.iter().flatten() {
            omitted.sample(&[what], *count);
        }
        let mut failures = out.family(&FAILURES);
        for (reason, count) in Failure::OF_INSTANCES.iter().zip(self.failures) {
            failures.sample(&[NAME, reason.word()], count);
        }
        let mut fetched = out.family(&FETCHED);
        for (labels, count) in &self.fetched.counts {
            fetched.sample(&labels.each_ref().map(String::as_str), *count);
        }
        let mut failed = out.family(&FETCH_FAILED);
        for (labels, count) in &self.failed.counts {
            failed.sample(&labels.each_ref().map(String::as_str), *count);
        }
        let mut age = out.family(&TABLE_AGE);
        if let Some(since) = sources.age() {
            age.sample(&[], since.as_secs_f64());
        }
        let mut failed = out.family(&TABLE_FAILED);
        failed.sample(&[], sources.failures());
    }
}

/// Values of the labels of [`FETCHED`].
fn application_labels(instance: &FanInInstance) -> [&str; 6] {
    let application = &instance.application;
    [
        &application.id,
        &application.name,
        &application.organization_id,
        &application.organization_name,
        &application.space_id,
        &application.space_name,
    ]
}

/// Counts by label values: at most [`MOST_COUNTED`] sets of values with [`MOST_LABELS`] bytes.
#[derive(Debug)]
struct CountsByLabels<const N: usize> {
    counts: BTreeMap<[String; N], u64>,
    bytes: usize,
}

impl<const N: usize> Default for CountsByLabels<N> {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl<const N: usize> CountsByLabels<N> {
    /// Counts one with these label values, or with empty ones if there is no room.
    fn add(&mut self, labels: [&str; N]) {
        let bytes = self.bytes + labels.iter().map(|label| label.len()).sum::<usize>();
        let labels = labels.map(str::to_owned);
        let has_room = self.counts.len() < MOST_COUNTED && bytes <= MOST_LABELS;
        let labels = match self.counts.contains_key(&labels) {
            true => labels,
            false if has_room => {
                self.bytes = bytes;
                labels
            }
            false => labels.map(|_| String::new()),
        };
        *self.counts.entry(labels).or_default() += 1;
    }
}

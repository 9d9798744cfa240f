//! Makes one answer of the bodies of all instances: their merged series, and the agent's own series about each instance.
//!
//! In: the outcome of asking each instance. Out: the body, and for each instance whether its series are in it. Runs in a thread
//! of its own, without IO and without a deadline.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::NAME;
use super::ask::AskedInstance;
use super::table::FanInInstance;
use crate::exposition::{Descriptor, Kind, Writer};
use crate::merge::{BodyFormat, MergeRules, MergedBody, ScrapedBody, merge};
use crate::targets::failure::Failure;
use crate::targets::outcomes::{DURATION, UP};

/// The family [`UP`], with the place of the reasons in an answer.
static UP_HERE: Descriptor = Descriptor {
    help: "1 if the metrics of the target could be read for this answer, 0 if not; promfetcher_scrape_error and \
           promfetcher_scrape_external_exporter_error have the reasons.",
    ..UP
};

static ERROR: Descriptor = Descriptor {
    name: "promfetcher_scrape_error",
    kind: Kind::Gauge,
    help: "1 for each instance whose metrics are not in this answer; error says why.",
    labels: &["error"],
    unit: "-",
    source: "agent",
    fallback: "left out for an instance whose metrics are there",
};

static EXPORTER_ERROR: Descriptor = Descriptor {
    name: "promfetcher_scrape_external_exporter_error",
    kind: Kind::Gauge,
    help: "1 for each external exporter whose metrics are not in this answer; error says why.",
    labels: &["error", "name"],
    unit: "-",
    source: "agent",
    fallback: "left out for an exporter whose metrics are there",
};

static BYTES: Descriptor = Descriptor {
    name: "headcount_target_bytes",
    kind: Kind::Gauge,
    help: "Size in bytes of the instance's metrics, after decompression.",
    labels: &["kind", "target"],
    unit: "bytes",
    source: "agent",
    fallback: "left out for an instance whose metrics are not there",
};

static SERIES: Descriptor = Descriptor {
    name: "headcount_target_series",
    kind: Kind::Gauge,
    help: "Series of the instance in this answer.",
    labels: &["kind", "target"],
    unit: "series",
    source: "agent",
    fallback: "left out for an instance whose metrics are not there",
};

static OMITTED: Descriptor = Descriptor {
    name: "headcount_target_omitted",
    kind: Kind::Gauge,
    help: "What this answer leaves out: instances beyond the bound, series beyond the bound (cut), series that are there already \
           (duplicates) or that speak for the agent (reserved), timestamps and exemplars; and families that lost their type (types).",
    labels: &["kind", "what"],
    unit: "-",
    source: "agent",
    fallback: "-",
};

/// The families that stand in answers only, for METRICS.md. [`UP`] and [`DURATION`] stand in both.
pub(crate) const ANSWER_DESCRIPTORS: [&Descriptor; 5] =
    [&BYTES, &SERIES, &OMITTED, &ERROR, &EXPORTER_ERROR];

/// The labels that name an instance: the series of an external exporter cannot have them.
const OF_INSTANCE: [&str; 3] = ["index", "instance_id", "instance"];

/// The input of an answer.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) asked: Vec<AskedInstance>,
    /// Instances that were not asked because of the bound.
    pub(super) left_out: usize,
    pub(super) rules: MergeRules,
    pub(super) is_packed: bool,
}

impl Making {
    /// An estimate of the answer's size before compression: each line gets the labels of its instance.
    pub(super) fn expected_bytes(&self) -> usize {
        let answered = self.asked.iter().filter_map(|one| {
            let reply = one.reply.as_ref().ok()?;
            let lines = reply.body.iter().filter(|byte| **byte == b'\n').count();
            let labels = one.instance.labels.iter();
            let labels = labels.map(|(name, value)| name.len() + value.len() + r#"="","#.len());
            Some(reply.body.len() + lines * labels.sum::<usize>())
        });
        answered.sum()
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Made {
    /// Compressed if the request wants that.
    pub(super) body: Vec<u8>,
    /// Its size before compression.
    pub(super) plain_bytes: usize,
    pub(super) series: u64,
    /// Bytes of the instances' bodies, after decompression.
    pub(super) received_bytes: u64,
    /// The instances that have answered, and whether their series are in the body.
    pub(super) answered: Vec<(Arc<FanInInstance>, Result<(), Failure>)>,
    pub(super) omitted: Omissions,
}

/// Counts of omitted parts by the value of the label `what`.
pub(super) type Omissions = [(&'static str, u64); 7];

/// Makes an answer.
pub(super) fn made(making: Making) -> Made {
    let Making {
        asked,
        left_out,
        rules,
        is_packed,
    } = making;
    let scraped = asked.iter().filter_map(|one| {
        let reply = one.reply.as_ref().ok()?;
        Some(ScrapedBody {
            labels: &one.instance.labels,
            without: match one.instance.exporter {
                Some(_) => &OF_INSTANCE,
                None => &[],
            },
            // promfetcher's rule, to overwrite labels, does not apply to the node's own processes.
            keeps_labels: one.instance.listener.is_some(),
            body: &reply.body,
            format: match reply.is_open_metrics {
                true => BodyFormat::OpenMetrics,
                false => BodyFormat::Text,
            },
        })
    });
    let scraped: Vec<ScrapedBody<'_>> = scraped.collect();
    let merged = merge(&scraped, &rules);
    let received_bytes = scraped.iter().map(|one| one.body.len() as u64).sum();
    let omitted = omissions(&merged, left_out);
    let own = own_part(&asked, &merged, &omitted);
    let answered = asked.into_iter().filter(|one| one.reply.is_ok());
    let answered = answered.zip(&merged.instances).map(|(one, outcome)| {
        let malformed = outcome.malformed.map(|_| Failure::Malformed);
        (one.instance, malformed.map_or(Ok(()), Err))
    });
    let answered = answered.collect();
    let series = merged.instances.iter().map(|one| one.series).sum();
    let mut body = merged.body;
    body.extend_from_slice(&own);
    let plain_bytes = body.len();
    if is_packed {
        // Writing to a vector cannot fail. If it did, the body would be empty: the caller expects gzip, so a plain body would be
        // wrong.
        body = packed(&body).unwrap_or_default();
    }
    Made {
        body,
        plain_bytes,
        series,
        received_bytes,
        answered,
        omitted,
    }
}

fn omissions(merged: &MergedBody, left_out: usize) -> Omissions {
    let sum = |of: fn(&crate::merge::InstanceOutcome) -> u64| merged.instances.iter().map(of).sum();
    [
        ("instances", left_out as u64),
        ("cut", sum(|one| one.cut)),
        ("duplicates", sum(|one| one.duplicates)),
        ("reserved", sum(|one| one.reserved)),
        ("timestamps", sum(|one| one.timestamps)),
        ("exemplars", sum(|one| one.exemplars)),
        ("types", merged.type_conflicts),
    ]
}

/// The agent's own families about each instance.
fn own_part(asked: &[AskedInstance], merged: &MergedBody, omitted: &Omissions) -> Vec<u8> {
    let mut outcomes = merged.instances.iter();
    let mut targets = Vec::with_capacity(asked.len());
    let (mut errors, mut exporter_errors) = (BTreeSet::new(), BTreeSet::new());
    for one in asked {
        let shown = match &one.reply {
            Ok(reply) => match outcomes.next() {
                Some(outcome) if outcome.malformed.is_none() => {
                    Ok((reply.body.len() as u64, outcome.series))
                }
                _ => Err(Failure::Malformed),
            },
            Err(no_reply) => Err(no_reply.reason),
        };
        if let Err(failure) = shown {
            let (labels, reason) = (error_labels(&one.instance), failure.word());
            match &one.instance.exporter {
                Some(name) => exporter_errors.insert((labels, reason, Arc::clone(name))),
                None => errors.insert((labels, reason)),
            };
        }
        targets.push((target(&one.instance), one.took, shown.ok()));
    }
    let mut writer = Writer::default();
    let mut up = writer.family(&UP_HERE);
    for (target, _, shown) in &targets {
        up.sample(&[NAME, target], u64::from(shown.is_some()));
    }
    let mut duration = writer.family(&DURATION);
    for (target, took, _) in &targets {
        if let Some(took) = took {
            duration.sample(&[NAME, target], took.as_secs_f64());
        }
    }
    let with_series = || {
        targets
            .iter()
            .filter_map(|(target, _, shown)| Some((target, (*shown)?)))
    };
    let mut bytes = writer.family(&BYTES);
    for (target, (received, _)) in with_series() {
        bytes.sample(&[NAME, target], received);
    }
    let mut series = writer.family(&SERIES);
    for (target, (_, count)) in with_series() {
        series.sample(&[NAME, target], count);
    }
    let mut left_out = writer.family(&OMITTED);
    for (what, count) in omitted {
        left_out.sample(&[NAME, what], *count);
    }
    let mut error = writer.family(&ERROR);
    for (labels, reason) in &errors {
        error.with_labels(labels).sample(&[reason], 1_u64);
    }
    let mut error = writer.family(&EXPORTER_ERROR);
    for (labels, reason, name) in &exporter_errors {
        error.with_labels(labels).sample(&[reason, name], 1_u64);
    }
    writer.finish()
}

/// The value of the label `target`, unique in an answer.
fn target(instance: &FanInInstance) -> String {
    if let Some(exporter) = &instance.exporter {
        let application = instance.application.shown();
        let before = if application.is_empty() { "" } else { "@" };
        return format!("{exporter}{before}{application}");
    }
    let path = instance.metric_path.as_deref().unwrap_or_default();
    format!("{}{path}", instance.address)
}

/// The labels that the error of an instance has from it. Instances without labels of their own share a series for each reason.
fn error_labels(instance: &FanInInstance) -> Vec<(Arc<str>, String)> {
    let labels = instance.labels.iter().filter(|(name, _)| name != "error");
    let labels = labels.map(|(name, value)| (name.as_str().into(), value.clone()));
    labels.collect()
}

fn packed(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

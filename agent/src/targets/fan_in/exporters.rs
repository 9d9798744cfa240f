//! External exporters: services that the agent asks once for each application of an answer. Their series get the labels of the
//! application. Pure.
//!
//! In: the exporters of the configuration, and the instances of an answer. Out: the questions, in the form of instances. The
//! address and the path are from the configuration. Tags come from a source, so they are written only into the value of a
//! parameter, percent-encoded. Left to others: asking (`ask.rs`), and removing the labels of instances from an exporter's series
//! (`merged.rs`).

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::Arc;

use super::ask::AskedInstance;
use super::found::application_labels;
use super::table::{FanInApplication, FanInInstance};
use crate::config::{ExporterConfig, ExporterTags};
use crate::targets::failure::Failure;

/// Most bytes of a query; an exporter with a longer one is not asked, and fails with [`Failure::Limit`].
const MOST_QUERY: usize = 8 << 10;

/// The questions to external exporters for one answer.
#[derive(Debug, Default)]
pub(super) struct ExporterQuestions {
    pub(super) to_ask: Vec<Arc<FanInInstance>>,
    /// Questions that cannot be asked, with their failures.
    pub(super) failed: Vec<AskedInstance>,
    /// Number of questions beyond the bound.
    pub(super) left_out: usize,
}

impl ExporterQuestions {
    /// One question to each exporter for each application of the instances, `most` in all. Exporters are not asked for the node's
    /// own processes.
    pub(super) fn of(
        exporters: &[ExporterConfig],
        instances: &[Arc<FanInInstance>],
        most: usize,
    ) -> Self {
        if exporters.is_empty() {
            return Self::default();
        }
        let mut known = BTreeSet::new();
        let applications = instances.iter().filter(|one| one.listener.is_none());
        let mut applications = applications.map(|one| &one.application).collect::<Vec<_>>();
        applications.retain(|application| known.insert(application.shown()));
        let mut questions = Self {
            left_out: (applications.len() * exporters.len()).saturating_sub(most),
            ..Self::default()
        };
        let pairs = applications.into_iter().flat_map(|application| {
            let tags = tags(application);
            exporters
                .iter()
                .map(move |one| (one, application, tags.clone()))
        });
        for (exporter, application, tags) in pairs.take(most) {
            let (path, failure) = match path(exporter, &tags) {
                Ok(path) => (path, None),
                Err(failure) => (exporter.path.clone(), Some(failure)),
            };
            let instance = Arc::new(question(exporter, application, path));
            match failure {
                None => questions.to_ask.push(instance),
                Some(failure) => questions.failed.push(AskedInstance {
                    instance,
                    reply: Err(failure.into()),
                    took: None,
                }),
            }
        }
        questions
    }
}

fn question(
    exporter: &ExporterConfig,
    application: &Arc<FanInApplication>,
    path: String,
) -> FanInInstance {
    let labels = application_labels(application);
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    FanInInstance {
        address: exporter.address.clone(),
        is_tls: exporter.is_tls,
        server_name: None,
        host: Some(exporter.host.clone()),
        metric_path: Some(path),
        labels: labels.collect(),
        application: Arc::clone(application),
        is_web: false,
        expires: None,
        listener: None,
        exporter: Some(exporter.name.as_str().into()),
    }
}

/// The tags that promfetcher gives to templates. In Cloud Foundry, the source id of an application is its id.
fn tags(application: &FanInApplication) -> ExporterTags {
    ExporterTags::of([
        ("AppID", application.id.as_str()),
        ("AppName", &application.name),
        ("Component", "promfetcher"),
        ("OrganizationID", &application.organization_id),
        ("OrganizationName", &application.organization_name),
        ("ProcessType", "external_exporter"),
        ("SourceID", &application.id),
        ("SpaceID", &application.space_id),
        ("SpaceName", &application.space_name),
    ])
}

/// The path with the query.
///
/// # Errors
/// [`Failure::Template`]: a template fails. [`Failure::Limit`]: the query is too long.
fn path(exporter: &ExporterConfig, tags: &ExporterTags) -> Result<String, Failure> {
    let mut query = EscapedQuery::default();
    let params = exporter.params.iter();
    let pairs = params.flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    for (name, value) in pairs {
        query
            .text
            .push(if query.text.is_empty() { '?' } else { '&' });
        let written = query.write_str(name).map_err(|error| error.to_string());
        query.text.push('=');
        let written = written.and_then(|()| value.write(tags, &mut query));
        written.map_err(|_| match query.is_full() {
            true => Failure::Limit,
            false => Failure::Template,
        })?;
    }
    Ok(format!("{}{}", exporter.path, query.text))
}

/// A query under construction. It percent-encodes all text that is written into it.
#[derive(Debug, Default)]
struct EscapedQuery {
    text: String,
}

impl EscapedQuery {
    fn is_full(&self) -> bool {
        // An escaped byte takes three bytes.
        self.text.len() + 3 > MOST_QUERY
    }
}

impl Write for EscapedQuery {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.is_full() {
                return Err(fmt::Error);
            }
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    self.text.push(char::from(byte));
                }
                _ => write!(self.text, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "exporters_tests.rs"]
mod tests;

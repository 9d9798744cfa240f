//! Parses the files of Prometheus' `file_sd`, JSON and YAML. Pure.
//!
//! ```text
//! - targets: ["10.0.0.7:9100", "10.0.0.8:9100"]
//!   labels: {app: shop, __scheme__: https, __metrics_path__: /internal/metrics}
//! ```
//!
//! In: the bytes. Out: the instances, each under the name of its application: the label `app`, else `job`. The labels
//! `__scheme__` and `__metrics_path__` set the scheme and the path, as in Prometheus; other labels that begin with two
//! underscores are dropped. Entries that cannot be asked are counted, and the others are taken. Any other error that Prometheus
//! would report makes the whole text invalid.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::found::{FoundInstances, INSTANCE};
use super::routes::MOST_ROUTE;
use super::table::{FanInApplication, FanInInstance};
use crate::config::HostPort;
use crate::config::yaml::{self, YamlNode, YamlValue};

/// Largest YAML file, bytes: it is parsed into a tree.
pub(super) const MOST_YAML: usize = 1 << 20;
const RESERVED: &str = "__";

/// Instances with the same labels.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TargetGroup {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// A line, and the error there.
type Refusal = (usize, String);

/// Parses JSON.
///
/// # Errors
/// The text is one that Prometheus refuses, too.
pub(super) fn parse_json(text: &[u8]) -> Result<FoundInstances, Refusal> {
    let groups: Vec<TargetGroup> =
        serde_json::from_slice(text).map_err(|error| (error.line().max(1), error.to_string()))?;
    found(groups.into_iter().map(|group| (1, group)))
}

/// Parses YAML.
///
/// # Errors
/// The text is one that Prometheus refuses, too, or is larger than [`MOST_YAML`].
pub(super) fn parse_yaml(text: &[u8]) -> Result<FoundInstances, Refusal> {
    if text.len() > MOST_YAML {
        return Err((
            1,
            format!("larger than {MOST_YAML} bytes, the most for YAML; write JSON"),
        ));
    }
    let text = std::str::from_utf8(text).map_err(|_| (1, "not UTF-8".to_owned()))?;
    let document = yaml::parse(text).map_err(|error| (error.line, error.cause))?;
    let groups = match document.root.as_ref().map(|root| (root, &root.value)) {
        None | Some((_, YamlValue::Null)) => &[][..],
        Some((_, YamlValue::List(groups))) => groups,
        Some((root, _)) => return Err(wrong(root, "a list of groups, each with targets")),
    };
    let groups = groups.iter().map(|node| Ok((node.line, group(node)?)));
    found(groups.collect::<Result<Vec<_>, Refusal>>()?)
}

fn group(node: &YamlNode) -> Result<TargetGroup, Refusal> {
    let YamlValue::Map(pairs) = &node.value else {
        return Err(wrong(node, "a map with targets and labels"));
    };
    let mut group = TargetGroup::default();
    for (key, value) in pairs {
        match (text(key)?.as_str(), &value.value) {
            ("targets" | "labels", YamlValue::Null) => {}
            ("targets", YamlValue::List(targets)) => {
                group.targets = targets
                    .iter()
                    .map(|one| text(one))
                    .collect::<Result<_, _>>()?;
            }
            ("labels", YamlValue::Map(labels)) => {
                let labels = labels
                    .iter()
                    .map(|(name, value)| Ok((text(name)?, text(value)?)));
                group.labels = labels.collect::<Result<_, Refusal>>()?;
            }
            ("targets", _) => return Err(wrong(value, "a list of host:port")),
            ("labels", _) => return Err(wrong(value, "a map of label names to strings")),
            _ => return Err(wrong(key, "the key targets or labels")),
        }
    }
    Ok(group)
}

fn text(node: &YamlNode) -> Result<String, Refusal> {
    match &node.value {
        YamlValue::Null => Ok(String::new()),
        YamlValue::Scalar(text) => Ok(text.clone()),
        _ => Err(wrong(node, "a string")),
    }
}

fn wrong(node: &YamlNode, expected: &str) -> Refusal {
    (node.line, format!("expected {expected}"))
}

fn found(
    groups: impl IntoIterator<Item = (usize, TargetGroup)>,
) -> Result<FoundInstances, Refusal> {
    let mut found = FoundInstances::default();
    for (line, group) in groups {
        if let Some(name) = group.labels.keys().find(|name| !is_label_name(name)) {
            let name: String = name.chars().take(60).collect();
            return Err((line, format!("{name:?} is no label name")));
        }
        let pattern = pattern(group.labels);
        for target in group.targets {
            let instance = match &pattern {
                Ok(pattern) => HostPort::parse(&target).map(|address| (pattern, address)),
                Err(why) => Err(*why),
            };
            match instance {
                Ok((pattern, address)) => {
                    let application = found.application(pattern.application.clone());
                    let instance = pattern.instance(address, application);
                    found.add(&pattern.name, instance);
                }
                Err(why) => found.refuse(&target, why),
            }
        }
    }
    Ok(found)
}

/// Most bytes of the labels of a group: each of its instances has a copy.
const MOST_LABELS: usize = 16_384;

/// The common properties of the instances of a group.
struct GroupPattern {
    /// The name under which they are found.
    name: String,
    is_tls: bool,
    metric_path: Option<String>,
    application: FanInApplication,
    /// Sorted by name, without those that begin with two underscores.
    labels: BTreeMap<String, String>,
}

fn pattern(mut labels: BTreeMap<String, String>) -> Result<GroupPattern, &'static str> {
    // In Prometheus, an empty label is the same as no label.
    labels.retain(|_, value| !value.is_empty());
    let texts = labels.iter().map(|(name, value)| name.len() + value.len());
    if texts.sum::<usize>() > MOST_LABELS {
        return Err("its labels are longer than 16,384 bytes together");
    }
    let is_tls = match labels.get("__scheme__").map(String::as_str) {
        None | Some("http") => false,
        Some("https") => true,
        Some(_) => return Err("__scheme__ is neither http nor https"),
    };
    let metric_path = labels.get("__metrics_path__").map(|path| metric_path(path));
    let metric_path = metric_path.transpose()?;
    if labels.keys().any(|name| name.starts_with("__param_")) {
        return Err("it has parameters of a URL (__param_), which are not sent");
    }
    labels.retain(|name, _| !name.starts_with(RESERVED));
    let name = labels.get("app").or_else(|| labels.get("job"));
    let name = name
        .cloned()
        .ok_or("it has neither the label app nor job, which names the application")?;
    if name.len() > MOST_ROUTE {
        return Err("its route, the label app or else job, is longer than 2,048 bytes");
    }
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let application = FanInApplication {
        organization_id: label("organization_id"),
        space_id: label("space_id"),
        id: label("app_id"),
        organization_name: label("organization_name"),
        space_name: label("space_name"),
        name: labels.get("app_name").unwrap_or(&name).clone(),
    };
    Ok(GroupPattern {
        name,
        is_tls,
        metric_path,
        application,
        labels,
    })
}

impl GroupPattern {
    fn instance(
        &self,
        address: HostPort,
        application: std::sync::Arc<FanInApplication>,
    ) -> FanInInstance {
        let labels = self.labels.iter().filter(|(name, _)| *name != INSTANCE);
        let labels = labels.map(|(name, value)| (name.clone(), value.clone()));
        let own = self
            .labels
            .get(INSTANCE)
            .cloned()
            .unwrap_or_else(|| address.to_string());
        FanInInstance {
            address,
            is_tls: self.is_tls,
            server_name: None,
            host: None,
            metric_path: self.metric_path.clone(),
            labels: labels.chain([(INSTANCE.to_owned(), own)]).collect(),
            application,
            is_web: true,
            expires: None,
            listener: None,
            exporter: None,
        }
    }
}

/// Checks that a request can carry the path unchanged: no query, no fragment, no character that must be escaped.
fn metric_path(path: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    match (path.bytes().all(is_plain), path.starts_with('/')) {
        (false, _) => Err(
            "__metrics_path__ has a query, a fragment, or characters that are not visible ASCII",
        ),
        (true, true) => Ok(path.to_owned()),
        (true, false) => Ok(format!("/{path}")),
    }
}

fn is_label_name(name: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.as_bytes().first().is_some_and(is_letter)
        && name
            .bytes()
            .all(|byte| is_letter(&byte) || byte.is_ascii_digit())
}

#[cfg(test)]
#[path = "file_sd_tests.rs"]
mod tests;

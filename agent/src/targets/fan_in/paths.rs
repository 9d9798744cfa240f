//! The path at which each instance of a question is asked. Pure.
//!
//! In: the allowed paths of the configuration, the table, and the path that the caller names. Out: a path, or the result that the
//! caller's path is not allowed. The path that the source of an instance states always holds.
//!
//! A rule names an application by its id, its name, organization/space/name, or one of its routes, ignoring case. It also holds
//! for every address that a request with the text of the rule would find, even if the caller's request finds that address in
//! another way. If several rules apply to an instance, the first one in the file counts.

use std::collections::BTreeMap;
use std::time::Instant;

use hyper::http::uri::PathAndQuery;

use super::table::{FanInInstance, InstanceTable, WantedInstances};
use crate::config::{HostPort, PathRule};

/// The path of an instance's metrics if neither the caller nor the configuration names one.
const METRICS: &str = "/metrics";

/// The rules of the configuration.
#[derive(Debug, Default)]
pub(super) struct AllowedPaths {
    /// The paths of each rule, in the order of the file.
    paths: Vec<Vec<PathAndQuery>>,
    /// The first rule of each application, by its text in lower case.
    rules: BTreeMap<String, usize>,
    /// The look-up that finds the addresses for which each rule holds, with the number of the rule.
    look_ups: Vec<(WantedInstances, usize)>,
}

/// The rules, applied to the table of one question.
#[derive(Debug)]
pub(super) struct QuestionPaths<'a> {
    allowed: &'a AllowedPaths,
    /// The first rule for each address.
    by_address: BTreeMap<HostPort, usize>,
    /// The path that the caller names.
    wanted: Option<&'a PathAndQuery>,
}

impl AllowedPaths {
    pub(super) fn new(rules: &[PathRule]) -> Self {
        let mut allowed = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            let text = &rule.application;
            let paths = rule.paths.iter().filter_map(|path| path.parse().ok());
            allowed.paths.push(paths.collect());
            allowed.rules.entry(text.to_lowercase()).or_insert(index);
            let look_ups = [WantedInstances::named(text), WantedInstances::route(text)];
            let look_ups = look_ups.into_iter().flatten();
            allowed
                .look_ups
                .extend(look_ups.map(|look_up| (look_up, index)));
        }
        allowed
    }

    /// The rules for a question of a caller that names the path `wanted`.
    pub(super) fn of_question<'a>(
        &'a self,
        table: &InstanceTable,
        wanted: Option<&'a PathAndQuery>,
    ) -> QuestionPaths<'a> {
        let now = Instant::now();
        let mut by_address = BTreeMap::new();
        for (look_up, rule) in &self.look_ups {
            for instance in table.look_up(look_up, now) {
                by_address.entry(instance.address.clone()).or_insert(*rule);
            }
        }
        QuestionPaths {
            allowed: self,
            by_address,
            wanted,
        }
    }
}

impl QuestionPaths<'_> {
    /// The path at which an instance is asked if its source names none; `None`: the caller's path is not allowed. `stored`: the
    /// path that the service broker has stored for the application; if allowed, it wins over the caller's path.
    pub(super) fn of(
        &self,
        instance: &FanInInstance,
        stored: Option<PathAndQuery>,
    ) -> Option<PathAndQuery> {
        let metrics = PathAndQuery::from_static(METRICS);
        let wanted = || self.wanted.cloned();
        let Some(allowed) = self.rule(instance) else {
            return Some(stored.or_else(wanted).unwrap_or(metrics));
        };
        let is_allowed = |path: &PathAndQuery| allowed.contains(path);
        match stored.filter(is_allowed).or_else(wanted) {
            Some(wanted) => is_allowed(&wanted).then_some(wanted),
            None if is_allowed(&metrics) => Some(metrics),
            None => allowed.first().cloned(),
        }
    }

    /// The allowed paths of an instance; `None`: the caller may name any path.
    fn rule(&self, instance: &FanInInstance) -> Option<&[PathAndQuery]> {
        if self.allowed.rules.is_empty() || instance.metric_path.is_some() {
            return None;
        }
        let application = &instance.application;
        let names = [
            application.organization_name.as_str(),
            &application.space_name,
            &application.name,
        ];
        let texts = [
            application.id.clone(),
            application.name.clone(),
            names.join("/"),
        ];
        let rules = texts
            .iter()
            .filter_map(|text| self.allowed.rules.get(&text.to_lowercase()));
        let rule = rules.chain(self.by_address.get(&instance.address)).min()?;
        self.allowed.paths.get(*rule).map(Vec::as_slice)
    }
}

#[cfg(test)]
#[path = "paths_tests.rs"]
mod tests;

//! A scrape beside the documents of the instances, read before and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::facts::{Facts, Series, parts, series, with_label};
use super::instance::Instance;
use super::support::agent::{Agent, PATIENCE};
use super::support::scrape::Scrape;

/// The samples of one scrape.
#[derive(Debug)]
pub(crate) struct Samples {
    scrape: Scrape,
    all: Series,
}

/// Scrapes.
pub(crate) fn scrape(agent: &Agent) -> Samples {
    Samples::of(agent.scrape())
}

impl Samples {
    pub(crate) fn of(scrape: Scrape) -> Self {
        let lines = scrape.body.lines().filter(|line| !line.starts_with('#'));
        let all = lines.map(|line| {
            let (key, value) = line.rsplit_once(' ').unwrap();
            (key.to_owned(), value.parse().unwrap())
        });
        Self {
            all: all.collect(),
            scrape,
        }
    }

    pub(crate) fn value(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.all.get(&series(family, labels)).copied()
    }

    /// Whether the agent has asked an instance successfully; `None` if it does not know it.
    pub(crate) fn up(&self, instance: &Instance) -> Option<f64> {
        let labels = [("kind", "passenger"), ("target", instance.name.as_str())];
        self.value("headcount_target_up", &labels)
    }

    /// Groups of processes, and how many each has.
    pub(crate) fn groups(&self) -> BTreeMap<String, u64> {
        self.scrape.groups()
    }

    /// Failures by a reason, of all instances.
    pub(crate) fn failures(&self, reason: &str) -> f64 {
        let labels = [("kind", "passenger"), ("reason", reason)];
        let value = self.value("headcount_target_failures_total", &labels);
        value.unwrap_or_default()
    }

    /// The series of one instance, without those that no document holds.
    pub(crate) fn of_instance(&self, instance: &Instance) -> Series {
        let own = ("passenger_instance", instance.name.as_str());
        let is_own = |key: &str| {
            let (family, labels) = parts(key);
            family.starts_with("passenger_")
                && !family.starts_with("passenger_go_")
                && !family.ends_with("_info")
                && labels.contains(&own)
        };
        self.chosen(is_own)
    }

    /// The series of the original's families that have this name.
    pub(crate) fn of_original(&self, name: &str) -> Series {
        self.chosen(|key| {
            let (family, labels) = parts(key);
            family.starts_with("passenger_go_") && labels.contains(&("name", name))
        })
    }

    /// The counters: series that must not fall.
    pub(crate) fn counters(&self) -> Series {
        let types = self
            .scrape
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "));
        let counters: Vec<&str> = types
            .filter_map(|line| line.strip_suffix(" counter"))
            .collect();
        self.chosen(|key| counters.contains(&parts(key).0))
    }

    /// The labels of `passenger_instance_info`.
    pub(crate) fn info(&self, instance: &Instance) -> BTreeMap<&str, &str> {
        let infos = self.infos("passenger_instance_info", instance);
        let info = infos.into_iter().next();
        let info = info.unwrap_or_else(|| panic!("no info: {}", self.scrape.body));
        info.into_iter().collect()
    }

    /// The labels of each sample of an instance in such a family.
    pub(crate) fn infos(&self, family: &str, instance: &Instance) -> Vec<Vec<(&str, &str)>> {
        let own = ("passenger_instance", instance.name.as_str());
        let all = self.all.keys().map(|key| parts(key));
        let own = all.filter(|(of, labels)| *of == family && labels.contains(&own));
        own.map(|(_, labels)| labels).collect()
    }

    /// That no secret of an instance is in the answer.
    pub(crate) fn assert_silent_on(&self, instance: &Instance) {
        for secret in instance.secrets() {
            assert!(
                !self.scrape.body.contains(&secret),
                "the answer holds a secret"
            );
        }
    }

    fn chosen(&self, is_chosen: impl Fn(&str) -> bool) -> Series {
        let chosen = self.all.iter().filter(|(key, _)| is_chosen(key));
        chosen.map(|(key, value)| (key.clone(), *value)).collect()
    }
}

/// That no secret of an instance is in the log.
pub(crate) fn assert_log_is_silent(agent: &Agent, instances: &[&Instance]) {
    let log = agent.log().join("\n");
    for secret in instances.iter().flat_map(|instance| instance.secrets()) {
        assert!(!log.contains(&secret), "the log holds a secret");
    }
}

/// Whether the totals count processes that live no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Totals {
    /// This is the agent's first scrape, or no process has ended since.
    OfTheLiving,
    /// Processes have ended.
    AtLeast,
}

/// Scrapes until the documents before and after say the same, and requires that the scrape does so, too.
pub(crate) fn agree(agent: &Agent, instances: &[&Instance], totals: Totals) -> Samples {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before: Vec<_> = instances.iter().map(|one| Facts::read(one)).collect();
        let samples = scrape(agent);
        let after: Vec<_> = instances.iter().map(|one| Facts::read(one)).collect();
        if before == after && before.iter().all(Option::is_some) {
            for (instance, facts) in instances.iter().zip(before.iter().flatten()) {
                assert_agrees(&samples, instance, facts, totals);
                samples.assert_silent_on(instance);
            }
            return samples;
        }
        assert!(Instant::now() < deadline, "never at rest: {before:#?}");
    }
}

fn assert_agrees(samples: &Samples, instance: &Instance, facts: &Facts, totals: Totals) {
    assert_eq!(samples.up(instance), Some(1.0), "{}", samples.scrape.body);
    let mut found = samples.of_instance(instance);
    for (key, least) in &facts.totals {
        let value = found
            .remove(key)
            .unwrap_or_else(|| panic!("{key} is missing: {found:#?}"));
        match totals {
            // Passenger sets these to 0 every few seconds, so the agent may have seen more than there is now.
            _ if key.starts_with("passenger_turbocache_") => assert!(value >= *least, "{key}"),
            Totals::OfTheLiving => assert_eq!(value, *least, "{key}"),
            Totals::AtLeast => assert!(value >= *least, "{key} {value} < {least}"),
        }
    }
    assert_same(&found, &facts.exact);
    for (name, expected) in &facts.original {
        let expected: Series = expected
            .iter()
            .map(|(key, value)| (with_label(key, "name", name), *value))
            .collect();
        assert_same(&samples.of_original(name), &expected);
    }
}

/// Lists the differences.
pub(crate) fn assert_same(found: &Series, expected: &Series) {
    let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let close = |one: &f64, other: &f64| (one - other).abs() <= other.abs() * 1e-12;
    let differences: Vec<String> = keys
        .into_iter()
        .filter_map(|key| match (found.get(key), expected.get(key)) {
            (Some(one), Some(other)) if close(one, other) => None,
            (one, other) => Some(format!("{key}: {one:?} instead of {other:?}")),
        })
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

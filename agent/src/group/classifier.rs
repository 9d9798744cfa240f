//! Which item picks a process, and what its group is called.
//!
//! In come a configuration, compiled once, and the facts of a process; out goes a [`Verdict`]. It is pure but for the
//! counts of failed templates, remembers nothing of any process, and cannot fail: what can, fails when it is made.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::name::NameTemplate;
use super::pattern::Matches;
use super::selector::{Miss, Selector, Subject};
use super::start_time::BootTime;
use crate::config::{self, Config, Key};
use crate::process::Facts;

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The item that picked it, from 0.
    pub item: usize,
    /// The name of its group: any text of at most [`super::MAX_NAME`] bytes, the empty one too.
    pub name: String,
}

/// What the items say of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is in this group.
    Member(Placement),
    /// This item, which excludes, matches: it is in no group, whatever its ancestors are in.
    Excluded {
        /// Which, from 0.
        item: usize,
    },
    /// No item matches: it joins its nearest tracked ancestor.
    Unmatched,
}

/// A name template that failed on some process: the group got the text up to there, as in process-exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFailure {
    /// Whose template, from 0.
    pub item: usize,
    /// How often so far.
    pub count: u64,
    /// Why, the first time.
    pub cause: String,
}

/// A compiled configuration.
#[derive(Debug)]
pub struct Classifier {
    items: Vec<CompiledItem>,
}

#[derive(Debug)]
pub(super) struct CompiledItem {
    pub(super) selector: Selector,
    exclude: bool,
    pub(super) name: NameTemplate,
    failures: AtomicU64,
    first_failure: OnceLock<String>,
}

impl Classifier {
    /// Compiles `config`.
    ///
    /// # Errors
    /// The first regular expression or name template that cannot be compiled, with its line.
    pub fn new(config: &Config) -> Result<Self, config::Error> {
        let items = (0..config.items.len())
            .map(|index| compile(config, index))
            .collect::<Result<_, _>>()?;
        Ok(Classifier { items })
    }

    /// Whether some template may look at the working directory.
    pub fn uses_cwd(&self) -> bool {
        self.items.iter().any(|item| item.name.uses_cwd())
    }

    /// What the first item says whose selectors all match.
    pub fn classify(&self, facts: &Facts, boot: BootTime) -> Verdict {
        let subject = Subject::new(facts);
        let mut matches = Matches::new();
        let found = self.items.iter().enumerate().find(|(_, item)| {
            let captured = item.name.uses_matches().then_some(&mut matches);
            item.selector.miss(&subject, captured).is_none()
        });
        match found {
            None => Verdict::Unmatched,
            Some((index, item)) if item.exclude => Verdict::Excluded { item: index },
            Some((index, item)) => Verdict::Member(Placement {
                item: index,
                name: item.render(&item.name, facts, boot, &matches),
            }),
        }
    }

    /// Of each item, why it does not match; `None` where it would, did no earlier one.
    pub fn misses(&self, facts: &Facts) -> impl Iterator<Item = Option<Miss>> {
        let subject = Subject::new(facts);
        self.items
            .iter()
            .map(move |item| item.selector.miss(&subject, None))
    }

    /// Name templates that have failed at least once. Each is worth one warning.
    pub fn template_failures(&self) -> Vec<TemplateFailure> {
        let failed = |(item, compiled): (usize, &CompiledItem)| {
            let cause = compiled.first_failure.get()?.clone();
            Some(TemplateFailure {
                item,
                count: compiled.failures.load(Ordering::Relaxed),
                cause,
            })
        };
        self.items.iter().enumerate().filter_map(failed).collect()
    }
}

/// Item number `index` of `config`, from 0.
pub(super) fn compile(config: &Config, index: usize) -> Result<CompiledItem, config::Error> {
    let item = &config.items[index];
    let selector = Selector::compile(item).map_err(|bad| {
        let what = match bad.key {
            Key::Cgroup => "cgroup regex",
            _ => "cmdline regex",
        };
        config.invalid(index, bad.key, Some(bad.index), what, bad.cause)
    })?;
    let source = item.name.as_ref().map(|name| name.text.as_str());
    let name = NameTemplate::compile(source)
        .map_err(|cause| config.invalid(index, Key::Name, None, "name template", cause))?;
    Ok(CompiledItem {
        selector,
        exclude: item.exclude,
        name,
        failures: AtomicU64::new(0),
        first_failure: OnceLock::new(),
    })
}

impl CompiledItem {
    fn render(
        &self,
        template: &NameTemplate,
        facts: &Facts,
        boot: BootTime,
        matches: &Matches,
    ) -> String {
        let rendered = template.render(facts, boot, matches);
        if let Some(cause) = rendered.error {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.first_failure.get_or_init(|| cause);
        }
        rendered.text
    }
}

#[cfg(test)]
#[path = "classifier_tests.rs"]
mod tests;

//! Which item picks a process, and what its group is called.
//!
//! In come a configuration, compiled once, and the facts of a process; out goes its [`Placement`]. It is pure but for the
//! counts of failed templates, remembers nothing of any process, and cannot fail: what can, fails when it is made.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::name::NameTemplate;
use super::name_map::NameMap;
use super::pattern::Matches;
use super::selector::{Selector, Subject};
use super::start_time::BootTime;
use crate::config::{self, Config, Key};
use crate::process::Facts;

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The item that picked it, from 0; 0 for all names of the command line.
    pub item: usize,
    /// The name of its group: any text of at most [`super::MAX_NAME`] bytes, the empty one too.
    pub name: String,
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
    /// In place of items.
    names: NameMap,
}

#[derive(Debug)]
struct CompiledItem {
    selector: Selector,
    name: NameTemplate,
    failures: AtomicU64,
    first_failure: OnceLock<String>,
}

impl Classifier {
    /// Compiles `config`.
    ///
    /// # Errors
    /// The first regular expression or name template that cannot be compiled, with its line.
    pub fn new(config: &Config) -> Result<Self, config::Error> {
        let compile = |(index, item): (usize, &config::Item)| {
            let selector = Selector::compile(item).map_err(|bad| {
                config.invalid(
                    index,
                    Key::Cmdline,
                    Some(bad.index),
                    "cmdline regex",
                    bad.cause,
                )
            })?;
            let source = item.name.as_ref().map(|name| name.text.as_str());
            let name = NameTemplate::compile(source)
                .map_err(|cause| config.invalid(index, Key::Name, None, "name template", cause))?;
            Ok(CompiledItem {
                selector,
                name,
                failures: AtomicU64::new(0),
                first_failure: OnceLock::new(),
            })
        };
        let items = config
            .items
            .iter()
            .enumerate()
            .map(compile)
            .collect::<Result<_, _>>()?;
        Ok(Classifier {
            items,
            names: NameMap::default(),
        })
    }

    /// Compiles `-procnames` and `-namemapping`.
    ///
    /// # Errors
    /// What is wrong with the second one.
    pub fn of_names(procnames: &str, namemapping: &str) -> Result<Self, String> {
        Ok(Classifier {
            items: Vec::new(),
            names: NameMap::compile(procnames, namemapping)?,
        })
    }

    /// The groups that are known before any process is: those whose name is a text without any action.
    pub fn fixed_names(&self) -> Vec<String> {
        let of_items = self.items.iter().filter_map(|item| item.name.fixed());
        of_items.chain(self.names.fixed()).collect()
    }

    /// The first item whose selectors all match, and the name it gives. `None` if there is none.
    pub fn classify(&self, facts: &Facts, boot: BootTime) -> Option<Placement> {
        if let Some(name) = self.names.group_of(facts) {
            return Some(Placement { item: 0, name });
        }
        let subject = Subject::new(facts);
        let mut matches = Matches::new();
        let (item, compiled) = self.items.iter().enumerate().find(|(_, item)| {
            let captured = item.name.uses_matches().then_some(&mut matches);
            item.selector.matches(&subject, captured)
        })?;
        let rendered = compiled.name.render(facts, boot, &matches);
        if let Some(cause) = rendered.error {
            compiled.failures.fetch_add(1, Ordering::Relaxed);
            compiled.first_failure.get_or_init(|| cause);
        }
        Some(Placement {
            item,
            name: rendered.name,
        })
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

#[cfg(test)]
#[path = "classifier_tests.rs"]
mod tests;

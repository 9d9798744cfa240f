//! Decides which item picks a process, and the name of its group.
//!
//! In come a configuration, compiled once, and the facts of a process; out goes a [`Verdict`]. Except for the counts of failed
//! templates, it is pure and remembers nothing of any process. It cannot fail: all errors show when it is compiled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::Labels;
use super::boot_time::BootTime;
use super::name::{self, NameTemplate, Rendered};
use super::name_map::NameMap;
use super::pattern::{Matches, Room};
use super::selector::{Candidate, Miss, Selector};
use crate::config::{self, Config, ConfigError, Key, Label, ScrapeConfig};
use crate::process::Facts;

/// The group of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The item that picked the process, from 0; 0 for all names of the command line.
    pub item: usize,
    /// The name of its group: any text of at most [`super::MAX_NAME`] bytes, including the empty one.
    pub name: String,
    /// The further labels of its group; a value has at most [`super::MAX_NAME`] bytes, too.
    pub labels: Labels,
    /// The number of groups that the item may make; `None`: no bound of its own.
    pub max_groups: Option<u32>,
    /// Whether the HTTP requests that the process serves are counted.
    pub counts_requests: bool,
    /// Whether the requests of each process of its group are shown.
    pub shows_servers: bool,
    /// Whether the name or the value of a label was too long, and ends in a hash.
    pub is_cut: bool,
}

impl Placement {
    /// A placement without further labels.
    pub(super) fn plain(item: usize, name: String) -> Self {
        Self {
            item,
            name,
            labels: Labels::new(),
            max_groups: None,
            counts_requests: false,
            shows_servers: false,
            is_cut: false,
        }
    }
}

/// The decision of the items about a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is in this group.
    Member(Placement),
    /// An item with `exclude` matches: the process is in no group, even if its ancestors are in groups.
    Excluded {
        /// The item, from 0.
        item: usize,
    },
    /// No item matches: it joins its nearest tracked ancestor.
    Unmatched,
}

/// A template that failed on some process: the group got the text up to there, as in process-exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFailure {
    /// The item of the template, from 0.
    pub item: usize,
    /// Number of failures so far.
    pub count: u64,
    /// The cause of the first failure.
    pub cause: String,
}

/// A compiled configuration.
#[derive(Debug)]
pub struct Classifier {
    items: Vec<CompiledItem>,
    /// The names of the command line, used instead of items.
    names: NameMap,
    /// Whether the requests of all groups are counted, not only those of items with `http`.
    counts_all_requests: bool,
}

#[derive(Debug)]
pub(super) struct CompiledItem {
    pub(super) selector: Selector,
    exclude: bool,
    pub(super) name: NameTemplate,
    /// The name template as the user wrote it.
    source: String,
    /// The item as the user wrote it, without line numbers.
    typed: config::Item,
    pub(super) labels: Vec<(Arc<str>, NameTemplate)>,
    max_groups: Option<u32>,
    failures: AtomicU64,
    first_failure: OnceLock<String>,
}

impl Classifier {
    /// Compiles `config`.
    ///
    /// # Errors
    /// The first regular expression or name template that cannot be compiled, with its line.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut room = Room::default();
        let items = (0..config.items.len())
            .map(|index| compile(config, index, &mut room))
            .collect::<Result<_, _>>()?;
        Ok(Classifier {
            items,
            names: NameMap::default(),
            counts_all_requests: false,
        })
    }

    /// Compiles `-procnames` and `-namemapping`.
    ///
    /// # Errors
    /// The mistake in `-namemapping`.
    pub fn of_names(procnames: &str, namemapping: &str) -> Result<Self, String> {
        Ok(Classifier {
            items: Vec::new(),
            names: NameMap::compile(procnames, namemapping)?,
            counts_all_requests: false,
        })
    }

    /// Sets whether the requests of all groups are counted, regardless of their items.
    pub fn with_all_requests(mut self, is_wanted: bool) -> Self {
        self.counts_all_requests = is_wanted;
        self
    }

    /// Whether the requests of all groups are counted.
    pub fn counts_all_requests(&self) -> bool {
        self.counts_all_requests
    }

    /// Whether the requests of some group are counted.
    pub fn counts_requests(&self) -> bool {
        self.counts_all_requests || self.items.iter().any(|item| item.typed.http)
    }

    /// The groups that exist before any process: those whose name is a text without any action, and that have no further
    /// labels.
    pub fn fixed(&self) -> Vec<Placement> {
        let of_items = self.items.iter().enumerate().filter_map(|(index, item)| {
            let is_plain = !item.exclude && item.labels.is_empty();
            let name = item.name.fixed().filter(|_| is_plain)?;
            Some(Placement {
                max_groups: item.max_groups,
                counts_requests: self.counts_all_requests || item.typed.http,
                shows_servers: item.typed.http_per_process,
                ..Placement::plain(index, name)
            })
        });
        let of_names = self.names.fixed().map(|name| Placement {
            counts_requests: self.counts_all_requests,
            ..Placement::plain(0, name)
        });
        of_items.chain(of_names).collect()
    }

    /// The name template of an item, from 0; `None` for the names of the command line.
    pub fn template(&self, item: usize) -> Option<&str> {
        self.items.get(item).map(|item| item.source.as_str())
    }

    /// How the metrics of the processes of each item are asked, and whether they may receive credentials; nothing if those of
    /// no item are.
    pub fn scrapes(&self) -> Vec<Option<(Arc<ScrapeConfig>, bool)>> {
        let of_item = |item: &CompiledItem| {
            let scrape = item.typed.scrape.clone().filter(|_| !item.exclude)?;
            Some((Arc::new(scrape), item.typed.may_receive_credentials()))
        };
        let all: Vec<_> = self.items.iter().map(of_item).collect();
        match all.iter().any(Option::is_some) {
            true => all,
            false => Vec::new(),
        }
    }

    /// Whether some template may use the working directory.
    pub fn uses_cwd(&self) -> bool {
        let mut templates = self.items.iter().flat_map(CompiledItem::templates);
        templates.any(NameTemplate::uses_cwd)
    }

    /// Whether some template may use the names of the pod.
    pub fn uses_pods(&self) -> bool {
        let mut templates = self.items.iter().flat_map(CompiledItem::templates);
        templates.any(NameTemplate::uses_pods)
    }

    /// The verdict of the first item whose selectors all match.
    pub fn classify(&self, facts: &Facts, boot: BootTime) -> Verdict {
        if let Some(name) = self.names.group_of(facts) {
            return Verdict::Member(Placement {
                is_cut: name.is_cut,
                counts_requests: self.counts_all_requests,
                ..Placement::plain(0, name.text)
            });
        }
        let subject = Candidate::new(facts);
        let mut matches = Matches::new();
        let found = self.items.iter().enumerate().find(|(_, item)| {
            let uses_matches = item.templates().any(NameTemplate::uses_matches);
            let captured = uses_matches.then_some(&mut matches);
            item.selector.miss(&subject, captured).is_none()
        });
        match found {
            None => Verdict::Unmatched,
            Some((index, item)) if item.exclude => Verdict::Excluded { item: index },
            Some((index, item)) => {
                let mut is_cut = false;
                let mut render = |template| {
                    let rendered = item.render(template, facts, boot, &matches);
                    is_cut |= rendered.is_cut;
                    rendered.text
                };
                let name = render(&item.name);
                let labels = item.labels.iter();
                let labels = labels.map(|(name, value)| (Arc::clone(name), render(value)));
                // To Prometheus, an empty label is the same as none.
                let labels = labels.filter(|(_, value)| !value.is_empty()).collect();
                Verdict::Member(Placement {
                    item: index,
                    name,
                    labels,
                    max_groups: item.max_groups,
                    counts_requests: self.counts_all_requests || item.typed.http,
                    shows_servers: item.typed.http_per_process,
                    is_cut,
                })
            }
        }
    }

    /// For each item, the first selector that does not match; `None` if the item matches, were there no earlier one.
    pub fn misses(&self, facts: &Facts) -> impl Iterator<Item = Option<Miss>> {
        let subject = Candidate::new(facts);
        self.items
            .iter()
            .map(move |item| item.selector.miss(&subject, None))
    }

    /// Whether a process that item number `item` of `former` matched (`None`: no item matched it) gets the same verdict here,
    /// whatever its facts are: this item and all before it are unchanged.
    pub fn decides_as(&self, former: &Self, item: Option<usize>) -> bool {
        let pairs = self.items.iter().zip(&former.items);
        let unchanged = pairs.take_while(|(a, b)| a.typed == b.typed).count();
        let is_whole = || self.items.len() == unchanged && former.items.len() == unchanged;
        item.map_or_else(is_whole, |item| item < unchanged)
    }

    /// Items of which a template has failed at least once. The caller logs each of them once.
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

/// Compiles item number `index` of `config`, from 0.
pub(super) fn compile(
    config: &Config,
    index: usize,
    room: &mut Room,
) -> Result<CompiledItem, ConfigError> {
    let item = &config.items[index];
    let selector = Selector::compile(item, room).map_err(|bad| {
        let what = match bad.key {
            Key::Cgroup => "cgroup regex",
            _ => "cmdline regex",
        };
        let looks_around = ["(?!", "(?=", "(?<!", "(?<="];
        let typed = item.text(bad.key, Some(bad.index));
        let is_look = typed.is_some_and(|typed| looks_around.iter().any(|look| typed.text.contains(look)));
        let remedy = match is_look {
            true => "; look-around is not supported: to leave processes out, put an item with exclude: true before this one",
            false => "",
        };
        let cause = format_args!("{}{remedy}", bad.cause);
        config.invalid(index, bad.key, Some(bad.index), what, cause)
    })?;
    let source = item.name.as_ref().map(|name| name.text.as_str());
    let source = source.filter(|source| !source.is_empty());
    let name = NameTemplate::compile(source)
        .map_err(|cause| config.invalid(index, Key::Name, None, "name template", cause))?;
    let label = |(number, label): (usize, &Label)| {
        let template = NameTemplate::of(&label.template.text).map_err(|cause| {
            config.invalid(index, Key::Labels, Some(number), "label template", cause)
        })?;
        Ok((Arc::from(label.name.as_str()), template))
    };
    let labels = item.labels.iter().enumerate().map(label);
    Ok(CompiledItem {
        selector,
        exclude: item.exclude,
        name,
        source: source.unwrap_or(name::DEFAULT).to_owned(),
        typed: item.without_lines(),
        labels: labels.collect::<Result<_, _>>()?,
        max_groups: item.max_groups,
        failures: AtomicU64::new(0),
        first_failure: OnceLock::new(),
    })
}

impl CompiledItem {
    /// Whether the number of its groups is bounded: it excludes, or has `max_groups`.
    pub(super) const fn is_bounded(&self) -> bool {
        self.exclude || self.max_groups.is_some()
    }

    fn templates(&self) -> impl Iterator<Item = &NameTemplate> {
        let labels = self.labels.iter().map(|(_, template)| template);
        std::iter::once(&self.name).chain(labels)
    }

    fn render(
        &self,
        template: &NameTemplate,
        facts: &Facts,
        boot: BootTime,
        matches: &Matches,
    ) -> Rendered {
        let mut rendered = template.render(facts, boot, matches);
        if let Some(cause) = rendered.error.take() {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.first_failure.get_or_init(|| cause);
        }
        rendered
    }
}

#[cfg(test)]
#[path = "tests/classifier.rs"]
mod tests;

//! `headcount list`: shows the group of each process of this machine now, and the item that decides it. `headcount targets`:
//! shows the instances that fan-in would ask (`targets.rs`).
//!
//! In come a compiled configuration and a reader of `/proc`; out goes text. The result is that of an agent that starts now; an
//! agent that has run for longer may have seen processes with other parents and programs. Each process is one line of the given
//! width, even if its name has hostile characters.

mod explain;
mod lines;
mod screen;
mod table;
mod targets;

use std::collections::BTreeMap;

pub use explain::explain;
pub use screen::terminal_width;
pub use table::table;
pub use targets::targets;

use crate::config::Config;
use crate::group::{BootTime, Classifier, Placement, Verdict};
use crate::process::Facts;
use crate::source::procfs::{Procfs, ProcfsError};

/// Largest part of a command line that is kept, bytes.
const KEPT: usize = 4096;

/// All processes at one moment, by process id.
#[derive(Debug)]
pub struct Machine {
    processes: BTreeMap<u32, ListedProcess>,
    /// Processes that could not be read.
    pub unread: usize,
}

#[derive(Debug)]
struct ListedProcess {
    facts: Facts,
    verdict: Verdict,
}

/// Why a process is in its group, or in none.
#[derive(Debug, PartialEq, Eq)]
enum Home<'a> {
    /// In the group of the item that matches the process itself.
    Own(&'a Placement),
    /// In the group of its ancestor with this process id.
    Of(u32, &'a Placement),
    /// In no group, because this item, counted from 0, excludes the process with this id: the process itself, or its ancestor.
    Excluded(u32, usize),
    /// In no group.
    Nowhere,
}

impl Machine {
    /// Reads every process. Arguments are kept as far as a line may show them, those of the process `whole` in full.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub fn read(
        procfs: &mut Procfs,
        classifier: &Classifier,
        whole: Option<u32>,
    ) -> Result<Self, ProcfsError> {
        let boot = BootTime {
            unix_seconds: procfs.host().boot_time,
        };
        let mut machine = Self {
            processes: BTreeMap::new(),
            unread: 0,
        };
        for tgid in procfs.list()? {
            match procfs.facts(tgid, None) {
                Ok(mut facts) => {
                    let verdict = classifier.classify(&facts, boot);
                    if whole != Some(tgid) {
                        facts.argv = facts.argv.shortened(KEPT);
                    }
                    machine
                        .processes
                        .insert(tgid, ListedProcess { facts, verdict });
                }
                Err(error) => machine.unread += usize::from(!error.is_gone()),
            }
        }
        Ok(machine)
    }

    fn home(&self, tgid: u32) -> Home<'_> {
        let mut at = tgid;
        // The kernel may reuse process ids while this function reads, so parents may form a cycle.
        for _ in 0..=self.processes.len() {
            let Some(process) = self.processes.get(&at) else {
                return Home::Nowhere;
            };
            match &process.verdict {
                Verdict::Member(placement) if at == tgid => return Home::Own(placement),
                Verdict::Member(placement) => return Home::Of(at, placement),
                Verdict::Excluded { item } => return Home::Excluded(at, *item),
                Verdict::Unmatched => at = process.facts.parent,
            }
        }
        Home::Nowhere
    }
}

/// The labels of a group as text after its name, much as Prometheus shows them, not escaped yet; empty if it has none.
fn labels(placement: &Placement) -> String {
    let pairs = placement.labels.iter();
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    match pairs.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", pairs.join(",")),
    }
}

/// Number and line of an item, as in the file.
fn called(config: &Config, item: usize) -> String {
    let line = config.items.get(item).map_or(1, |item| item.line);
    format!("item {} (line {line})", item + 1)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

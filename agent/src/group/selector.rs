//! Which processes an item picks.
//!
//! In come the typed selectors of an item, compiled once, and the facts of a process; out goes yes or no. Contract
//! section 2.1, but for its mended point 7: each `exe` entry counts by its own rule. `exe` looks at the first argument
//! only, never at the real executable: process-exporter's configurations mean that.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::go_regexp::GoError;
use super::pattern::{Matches, Pattern};
use super::text;
use crate::config::{Item, Text};
use crate::process::Facts;

/// A process as selectors see it: what is derived from its facts is made once, and only if asked for.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) facts: &'a Facts,
    joined: OnceCell<String>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        Subject {
            facts,
            joined: OnceCell::new(),
        }
    }

    fn command_line(&self) -> &str {
        self.joined.get_or_init(|| text::joined(&self.facts.argv))
    }
}

/// The selectors of one item, all of which must match.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    comm: Option<HashSet<Vec<u8>>>,
    exe: Option<Exe>,
    cmdline: Vec<Pattern>,
}

/// A pattern that cannot be compiled.
#[derive(Debug)]
pub(super) struct BadPattern {
    /// Which element of `cmdline`, from 0.
    pub(super) index: usize,
    pub(super) cause: GoError,
}

#[derive(Debug, Clone)]
struct Exe {
    /// Entries without a slash.
    base: HashSet<Vec<u8>>,
    /// Entries with one.
    whole: HashSet<Vec<u8>>,
}

impl Selector {
    pub(super) fn compile(item: &Item) -> Result<Self, BadPattern> {
        let bytes = |entry: &Text| entry.text.clone().into_bytes();
        let pattern = |(index, entry): (usize, &Text)| {
            Pattern::compile(&entry.text).map_err(|cause| BadPattern { index, cause })
        };
        Ok(Selector {
            comm: item
                .comm
                .as_ref()
                .map(|entries| entries.iter().map(bytes).collect()),
            exe: item.exe.as_ref().map(|entries| {
                let (whole, base) = entries
                    .iter()
                    .map(bytes)
                    .partition(|entry| entry.contains(&b'/'));
                Exe { base, whole }
            }),
            cmdline: item
                .cmdline
                .iter()
                .flatten()
                .enumerate()
                .map(pattern)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether all selectors match; if so and `matches` is given, it holds what the groups of the patterns held.
    pub(super) fn matches(&self, subject: &Subject<'_>, matches: Option<&mut Matches>) -> bool {
        let facts = subject.facts;
        if self
            .comm
            .as_ref()
            .is_some_and(|comm| !comm.contains(&facts.comm))
        {
            return false;
        }
        if self
            .exe
            .as_ref()
            .is_some_and(|exe| !exe.matches(&facts.argv))
        {
            return false;
        }
        match matches {
            None => self
                .cmdline
                .iter()
                .all(|pattern| pattern.is_match(subject.command_line())),
            Some(matches) => {
                matches.clear();
                self.cmdline
                    .iter()
                    .all(|pattern| pattern.captures(subject.command_line(), matches))
            }
        }
    }
}

impl Exe {
    fn matches(&self, argv: &[Vec<u8>]) -> bool {
        argv.first().is_some_and(|argv0| {
            self.whole.contains(argv0) || self.base.contains(text::base(argv0))
        })
    }
}

//! Selects the processes of an item.
//!
//! In come the selectors of an item, compiled once, and the facts of a process; out goes whether they match, and if not, the
//! first that does not. Section 2.1 of docs/dev/compatibility.md applies, except for P7: each `exe` entry counts by its own
//! rule. `exe` uses the first argument only, never the real executable: process-exporter's configurations mean that.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::pattern::{Matches, Pattern, Room};
use super::text;
use crate::config::{Item, Key, Text};
use crate::go::regexp::GoError;
use crate::go::text::base;
use crate::process::{Arguments, Facts};

/// A process as selectors see it. Its command line is joined once, and only if a selector needs it.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) facts: &'a Facts,
    joined: OnceCell<String>,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        Candidate {
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
    user: Option<UserEntries>,
    cgroup: Vec<Pattern>,
    cmdline: Vec<Pattern>,
}

/// A pattern that cannot be compiled.
#[derive(Debug)]
pub(super) struct BadPattern {
    /// `cmdline` or `cgroup`.
    pub(super) key: Key,
    /// The element of the list, from 0.
    pub(super) index: usize,
    pub(super) cause: GoError,
}

/// The first selector that does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miss {
    /// The selector.
    pub key: Key,
    /// The number of the expression, from 0; `None` for lists of which one matching entry suffices.
    pub index: Option<usize>,
}

#[derive(Debug, Clone)]
struct Exe {
    /// Entries without a slash.
    base: HashSet<Vec<u8>>,
    /// Entries with a slash.
    whole: HashSet<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct UserEntries {
    /// All entries: a user name may be a number.
    names: HashSet<String>,
    /// The entries that are numbers.
    uids: HashSet<u32>,
}

impl Selector {
    pub(super) fn compile(item: &Item, room: &mut Room) -> Result<Self, BadPattern> {
        let bytes = |entry: &Text| entry.text.clone().into_bytes();
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
            user: item.user.as_ref().map(|entries| UserEntries {
                names: entries.iter().map(|entry| entry.text.clone()).collect(),
                uids: entries
                    .iter()
                    .filter_map(|entry| entry.text.parse().ok())
                    .collect(),
            }),
            cgroup: patterns(item, Key::Cgroup, room)?,
            cmdline: patterns(item, Key::Cmdline, room)?,
        })
    }

    /// The names of the groups of all patterns.
    pub(super) fn group_names(&self) -> impl Iterator<Item = &str> {
        let patterns = self.cgroup.iter().chain(&self.cmdline);
        patterns.flat_map(Pattern::group_names)
    }

    /// The first selector that does not match, cheapest first. `None` if all match; then `matches`, if given, holds the texts
    /// of the patterns' groups. The patterns of `cmdline` come last: if a group of `cgroup` has the same name, theirs counts.
    pub(super) fn miss(
        &self,
        subject: &Candidate<'_>,
        mut matches: Option<&mut Matches>,
    ) -> Option<Miss> {
        let facts = subject.facts;
        let unlisted = |key| Some(Miss { key, index: None });
        if self
            .comm
            .as_ref()
            .is_some_and(|comm| !comm.contains(&facts.comm))
        {
            return unlisted(Key::Comm);
        }
        if self
            .exe
            .as_ref()
            .is_some_and(|exe| !exe.matches(&facts.argv))
        {
            return unlisted(Key::Exe);
        }
        if self.user.as_ref().is_some_and(|user| !user.matches(facts)) {
            return unlisted(Key::User);
        }
        if let Some(matches) = &mut matches {
            matches.clear();
        }
        let mut is_found = |pattern: &Pattern, text: &str| match &mut matches {
            None => pattern.is_match(text),
            Some(matches) => pattern.captures(text, matches),
        };
        for (index, pattern) in self.cgroup.iter().enumerate() {
            if !facts.cgroups.iter().any(|path| is_found(pattern, path)) {
                return Some(Miss {
                    key: Key::Cgroup,
                    index: Some(index),
                });
            }
        }
        for (index, pattern) in self.cmdline.iter().enumerate() {
            if !is_found(pattern, subject.command_line()) {
                return Some(Miss {
                    key: Key::Cmdline,
                    index: Some(index),
                });
            }
        }
        None
    }
}

fn patterns(item: &Item, key: Key, room: &mut Room) -> Result<Vec<Pattern>, BadPattern> {
    let entries = item.list(key).into_iter().flatten().enumerate();
    entries
        .map(|(index, entry)| {
            Pattern::compile(&entry.text, room).map_err(|cause| BadPattern { key, index, cause })
        })
        .collect()
}

impl Exe {
    fn matches(&self, argv: &Arguments) -> bool {
        let Some(argv0) = argv.first() else {
            return false;
        };
        self.whole.contains(argv0) || self.base.contains(base(argv0))
    }
}

impl UserEntries {
    fn matches(&self, facts: &Facts) -> bool {
        self.names.contains(&facts.username)
            || facts.uid.is_some_and(|uid| self.uids.contains(&uid))
    }
}

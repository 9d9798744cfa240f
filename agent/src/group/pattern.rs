//! A regular expression of a selector: Go's language, with the engine of the `regex` crate.
//!
//! It is searched, unanchored, in text that was decoded so that each invalid byte is one U+FFFD: `.` matches such a byte, as in
//! Go. Memory is bounded per pattern, at load and while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use crate::go::regexp::{self, GoError, refuse};

/// Sizes that a compiled pattern may have, bytes. The first that suffices counts as its cost.
const SIZES: [usize; 4] = [64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// All patterns of a configuration together may cost this many bytes. That is 4,000 small ones.
const ALL: usize = 256 << 20;
/// A pattern's cache may take at most this many bytes while it runs.
const CACHE_LIMIT: usize = 1 << 20;

/// Texts that the groups of an item's patterns matched, by name. The whole match and the groups without a name share the empty
/// name; the last of them counts.
pub(super) type Matches = BTreeMap<Arc<str>, String>;

/// Bytes left for the patterns of a configuration: no configuration can make the agent compile for minutes or take all memory.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(ALL)
    }
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// The engine for bytes, because the one for text refuses an ASCII `\B`. It is used on text only.
    regex: Regex,
    names: Vec<Arc<str>>,
}

impl Pattern {
    /// Compiles `source`, and takes its cost from `room`.
    ///
    /// # Errors
    /// Patterns that Go refuses, in Go's words; patterns that take more than 4 MiB; and patterns for which there is no room.
    pub(super) fn compile(source: &str, room: &mut Room) -> Result<Self, GoError> {
        let translated = regexp::translate(source)?;
        for size in SIZES {
            let Some(left) = room.0.checked_sub(size) else {
                return refuse("no room for more expressions of this size", source);
            };
            let built = RegexBuilder::new(&translated.pattern)
                .size_limit(size)
                .dfa_size_limit(CACHE_LIMIT)
                .build();
            match built {
                Ok(regex) => {
                    room.0 = left;
                    let names = translated.names.into_iter().map(Arc::from).collect();
                    return Ok(Pattern { regex, names });
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(_) => return refuse("expression nests too deeply or is not supported", source),
            }
        }
        refuse("expression too large", source)
    }

    /// Names of its groups, including the empty name.
    pub(super) fn group_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Whether the pattern is found in `text`.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }

    /// The text of the first group that matched a nonempty text. `None` if there is none, or the pattern is not found in
    /// `text`.
    pub(super) fn first_group(&self, text: &str) -> Option<String> {
        let captures = self.regex.captures(text.as_bytes())?;
        let groups = captures.iter().skip(1).flatten();
        let held = groups
            .map(|group| group.as_bytes())
            .find(|held| !held.is_empty())?;
        Some(String::from_utf8_lossy(held).into_owned())
    }

    /// Whether the pattern is found in `text`; if so, the texts of its groups are put into `matches`. A group that took no part
    /// has the empty string.
    pub(super) fn captures(&self, text: &str, matches: &mut Matches) -> bool {
        let Some(captures) = self.regex.captures(text.as_bytes()) else {
            return false;
        };
        for (name, group) in self.names.iter().zip(captures.iter()) {
            let held = group.map_or(&b""[..], |group| group.as_bytes());
            matches.insert(Arc::clone(name), String::from_utf8_lossy(held).into_owned());
        }
        true
    }
}

#[cfg(test)]
#[path = "tests/pattern.rs"]
mod tests;

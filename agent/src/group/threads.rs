//! The threads of a group by name, as process-exporter shows them.
//!
//! A name that no thread has any more is forgotten with what was counted for it, unless the group has no process left:
//! then all is kept until it has one again. Names are bounded: beyond [`NAMES`] new ones share `other`, and are counted.

use super::{grouper::REST, text::decode};
use crate::process::{Delta, TaskName};
use std::collections::BTreeMap;

/// Names told apart in one group.
const NAMES: usize = 128;

/// Threads of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadUse {
    /// How many there are now.
    pub threads: u64,
    /// What threads used while they had the name. Never falls.
    pub used: Delta,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadNames {
    /// By name: valid UTF-8, bad bytes are U+FFFD.
    pub by_name: BTreeMap<String, ThreadUse>,
    /// Threads now that share `other` for want of room.
    pub overflowed: u64,
}

impl ThreadNames {
    /// Before the threads are told anew.
    pub(super) fn begin(&mut self) {
        self.overflowed = 0;
        for named in self.by_name.values_mut() {
            named.threads = 0;
        }
    }

    /// One thread, and what it used since it was last told.
    pub(super) fn add(&mut self, name: &TaskName, used: &Delta) {
        let bytes = name.split(|byte| *byte == 0).next().unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(name) => self.add_named(name, used),
            Err(_) => {
                let mut name = String::new();
                decode(bytes, &mut name);
                self.add_named(&name, used);
            }
        }
    }

    fn add_named(&mut self, name: &str, used: &Delta) {
        let named = match self.by_name.get_mut(name) {
            Some(named) => named,
            None => self.room_for(name),
        };
        named.threads += 1;
        named.used.add(used);
    }

    fn room_for(&mut self, name: &str) -> &mut ThreadUse {
        let is_full = self.by_name.len() >= NAMES;
        self.overflowed += u64::from(is_full);
        let name = if is_full { REST } else { name };
        self.by_name.entry(name.to_owned()).or_default()
    }

    /// After all were told; `has_processes`: the group has live ones.
    pub(super) fn end(&mut self, has_processes: bool) {
        if has_processes {
            self.by_name.retain(|_, named| named.threads > 0);
        }
    }

    /// Names that threads have now.
    pub fn live(&self) -> impl Iterator<Item = (&str, &ThreadUse)> {
        let live = self.by_name.iter().filter(|(_, named)| named.threads > 0);
        live.map(|(name, named)| (name.as_str(), named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &[u8]) -> TaskName {
        let mut task = TaskName::default();
        task[..name.len()].copy_from_slice(name);
        task
    }

    /// One pass: names, and what their threads used since the last.
    fn pass(names: &mut ThreadNames, has_processes: bool, threads: &[(&[u8], u64)]) {
        names.begin();
        for (name, user_ns) in threads {
            let used = Delta {
                user_ns: *user_ns,
                ..Delta::default()
            };
            names.add(&task(name), &used);
        }
        names.end(has_processes);
    }

    fn shown(names: &ThreadNames) -> Vec<(&str, u64, u64)> {
        let live = names.live();
        live.map(|(name, named)| (name, named.threads, named.used.user_ns))
            .collect()
    }

    #[test]
    fn a_name_is_forgotten_with_its_last_thread_unless_the_group_is_empty() {
        let mut names = ThreadNames::default();
        pass(&mut names, true, &[(b"a", 1), (b"b", 2), (b"b", 3)]);
        assert_eq!(shown(&names), [("a", 1, 1), ("b", 2, 5)]);
        pass(&mut names, true, &[(b"b", 4)]);
        assert_eq!(shown(&names), [("b", 1, 9)]);
        pass(&mut names, false, &[]);
        assert_eq!(shown(&names), []);
        pass(&mut names, true, &[(b"a", 7), (b"b", 1)]);
        assert_eq!(shown(&names), [("a", 1, 7), ("b", 1, 10)]);
        pass(&mut names, true, &[]);
        pass(&mut names, true, &[(b"b", 1)]);
        assert_eq!(shown(&names), [("b", 1, 1)]);
    }

    #[test]
    fn names_that_differ_in_bad_bytes_only_are_one() {
        let mut names = ThreadNames::default();
        pass(&mut names, true, &[(b"x\xff", 1), (b"x\xfe", 2), (b"", 4)]);
        assert_eq!(shown(&names), [("", 1, 4), ("x\u{fffd}", 2, 3)]);
    }

    #[test]
    fn beyond_the_bound_names_share_one_and_are_counted() {
        let mut names = ThreadNames::default();
        let many: Vec<_> = (0..NAMES + 10).map(|n| format!("t{n:04}")).collect();
        let threads: Vec<_> = many.iter().map(|name| (name.as_bytes(), 1)).collect();
        pass(&mut names, true, &threads);
        assert_eq!((names.by_name.len(), names.overflowed), (NAMES + 1, 10));
        assert_eq!(shown(&names)[0], (REST, 10, 10));
        // A known name keeps its place; what was in the rest moves up when there is room.
        pass(&mut names, true, &threads[NAMES - 1..]);
        assert_eq!(names.overflowed, 10, "the places were still taken");
        pass(&mut names, true, &threads[NAMES - 1..]);
        assert_eq!((names.by_name.len(), names.overflowed), (11, 0));
    }
}

//! Groups by `-procnames` and `-namemapping`, the older way to select processes (docs/dev/compatibility.md, sections 1 and
//! 6.3).
//!
//! In come the values of both flags and the facts of a process; out goes the name of its group.

use std::collections::BTreeMap;

use super::bounded::{Name, bounded};
use super::pattern::{Pattern, Room};
use super::text;
use crate::process::Facts;

/// Task names. A name with an expression makes a group of each text that the expression's first nonempty group holds.
#[derive(Debug, Default)]
pub(super) struct NameMap(BTreeMap<String, Option<Pattern>>);

impl NameMap {
    /// Both are lists separated by commas: `procnames` of task names, `namemapping` of task names and expressions in turn.
    /// Empty names in `procnames` are skipped. In `namemapping` the last expression of a name counts, and it replaces the same
    /// name in `procnames`.
    ///
    /// # Errors
    /// The mistake in `namemapping`, and the expected form.
    pub(super) fn compile(procnames: &str, namemapping: &str) -> Result<Self, String> {
        let mut names = BTreeMap::new();
        for name in procnames.split(',').filter(|name| !name.is_empty()) {
            names.insert(name.to_owned(), None);
        }
        let mut room = Room::default();
        for (name, expression) in pairs(namemapping)? {
            let pattern = Pattern::compile(expression, &mut room).map_err(|cause| {
                format!("--namemapping: bad regular expression {expression:?} of {name:?}: {cause}")
            })?;
            names.insert(name.to_owned(), Some(pattern));
        }
        Ok(Self(names))
    }

    /// The group of a process; `None` if it is not among the names, or its expression finds nothing.
    pub(super) fn group_of(&self, facts: &Facts) -> Option<Name> {
        // A comm that is not UTF-8 equals no word of the command line.
        let name = std::str::from_utf8(&facts.comm).ok()?;
        let Some(pattern) = self.0.get(name)? else {
            return Some(bounded(name));
        };
        let found = pattern.first_group(&text::joined(&facts.argv))?;
        Some(bounded(&format!("{name}:{found}")))
    }

    /// Names of groups that do not depend on any process.
    pub(super) fn fixed(&self) -> impl Iterator<Item = String> {
        let fixed = self.0.iter().filter(|(_, pattern)| pattern.is_none());
        fixed.map(|(name, _)| name.clone())
    }
}

fn pairs(namemapping: &str) -> Result<Vec<(&str, &str)>, String> {
    if namemapping.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = namemapping.split(',').collect();
    let expected = "expected pairs of task name and regular expression, separated by commas";
    if let Some(empty) = parts.iter().position(|part| part.is_empty()) {
        let number = empty + 1;
        return Err(format!("--namemapping: part {number} is empty, {expected}"));
    }
    if !parts.len().is_multiple_of(2) {
        return Err(format!(
            "--namemapping: found {} parts, {expected}; an expression cannot hold a comma",
            parts.len()
        ));
    }
    let pairs = parts.chunks_exact(2);
    Ok(pairs.map(|pair| (pair[0], pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::MAX_NAME;

    fn group(names: &NameMap, comm: impl AsRef<[u8]>, argv: &[&str]) -> Option<String> {
        names
            .group_of(&Facts {
                comm: comm.as_ref().to_vec(),
                argv: argv.iter().collect(),
                ..Facts::default()
            })
            .map(|name| name.text)
    }

    #[test]
    fn names_and_expressions() {
        let names =
            NameMap::compile(",b, c,java,", r"p,x,p,([^/ ]*)\.py|(-m \w+),java,-jar").unwrap();
        let cases: [(&str, &[&str], Option<&str>); 9] = [
            ("b", &["whatever"], Some("b")),
            ("c", &["c"], None),
            (" c", &["c"], Some(" c")),
            ("", &[], None),
            ("p", &["p", "/a/foo.py", "-m", "bar"], Some("p:foo")),
            ("p", &["p", "-m", "bar"], Some("p:-m bar")),
            ("p", &["p", "/.py"], None),
            ("p", &["x"], None),
            // An expression without a group selects no process, even if `procnames` has the name.
            ("java", &["java", "-jar", "z"], None),
        ];
        for (comm, argv, expected) in cases {
            assert_eq!(
                group(&names, comm, argv).as_deref(),
                expected,
                "{comm} {argv:?}"
            );
        }
        assert_eq!(group(&names, b"b\xff", &[]), None);
        assert_eq!(names.fixed().collect::<Vec<_>>(), [" c", "b"]);
    }

    #[test]
    fn a_name_is_as_long_as_any_other() {
        let names = NameMap::compile("", "p,(.*)").unwrap();
        let found = group(&names, "p", &[&"é".repeat(MAX_NAME)]).unwrap();
        assert_eq!(
            found.len(),
            MAX_NAME - 1,
            "p: and 502 times é, and the hash"
        );
    }

    #[test]
    fn malformed_name_mapping_is_an_error_with_its_part() {
        let cases = [
            ("a", "--namemapping: found 1 parts, expected pairs of"),
            ("a,b,c", "an expression cannot hold a comma"),
            ("a,", "part 2 is empty"),
            ("a,b,,d", "part 3 is empty"),
            (",", "part 1 is empty"),
            (
                "a,(b",
                "bad regular expression \"(b\" of \"a\": error parsing regexp: missing closing ): `(b`",
            ),
        ];
        for (text, expected) in cases {
            let error = NameMap::compile("x", text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

//! The label `name` of applications.
//!
//! In come the full group names of one instance; out goes the name of each: shortened as passenger-go-exporter does (E3 of the
//! contract), or the full name where short names collide. Names that two instances share are left to `families`.

use std::collections::{HashMap, HashSet};

/// The name that passenger-go-exporter shows: the text after the last slash. A name whose only slash is its first character
/// stays whole.
pub(super) fn short(full: &str) -> &str {
    match full.rsplit_once('/') {
        Some((before, after)) if !before.is_empty() => after,
        _ => full,
    }
}

/// The name of each application of one instance, in the order of their full names. All names are different; an application whose
/// full name an earlier one has already is shown by none, which only a document that Passenger did not write has.
///
/// A full name that stands in for a short one is never the name of another application. If it has a slash behind its first
/// character, no short name equals it. If not, it is its own short name, so an application with an equal short name has collided
/// with it, and is shown in full too.
pub(super) fn within<'n>(full_names: &[&'n str]) -> Vec<Option<&'n str>> {
    let mut distinct = HashSet::with_capacity(full_names.len());
    let mut applications: HashMap<&str, usize> = HashMap::with_capacity(full_names.len());
    let is_first: Vec<bool> = full_names
        .iter()
        .map(|full| distinct.insert(*full))
        .collect();
    for (full, _) in full_names
        .iter()
        .zip(&is_first)
        .filter(|(_, is_first)| **is_first)
    {
        *applications.entry(short(full)).or_default() += 1;
    }
    let name = |(full, is_first): (&&'n str, &bool)| {
        let short = short(full);
        let is_alone = applications.get(short) == Some(&1);
        is_first.then_some(if is_alone { short } else { *full })
    };
    full_names.iter().zip(&is_first).map(name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_shortened_as_the_original_does() {
        for (full, expected) in [
            ("/srv/apps/blog (production)", "blog (production)"),
            ("/srv/apps/blog", "blog"),
            ("/srv/app (a/b)", "b)"),
            ("/blog (production)", "/blog (production)"),
            ("blog", "blog"),
            ("a/b", "b"),
            ("//b", "b"),
            ("/srv/apps/", ""),
            ("/", "/"),
            ("", ""),
            ("/srv/caf\u{e9}/\u{1F980}", "\u{1F980}"),
        ] {
            assert_eq!(short(full), expected, "{full}");
        }
    }

    #[test]
    fn colliding_short_names_fall_back_to_the_full_ones() {
        let names = within(&["/a/blog (p)", "/b/blog (p)", "/a/api (p)"]);
        assert_eq!(
            names,
            [Some("/a/blog (p)"), Some("/b/blog (p)"), Some("api (p)")]
        );
        // Of one that is not shortened, too.
        assert_eq!(
            within(&["b)", "/srv/app (a/b)"]),
            [Some("b)"), Some("/srv/app (a/b)")]
        );
    }

    #[test]
    fn repeated_full_name_is_shown_once_and_is_no_collision() {
        assert_eq!(within(&["/a/blog", "/a/blog"]), [Some("blog"), None]);
        let names = within(&["/a/blog", "/b/blog", "/a/blog"]);
        assert_eq!(names, [Some("/a/blog"), Some("/b/blog"), None]);
    }

    proptest! {
        #[test]
        fn names_of_an_instance_are_all_different(full in prop::collection::vec("[ab/]{0,5}", 0..12)) {
            let full: Vec<&str> = full.iter().map(String::as_str).collect();
            let names: Vec<&str> = within(&full).into_iter().flatten().collect();
            let distinct: HashSet<_> = names.iter().collect();
            prop_assert_eq!(distinct.len(), names.len(), "{:?}", names);
            prop_assert_eq!(names.len(), full.iter().collect::<HashSet<_>>().len());
        }
    }
}

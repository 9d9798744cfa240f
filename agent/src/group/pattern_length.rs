//! Finds the groups of an expression that may match any number of arguments, for `headcount check`.

use std::collections::BTreeSet;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::go::regexp;

/// A text of at least this many repetitions counts as long.
const MANY: u32 = 500;

/// Names of the groups with an unbounded repetition of something that may be a space, so that they may extend over arguments.
/// The whole match and groups without a name share the empty name. Empty if `expression` is invalid.
pub(super) fn long_groups(expression: &str) -> BTreeSet<String> {
    let mut long = BTreeSet::new();
    let Ok(translated) = regexp::translate(expression) else {
        return long;
    };
    let parsed = ParserBuilder::new()
        .utf8(false)
        .build()
        .parse(&translated.pattern);
    let Ok(whole) = parsed else { return long };
    let name = |index: usize| translated.names.get(index).cloned().unwrap_or_default();
    // The last group without a name replaces the whole match.
    let unnamed = (0..translated.names.len())
        .rev()
        .find(|index| name(*index).is_empty());
    if is_long(&whole) && unnamed == Some(0) {
        long.insert(String::new());
    }
    walk(&whole, &mut |hir| {
        if let HirKind::Capture(group) = hir.kind() {
            let index = group.index as usize;
            let counts = !name(index).is_empty() || unnamed == Some(index);
            if counts && is_long(&group.sub) {
                long.insert(name(index));
            }
        }
    });
    long
}

fn is_long(hir: &Hir) -> bool {
    let mut found = false;
    walk(hir, &mut |hir| {
        if let HirKind::Repetition(repetition) = hir.kind() {
            found |=
                repetition.max.is_none_or(|most| most >= MANY) && may_be_space(&repetition.sub);
        }
    });
    found
}

fn may_be_space(hir: &Hir) -> bool {
    let mut found = false;
    walk(hir, &mut |hir| match hir.kind() {
        HirKind::Literal(literal) => found |= literal.0.contains(&b' '),
        HirKind::Class(Class::Unicode(class)) => {
            found |= class
                .ranges()
                .iter()
                .any(|range| (range.start()..=range.end()).contains(&' '));
        }
        HirKind::Class(Class::Bytes(class)) => {
            found |= class
                .ranges()
                .iter()
                .any(|range| (range.start()..=range.end()).contains(&b' '));
        }
        _ => {}
    });
    found
}

/// The recursion is bounded: the parser accepts at most 250 levels.
fn walk(hir: &Hir, look: &mut impl FnMut(&Hir)) {
    look(hir);
    for sub in hir.kind().subs() {
        walk(sub, look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_go_on_over_arguments_are_long() {
        for (expression, expected) in [
            (".+", &[""][..]),
            ("^.*$", &[""]),
            ("nginx", &[]),
            ("-jar (?P<Jar>\\S+)", &[]),
            ("(?P<All>.*)", &["", "All"]),
            ("(?P<Word>\\w+).*", &[""]),
            ("(.+) x", &[""]),
            ("(\\S+) .*", &[]),
            ("(?P<A>[^/]+)/(?P<B>[^ ]+)", &["", "A"]),
            ("(?P<A>(a b)*)", &["A"]),
            ("(?P<A>.{0,40})", &[]),
            ("(?P<A>.{0,900})", &["", "A"]),
            ("a(", &[]),
        ] {
            let found = long_groups(expression);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{expression}");
        }
    }
}

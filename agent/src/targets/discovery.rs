//! Selects the targets to ask, their order and their labels. Pure.
//!
//! In: the targets of one kind that were found, each with its user. Out: at most [`Bounds::most`] of them, each with a unique
//! label, and the number left out.
//!
//! Any local user can start programs that look like targets, so users share the bounds; all uids of one user count together.
//! Root's targets come first. The others follow round-robin by user, the oldest of each user first: a user with many targets
//! displaces only his own.
//!
//! A label is the target's own name if no target before it has that name; else the name, `@` and the uid, else these with a
//! number. Root's targets come first here too, then the older ones. The age is that of a file's inode, which no user can
//! backdate: a target that appears later never changes the label of one that is already there.

use std::collections::{HashMap, HashSet};

/// The facts about a target that the selection needs.
pub(crate) trait Discovered {
    /// The name that the target gives itself.
    fn name(&self) -> &str;
    /// The user who runs it.
    fn uid(&self) -> u32;
    /// When it appeared, nanoseconds since the epoch, by a clock that its user cannot set back.
    fn since_ns(&self) -> u64;
}

/// How many targets of one kind are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// All together.
    pub(crate) most: usize,
    /// Those of each user other than root.
    pub(crate) most_of_user: usize,
}

/// A target that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected<T> {
    /// The value of the label `target`.
    pub(crate) label: String,
    pub(crate) target: T,
}

/// The targets to ask, in the order in which they are asked, and the number of those left out. `share_of` returns the uid
/// whose share a uid uses.
pub(crate) fn select<T: Discovered>(
    mut found: Vec<T>,
    bounds: Bounds,
    share_of: impl Fn(u32) -> u32,
) -> (Vec<Selected<T>>, usize) {
    let all = found.len();
    found.sort_by(|a, b| {
        let key = |one: &T| (one.uid() != 0, one.since_ns(), one.uid());
        key(a).cmp(&key(b)).then_with(|| a.name().cmp(b.name()))
    });
    let mut taken = HashSet::new();
    let mut ranks: HashMap<u32, usize> = HashMap::new();
    let mut ranked: Vec<(usize, Selected<T>)> = Vec::with_capacity(all);
    for target in found {
        let label = label(&target, &taken);
        taken.insert(label.clone());
        let rank = ranks.entry(share_of(target.uid())).or_default();
        *rank += 1;
        let turn = if target.uid() == 0 { 0 } else { *rank };
        if turn <= bounds.most_of_user {
            ranked.push((turn, Selected { label, target }));
        }
    }
    ranked.sort_by_key(|(turn, _)| *turn);
    ranked.truncate(bounds.most);
    let selected: Vec<_> = ranked.into_iter().map(|(_, one)| one).collect();
    let left_out = all - selected.len();
    (selected, left_out)
}

fn label(target: &impl Discovered, taken: &HashSet<String>) -> String {
    let (name, uid) = (target.name(), target.uid());
    let numbered = (2..).map(|n: u32| format!("{name}@{uid}-{n}"));
    let mut labels = [name.to_owned(), format!("{name}@{uid}")]
        .into_iter()
        .chain(numbered);
    labels
        .find(|label| !taken.contains(label))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct FakeTarget(&'static str, u32, u64);

    impl Discovered for FakeTarget {
        fn name(&self) -> &str {
            self.0
        }

        fn uid(&self) -> u32 {
            self.1
        }

        fn since_ns(&self) -> u64 {
            self.2
        }
    }

    const BOUNDS: Bounds = Bounds {
        most: 6,
        most_of_user: 3,
    };

    fn labels(found: &[FakeTarget]) -> (Vec<String>, usize) {
        let (selected, left_out) = select(
            found.to_vec(),
            BOUNDS,
            |uid| if uid < 100 { uid } else { 7 },
        );
        (
            selected.into_iter().map(|one| one.label).collect(),
            left_out,
        )
    }

    #[test]
    fn root_keeps_its_plain_name_in_any_order() {
        let found = [
            FakeTarget("a", 7, 1),
            FakeTarget("a", 0, 9),
            FakeTarget("b", 7, 2),
        ];
        assert_eq!(labels(&found).0, ["a", "a@7", "b"]);
    }

    #[test]
    fn later_target_changes_no_label() {
        let mut found = vec![FakeTarget("a", 8, 5), FakeTarget("b", 8, 6)];
        assert_eq!(labels(&found).0, ["a", "b"]);
        found.extend([
            FakeTarget("a", 7, 7),
            FakeTarget("b", 7, 8),
            FakeTarget("a", 7, 9),
            FakeTarget("a@7", 9, 10),
        ]);
        let (labels, left_out) = labels(&found);
        assert_eq!(labels, ["a", "a@7", "a@7@9", "b", "b@7", "a@7-2"]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn user_with_many_targets_displaces_his_own_only() {
        let many = (0..100).map(|n| FakeTarget("x", 7, n));
        let others = [
            FakeTarget("y", 8, 500),
            FakeTarget("r", 0, 900),
            FakeTarget("z", 9, 800),
        ];
        let found: Vec<FakeTarget> = many.chain(others).collect();
        let (labels, left_out) = labels(&found);
        assert_eq!(labels, ["r", "x", "y", "z", "x@7", "x@7-2"]);
        assert_eq!(left_out, 97);
    }

    #[test]
    fn subordinate_uids_use_the_share_of_their_owner_and_keep_their_labels() {
        let many = (100..110).map(|uid| FakeTarget("x", uid, 1));
        let found: Vec<FakeTarget> = many.chain([FakeTarget("y", 8, 500)]).collect();
        let (labels, left_out) = labels(&found);
        assert_eq!(labels, ["x", "y", "x@101", "x@102"]);
        assert_eq!(left_out, 7);
    }

    #[test]
    fn root_comes_first_up_to_the_bound_of_all() {
        let root = (0..9).map(|n| FakeTarget("r", 0, n));
        let found: Vec<FakeTarget> = root.chain([FakeTarget("a", 7, 0)]).collect();
        let (labels, left_out) = labels(&found);
        assert_eq!((labels.len(), left_out), (6, 4));
        assert!(labels.iter().all(|label| label.starts_with('r')));
    }
}

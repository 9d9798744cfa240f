//! One exposition beside the other, value by value.

use std::collections::{BTreeMap, BTreeSet};

use super::allowed::{Case, allowed_by};
use super::world::World;

/// Prefix of the families of a group.
pub(crate) const GROUP: &str = "namedprocess_namegroup_";

/// The result of one step.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Values that were equal.
    pub(crate) equal: u64,
    /// Number of the row P of each difference that it allows.
    pub(crate) allowed: Vec<u32>,
    /// The other differences.
    pub(crate) complaints: Vec<String>,
}

impl Comparison {
    pub(crate) fn of(theirs: &str, ours: &str, world: &World) -> Self {
        let (theirs, ours) = (samples(theirs), samples(ours));
        let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        let mut comparison = Self::default();
        for key in keys {
            let case = Case {
                series: key,
                theirs: theirs.get(key).copied(),
                ours: ours.get(key).copied(),
                all_theirs: &theirs,
                all_ours: &ours,
                world,
            };
            if case.is_equal() {
                comparison.equal += 1;
            } else if let Some(number) = allowed_by(&case) {
                comparison.allowed.push(number);
            } else {
                let (theirs, ours) = (case.theirs, case.ours);
                let complaint = format!("{key}: theirs {theirs:?}, ours {ours:?}");
                comparison.complaints.push(complaint);
            }
        }
        comparison
    }
}

/// The samples of the families that process-exporter's users know, by name and labels.
pub(crate) fn samples(body: &str) -> BTreeMap<String, f64> {
    body.lines()
        .filter(|line| line.starts_with("namedprocess_"))
        .filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            Some((key.to_owned(), value.parse().ok()?))
        })
        .collect()
}

//! Tests of expositions that would be too large: which groups stay, and that the result fits.

use std::collections::BTreeMap;

use super::tests::{busy, exposition, source, with_groups};
use super::*;
use crate::group::Group;

const MOST: usize = 2_000_000;

fn groups(names: impl Iterator<Item = String>, used_ns: u64) -> Vec<Group> {
    let group = |(n, name): (usize, String)| {
        let mut group = busy();
        group.id = n as u64;
        group.name = name;
        group.labels = Vec::new();
        group.total.delta.user_ns = used_ns;
        group
    };
    names.enumerate().map(group).collect()
}

fn exposed(groups: &[Group], most: usize) -> (String, Option<String>) {
    exposed_with(groups, most, false)
}

fn exposed_with(groups: &[Group], most: usize, has_targets: bool) -> (String, Option<String>) {
    let runs = Runs::new().unwrap();
    runs.limit(most, has_targets);
    let mut state = Collectors::of(PartOf::State, &runs);
    let mut assembler = Assembler::new(&runs, &[]);
    let body = with_groups(groups, &source(), |view| {
        exposition(&mut state, &mut assembler, view)
    });
    (body, state.reason())
}

/// Number of samples by group name and family.
fn samples(body: &str) -> BTreeMap<&str, BTreeMap<&str, usize>> {
    let mut found: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let Some((family, rest)) = line.split_once('{') else {
            continue;
        };
        let Some((_, rest)) = rest.split_once("groupname=\"") else {
            continue;
        };
        let (group, _) = rest.split_once("\"").unwrap();
        *found.entry(group).or_default().entry(family).or_default() += 1;
    }
    found
}

#[test]
fn exposition_with_a_thousand_hostile_names_fits_and_keeps_the_other_groups() {
    let hostile = (0..1100).map(|n| format!("{}{n:04}", "\\".repeat(500)));
    let mut all = groups(hostile, 1 << 40);
    let good = groups((0..100).map(|n| format!("good-{n}")), 1);
    all.extend(good.into_iter().map(|group| Group {
        id: group.id + 5000,
        ..group
    }));
    let (body, reason) = exposed(&all, MOST);
    assert!(body.len() <= MOST, "{}", body.len());
    assert!(
        body.len() > MOST / 2,
        "{} bytes leave too much room",
        body.len()
    );
    assert!(body.ends_with('\n'));
    let samples = samples(&body);
    let good = samples
        .keys()
        .filter(|name| name.starts_with("good-"))
        .count();
    assert_eq!(good, 100);
    let omitted = all.len() - samples.len();
    assert!(omitted > 500, "{omitted}");
    let line = format!("\nheadcount_exposition_omitted_groups{{families=\"all\"}} {omitted}\n");
    assert!(body.contains(&line), "{line}");
    assert!(reason.unwrap().contains(&format!("{omitted} groups")));

    // A group that stays has the same families as in an exposition of its own, except those by thread name, which may be left
    // out.
    let alone = exposed(&all[1150..1151], MOST).0;
    let alone: BTreeMap<_, _> = self::samples(&alone).into_values().next().unwrap();
    let by_thread = |family: &str| family.starts_with("namedprocess_namegroup_thread_");
    for (name, families) in &samples {
        for (family, count) in &alone {
            let found = families.get(family).copied();
            let is_left_out = by_thread(family) && found.is_none();
            assert!(
                found == Some(*count) || is_left_out,
                "{name} {family}: {found:?}"
            );
        }
    }
}

#[test]
fn exposition_that_fits_has_everything_and_says_so() {
    let all = groups((0..100).map(|n| format!("good-{n}")), 1);
    let (body, reason) = exposed(&all, MOST);
    assert_eq!((samples(&body).len(), reason), (100, None));
    for families in ["all", "thread"] {
        let line = format!("\nheadcount_exposition_omitted_groups{{families=\"{families}\"}} 0\n");
        assert!(body.contains(&line), "{line}");
    }
}

#[test]
fn group_that_was_left_out_comes_back_with_its_true_value() {
    let used = |seconds: u64| {
        let mut all = groups((0..1000).map(|n| format!("{n:0900}")), 0);
        all[999].total.delta.user_ns = seconds * 1_000_000_000;
        all
    };
    let name = format!("{:0900}", 999);
    let sample = |seconds: u64| {
        format!(
            "namedprocess_namegroup_cpu_seconds_total{{groupname=\"{name}\",mode=\"user\"}} {seconds}\n"
        )
    };
    let mut all = used(0);
    // The other groups are older and used more CPU time.
    all[..999]
        .iter_mut()
        .for_each(|group| group.total.delta.user_ns = 1 << 33);
    let (body, _) = exposed(&all, MOST);
    assert!(!body.contains(&name));
    let (body, _) = exposed(&used(7), MOST);
    assert!(body.contains(&sample(7)));
}

#[test]
fn families_that_are_not_of_groups_have_enough_room() {
    let (body, _) = exposed(&[], MOST);
    assert!(body.len() < bounded::OTHER_FAMILIES / 2, "{}", body.len());
}

#[test]
fn groups_leave_the_share_of_the_targets_free() {
    let all = groups((0..3000).map(|n| format!("{n:0300}")), 0);
    let (whole, _) = exposed_with(&all, MOST, false);
    let (body, reason) = exposed_with(&all, MOST, true);
    let share = MOST / 8;
    assert!(body.len() <= MOST - share, "{} bytes", body.len());
    assert!(whole.len() > MOST - share, "{} bytes", whole.len());
    let line = format!("\nheadcount_exposition_max_bytes {MOST}\n");
    assert!(body.contains(&line) && reason.is_some());
}

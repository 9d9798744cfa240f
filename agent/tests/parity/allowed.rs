//! The allowed differences: the rows P of docs/dev/compatibility.md, one by one, each as narrow as one scrape allows.

use std::collections::BTreeMap;

use super::compare::GROUP;
use super::world::{LATER, World};

/// One series of either.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) series: &'a str,
    pub(crate) theirs: Option<f64>,
    pub(crate) ours: Option<f64>,
    pub(crate) all_theirs: &'a BTreeMap<String, f64>,
    pub(crate) all_ours: &'a BTreeMap<String, f64>,
    pub(crate) world: &'a World,
}

impl Case<'_> {
    /// Equal but for the last digits of a sum.
    pub(crate) fn is_equal(&self) -> bool {
        let (Some(theirs), Some(ours)) = (self.theirs, self.ours) else {
            return false;
        };
        let close = (theirs - ours).abs() <= 1e-9 * theirs.abs().max(ours.abs()).max(1.0);
        theirs == ours || close || (theirs.is_nan() && ours.is_nan())
    }

    fn family(&self) -> &str {
        let name = self.series.split('{').next().unwrap_or_default();
        name.strip_prefix(GROUP).unwrap_or(name)
    }

    /// The series `num_procs` of the same group.
    fn num_procs(&self, all: &BTreeMap<String, f64>) -> Option<f64> {
        let from = self.series.find("groupname=\"")?;
        let tail = &self.series[from..];
        // Labels stand in the order of their names; up to the quote that no backslash escapes.
        let bytes = tail.as_bytes();
        let mut at = "groupname=\"".len();
        while at < bytes.len() && bytes[at] != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        let label = tail.get(..=at)?;
        all.get(&format!("{GROUP}num_procs{{{label}}}")).copied()
    }

    fn difference(&self) -> f64 {
        self.theirs.unwrap_or(0.0) - self.ours.unwrap_or(0.0)
    }
}

/// Whether a difference is this point's.
type Rule = fn(&Case<'_>) -> bool;

/// Number of the row P, and the rule.
const RULES: &[(u32, Rule)] = &[
    (2, counters_neither_fall_nor_wrap),
    (3, nothing_counts_twice),
    (4, error_counters_count),
    (5, the_main_thread_counts_once),
    (6, an_empty_group_has_no_start),
    (17, threads_count_from_their_birth),
    (23, known_groups_are_reported),
    (26, unreadable_io_is_absent),
];

/// The point that allows the difference.
pub(crate) fn allowed_by(case: &Case<'_>) -> Option<u32> {
    RULES
        .iter()
        .find(|(_, rule)| rule(case))
        .map(|(number, _)| *number)
}

/// Theirs falls, or wraps, where a sum over living threads falls or bytes become unreadable; and a thread name that returns begins
/// at 0 there.
fn counters_neither_fall_nor_wrap(case: &Case<'_>) -> bool {
    let may_fall = match case.family() {
        "context_switches_total" => case.world.threads_ended,
        family if family.starts_with("thread_") && family.ends_with("_total") => {
            case.world.threads_ended && case.difference() < 0.0
        }
        "read_bytes_total" | "write_bytes_total" => case.world.io_broke,
        _ => false,
    };
    may_fall && case.theirs.is_some() && case.ours.is_some()
}

/// A process that could not be read once is new to them when it is back: with all it ever used if it is younger than the
/// agent, else without its use meanwhile.
fn nothing_counts_twice(case: &Case<'_>) -> bool {
    // It may find another group, too: there is no value of a group that this cannot change.
    case.world.hard_broke && case.series.starts_with(GROUP)
}

/// Theirs does not count processes that it remembers not to track.
fn error_counters_count(case: &Case<'_>) -> bool {
    let is_counted = match case.series {
        "namedprocess_scrape_procread_errors" => true,
        "namedprocess_scrape_partial_errors" => case.world.io_broke || case.world.hard_broke,
        _ => false,
    };
    is_counted && case.difference() <= 0.0
}

fn the_main_thread_counts_once(case: &Case<'_>) -> bool {
    if !matches!(case.family(), "states" | "threads_wchan") {
        return false;
    }
    let with_threads = case.world.processes.values();
    let most = with_threads.filter(|one| !one.threads.is_empty()).count();
    (1.0..=most as f64).contains(&case.difference())
}

fn an_empty_group_has_no_start(case: &Case<'_>) -> bool {
    case.family() == "oldest_start_time_seconds"
        && case.ours.is_none()
        && case.theirs == Some(-62_135_596_800.0)
        && case.num_procs(case.all_ours) == Some(0.0)
}

fn unreadable_io_is_absent(case: &Case<'_>) -> bool {
    let is_io = matches!(
        case.family(),
        "read_bytes_total" | "write_bytes_total" | "thread_io_bytes_total"
    );
    is_io && case.world.io_broke && case.ours.is_none() && case.theirs == Some(0.0)
}

/// Theirs counts a thread from its second sight on.
fn threads_count_from_their_birth(case: &Case<'_>) -> bool {
    let is_counter = case.family().starts_with("thread_") && case.family().ends_with("_total");
    let has_newer = case
        .world
        .processes
        .values()
        .any(|one| one.start_ticks >= *LATER);
    is_counter && has_newer && case.theirs.is_some() && case.difference() < 0.0
}

fn known_groups_are_reported(case: &Case<'_>) -> bool {
    let is_empty = case.num_procs(case.all_ours) == Some(0.0);
    let is_unknown = case.num_procs(case.all_theirs).is_none();
    is_empty && is_unknown && case.theirs.is_none() && case.ours == Some(0.0)
}

//! From the kernel's type information to the layout that the programs are loaded with.

use super::btf::Btf;
use agent_common::{ABSENT, ARGV_READ, Layout, Offsets, RSS_HELPER, RSS_PLAIN};

/// Fields without which no kernel tier is exact: the tier falls to `/proc` when one is missing. All others only take
/// a fact away.
const REQUIRED: &[&str] = &[
    "task_tgid",
    "task_pid",
    "task_comm",
    "task_start_boottime",
    "task_real_parent",
    "task_group_leader",
    "task_signal",
    "task_runtime",
    "task_utime",
    "task_stime",
    "signal_live",
    "signal_runtime",
    "signal_utime",
    "signal_stime",
    "signal_nr_threads",
];

/// The layout of this kernel, and the names of the fields it does not have.
pub(super) fn resolve(btf: &Btf<'_>) -> (Layout, Vec<&'static str>) {
    let mut layout = Layout {
        offsets: Offsets::resolve(|name, path| btf.offset(name, path)),
        argv_access: ARGV_READ,
        ..Layout::ABSENT
    };
    if let Some((first, element, size)) = btf.array_element("mm_struct", "rss_stat") {
        // Since 6.2 the counters are per-CPU ones with an approximate sum, before that plain words.
        let count = if element == "percpu_counter" {
            btf.offset("percpu_counter", "count")
        } else {
            (size == 8 || element == "atomic64_t" || element.is_empty()).then_some(0)
        };
        if let Some(count) = count {
            layout.rss_first = first + count;
            layout.rss_stride = size;
            layout.rss_access = if element == "percpu_counter" {
                RSS_PLAIN
            } else {
                RSS_HELPER
            };
        }
    }
    let missing = missing(&layout.offsets);
    (layout, missing)
}

fn missing(offsets: &Offsets) -> Vec<&'static str> {
    let values: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(offsets));
    Offsets::FIELDS
        .iter()
        .zip(values)
        .filter(|(_, offset)| **offset == ABSENT)
        .map(|((name, _, _), _)| *name)
        .collect()
}

/// The first of `missing` without which no kernel tier works.
pub(super) fn first_required(missing: &[&'static str]) -> Option<&'static str> {
    missing.iter().copied().find(|name| REQUIRED.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_fields_are_fields() {
        for name in REQUIRED {
            assert!(
                Offsets::FIELDS.iter().any(|(field, _, _)| field == name),
                "{name}"
            );
        }
    }

    #[test]
    fn one_missing_field_is_named() {
        let mut offsets = Offsets::resolve(|_, _| Some(8));
        assert!(missing(&offsets).is_empty());
        offsets.cred_euid = ABSENT;
        assert_eq!(missing(&offsets), ["cred_euid"]);
        assert_eq!(first_required(&["cred_euid", "task_pid"]), Some("task_pid"));
        assert_eq!(first_required(&["cred_euid"]), None);
    }
}

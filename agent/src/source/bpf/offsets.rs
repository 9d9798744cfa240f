//! Finds the offsets of kernel fields in the kernel's type information, for the layout with which the programs are loaded.

use agent_common::{ABSENT, ARGV_READ, Layout, Offsets, RSS_HELPER, RSS_PLAIN};

use super::btf::Btf;

/// Fields that some kernels are built without. Without such a field a fact is missing, or another field replaces it. Without
/// any other field a number would be 0 and wrong, so no program with type information is loaded.
const OPTIONAL: &[&str] = &[
    // `task_old_state` before 5.14, `task_state` since.
    "task_state",
    "task_old_state",
    // CONFIG_TASK_IO_ACCOUNTING
    "task_read_bytes",
    "task_write_bytes",
    "signal_read_bytes",
    "signal_write_bytes",
    // CONFIG_SCHED_INFO
    "task_run_delay",
    // Missing with CONFIG_VIRT_CPU_ACCOUNTING_NATIVE, where user and system time are precise.
    "signal_shown_utime",
    "signal_shown_stime",
    // CONFIG_CGROUPS
    "task_cgroups",
    "css_set_cgroup",
    "cgroup_node",
    "node_id",
    // Without it, a process that runs with borrowed ids counts as having received them by this exec.
    "bprm_per_clear",
    // The agent can read memory and the limit of descriptors from /proc, and arguments if the process lives long enough.
    "signal_rlim",
    "mm_rss_stat",
    "mm_total_vm",
    "mm_arg_start",
    "mm_arg_end",
];

/// The layout of this kernel, and the names of the fields that it lacks.
pub(super) fn resolve(btf: &Btf<'_>) -> (Layout, Vec<&'static str>) {
    let mut layout = Layout {
        offsets: Offsets::resolve(|name, path| btf.offset(name, path)),
        argv_access: ARGV_READ,
        ..Layout::ABSENT
    };
    if let Some((first, element, size)) = btf.array_element("mm_struct", "rss_stat") {
        // Since 6.2 the counters are per-CPU counters with an approximate sum; before, they are plain words.
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

/// The first of `missing` without which no program with type information works.
pub(super) fn first_required(missing: &[&'static str]) -> Option<&'static str> {
    let has_no_state = ["task_state", "task_old_state"]
        .iter()
        .all(|name| missing.contains(name));
    let mut required = missing
        .iter()
        .copied()
        .filter(|name| !OPTIONAL.contains(name));
    required.next().or(has_no_state.then_some("task_state"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_are_fields() {
        for name in OPTIONAL {
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
        assert_eq!(first_required(&["node_id", "cred_euid"]), Some("cred_euid"));
        assert_eq!(first_required(&["node_id", "task_old_state"]), None);
        let both = ["task_state", "task_old_state"];
        assert_eq!(first_required(&both), Some("task_state"));
    }
}

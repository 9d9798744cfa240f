//! Facts about this kernel and this process's place in it.

use super::{btf::Btf, offsets, undisturbed};
use agent_common::Layout;

/// Why no kernel tier can work here. Each message says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Built without bpf-linker.
    #[error(
        "this binary was built without the kernel programs; build it with bpf-linker installed (`cargo xtask run` \
         does it)"
    )]
    NotBuilt,
    /// `--procfs` is a tree of files.
    #[error(
        "{0} is not a mounted procfs, and kernel programs see this machine's processes, not those of a copy; name a \
         mounted procfs with --procfs, or ask for --accounting=procfs"
    )]
    NotProcfs(String),
    /// A container with its own pid namespace.
    #[error(
        "the agent, or the procfs it was given, is not in the initial pid namespace, so process ids would not fit; \
         run it with the host's pid namespace (hostPID, --pid=host)"
    )]
    OtherPidNamespace,
    /// Not enough rights.
    #[error(
        "{0} missing; run as root, or grant what is missing (systemd: AmbientCapabilities, container: \
         capabilities.add)"
    )]
    Capability(String),
    /// No type information.
    #[error(
        "/sys/kernel/btf/vmlinux: {0}; a kernel with CONFIG_DEBUG_INFO_BTF is needed, and /sys mounted"
    )]
    NoBtf(String),
    /// No descriptions of tracepoints.
    #[error("tracefs, by which kernels without type information are understood: {0}")]
    NoTracefs(String),
    /// A tracepoint without a field that everything rests on.
    #[error("this kernel has no tracepoint field {0}; please report it with the kernel's version")]
    NoTraceField(String),
    /// Type information without a field that everything rests on.
    #[error("this kernel has no field {0}; please report it with the kernel's version")]
    NoField(&'static str),
}

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Support {
    /// The kernel has the task iterator (since 5.8).
    pub task_iterator: bool,
    /// The kernel has a function `release_task` that programs can name, and runs what hooks a function. Whether it may be
    /// hooked shows when it is tried.
    pub release_task: bool,
    /// The kernel's functions by which programs keep their CPU, if it has them (since 6.14).
    pub undisturbed: Option<undisturbed::Functions>,
    /// Why no program at all can be used; `None` where some can.
    pub obstacle: Option<Obstacle>,
    /// Why none that needs the kernel's type information can be; `None` where they can.
    pub no_types: Option<Obstacle>,
    /// Why none that sits on a classic tracepoint can be; `None` where they can.
    pub no_tracepoints: Option<Obstacle>,
    /// Optional kernel fields that this kernel does not have: their facts come from `/proc`.
    pub missing: Vec<&'static str>,
}

/// `CAP_PERFMON` and `CAP_BPF`; `CAP_SYS_ADMIN` holds both, and is all there is before 5.8.
const CAPABILITIES: [(u32, &str); 2] = [(38, "CAP_PERFMON"), (39, "CAP_BPF")];
const CAP_SYS_ADMIN: u32 = 21;

impl Support {
    /// Nothing can be used, because of `obstacle`.
    pub fn none(obstacle: Obstacle) -> Self {
        Self {
            obstacle: Some(obstacle),
            ..Self::default()
        }
    }

    /// Nothing that needs type information can be used, because of `obstacle`.
    pub fn without_types(obstacle: Obstacle) -> Self {
        Self {
            no_types: Some(obstacle),
            ..Self::default()
        }
    }

    /// From the kernel's type information: what is supported, and the layout to load the programs with.
    pub fn of(btf: &Btf<'_>) -> (Self, Layout) {
        let (layout, missing) = offsets::resolve(btf);
        let support = Self {
            task_iterator: btf.has_function("bpf_iter_task"),
            release_task: btf.has_function("release_task") && !is_ftrace_off(),
            undisturbed: undisturbed::functions(btf),
            no_types: offsets::first_required(&missing).map(Obstacle::NoField),
            missing,
            ..Self::default()
        };
        (support, layout)
    }
}

/// Whether an administrator has turned off what fentry rests on. Such a program is attached all the same then, and never runs.
pub(super) fn is_ftrace_off() -> bool {
    std::fs::read("/proc/sys/kernel/ftrace_enabled").is_ok_and(|text| text.starts_with(b"0"))
}

/// Why the capabilities in `CapEff` of this `/proc/thread-self/status` are not enough; `None` when they are.
pub(super) fn missing_capability(status: &str) -> Option<Obstacle> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(line.trim(), 16).ok()?;
    let has = |bit: u32| effective >> bit & 1 == 1;
    if has(CAP_SYS_ADMIN) {
        return None;
    }
    let missing: Vec<_> = CAPABILITIES
        .iter()
        .filter(|(bit, _)| !has(*bit))
        .map(|(_, name)| *name)
        .collect();
    (!missing.is_empty()).then(|| Obstacle::Capability(missing.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_when_they_miss() {
        let status = |caps: u64| format!("Name:\tx\nCapEff:\t{caps:016x}\n");
        assert_eq!(missing_capability(&status(1 << 21)), None);
        assert_eq!(missing_capability(&status(3 << 38)), None);
        let missing = missing_capability(&status(1 << 39));
        assert_eq!(
            missing,
            Some(Obstacle::Capability("CAP_PERFMON".to_owned()))
        );
        let missing = missing_capability(&status(0)).unwrap().to_string();
        assert!(
            missing.starts_with("CAP_PERFMON and CAP_BPF missing"),
            "{missing}"
        );
    }
}

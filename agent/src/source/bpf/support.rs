//! Facts about this kernel, and the obstacles to using kernel programs.

use agent_common::Layout;

use super::btf::Btf;
use super::{no_preempt, offsets};

/// Why all kernel programs, or those of one kind, cannot work here. Each message names a remedy for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The agent was built without bpf-linker.
    #[error(
        "this binary was built without the kernel programs; build it with bpf-linker installed (`cargo xtask run` \
         does it)"
    )]
    NotBuilt,
    /// `--procfs` names ordinary files, not a mounted procfs.
    #[error(
        "{0} is not a mounted procfs, and kernel programs see this machine's processes, not those of a copy; name a \
         mounted procfs with --procfs, or ask for --accounting=procfs"
    )]
    NotProcfs(String),
    /// The agent runs in a container with a pid namespace of its own.
    #[error(
        "the agent, or the procfs it was given, is not in the initial pid namespace, so process ids would not fit; \
         run it with the host's pid namespace (hostPID, --pid=host)"
    )]
    OtherPidNamespace,
    /// The agent lacks capabilities.
    #[error(
        "{0} missing; run as root, or grant what is missing (systemd: AmbientCapabilities, container: \
         capabilities.add)"
    )]
    Capability(String),
    /// There is no usable type information.
    #[error(
        "/sys/kernel/btf/vmlinux: {0}; a kernel with CONFIG_DEBUG_INFO_BTF is needed, and /sys mounted"
    )]
    NoBtf(String),
    /// There are no readable descriptions of tracepoints.
    #[error("tracefs, by which kernels without type information are understood: {0}")]
    NoTracefs(String),
    /// A tracepoint lacks a required field.
    #[error("this kernel has no tracepoint field {0}; please report it with the kernel's version")]
    NoTraceField(String),
    /// The kernel lacks a required field.
    #[error("this kernel has no field {0}; please report it with the kernel's version")]
    NoField(&'static str),
}

/// The features that this kernel supports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Support {
    /// The kernel has the task iterator (since 5.8).
    pub task_iterator: bool,
    /// The kernel's type information lists the function `release_task`, and ftrace is on. Whether a program may be attached to
    /// the function is found by trying.
    pub release_task: bool,
    /// The kernel's functions by which programs disable preemption; `None` if it lacks them (before 6.14).
    pub no_preempt: Option<no_preempt::Functions>,
    /// Why no program at all can be used; `None` if some can.
    pub obstacle: Option<Obstacle>,
    /// Why no program with type information can be used; `None` if they can.
    pub no_types: Option<Obstacle>,
    /// Why no program on classic tracepoints can be used; `None` if they can.
    pub no_tracepoints: Option<Obstacle>,
    /// Kernel fields that this kernel lacks. The facts of optional ones come from `/proc`, or are absent.
    pub missing: Vec<&'static str>,
}

/// The required capabilities. `CAP_SYS_ADMIN` includes both, and is the only one before 5.8.
const CAPABILITIES: [(u32, &str); 2] = [(38, "CAP_PERFMON"), (39, "CAP_BPF")];
const CAP_SYS_ADMIN: u32 = 21;

impl Support {
    /// No program can be used, because of `obstacle`.
    pub fn none(obstacle: Obstacle) -> Self {
        Self {
            obstacle: Some(obstacle),
            ..Self::default()
        }
    }

    /// No program with type information can be used, because of `obstacle`.
    pub fn without_types(obstacle: Obstacle) -> Self {
        Self {
            no_types: Some(obstacle),
            ..Self::default()
        }
    }

    /// The features of the kernel by its type information, and the layout for loading the programs.
    pub fn of(btf: &Btf<'_>) -> (Self, Layout) {
        let (layout, missing) = offsets::resolve(btf);
        let support = Self {
            task_iterator: btf.has_function("bpf_iter_task"),
            release_task: btf.has_function("release_task") && !is_ftrace_off(),
            no_preempt: no_preempt::functions(btf),
            no_types: offsets::first_required(&missing).map(Obstacle::NoField),
            missing,
            ..Self::default()
        };
        (support, layout)
    }
}

/// Whether an administrator has turned off ftrace, which fentry needs. The kernel then still attaches such a program, but
/// never runs it.
pub(super) fn is_ftrace_off() -> bool {
    std::fs::read("/proc/sys/kernel/ftrace_enabled").is_ok_and(|text| text.starts_with(b"0"))
}

/// The obstacle if the capabilities in the line `CapEff` of `status` (`/proc/thread-self/status`) are not enough; `None` if
/// they are, or if there is no such line.
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

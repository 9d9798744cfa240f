//! Capabilities: makes the permitted ones effective at the start, and later gives up for good those not needed any
//! more.

use std::fmt;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::SandboxError;

/// The capabilities for reading files of other users' processes.
const READING: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);
/// The capabilities that `bpf()` may need, in the order in which they are tried: none on kernels since 5.19; before
/// that CAP_BPF, where `kernel.unprivileged_bpf_disabled` is set; before 5.8, which has no CAP_BPF, CAP_SYS_ADMIN.
const MAPS: [CapabilitySet; 3] = [
    CapabilitySet::empty(),
    CapabilitySet::BPF,
    CapabilitySet::BPF
        .union(CapabilitySet::PERFMON)
        .union(CapabilitySet::SYS_ADMIN),
];

/// A set of capabilities; displays their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapabilityNames(CapabilitySet);

/// Makes all permitted capabilities effective; the file capabilities of the program may permit more than they make
/// effective.
pub(super) fn raise() -> Result<(), SandboxError> {
    let sets = read()?;
    if sets.effective == sets.permitted {
        return Ok(());
    }
    write(CapabilitySets {
        effective: sets.permitted,
        ..sets
    })
}

/// Keeps the capabilities for reading other users' files under `/proc`, and the least of [`MAPS`] with which `works`
/// returns true.
pub(super) fn keep_for_reading(
    works: impl FnMut() -> bool,
) -> Result<CapabilityNames, SandboxError> {
    let candidates = MAPS.map(|maps| READING.union(maps));
    keep_least(&candidates, works)
}

/// Keeps the capabilities for reading other users' files if `may_read_others`, and otherwise none.
pub(super) fn keep_for_asking(may_read_others: bool) -> Result<CapabilityNames, SandboxError> {
    let kept = if may_read_others {
        READING
    } else {
        CapabilitySet::empty()
    };
    keep_least(&[kept], || true)
}

/// Keeps no capability, or only the right to read all files if `works` returns false without it.
pub(super) fn keep_none(works: impl FnMut() -> bool) -> Result<CapabilityNames, SandboxError> {
    keep_least(
        &[CapabilitySet::empty(), CapabilitySet::DAC_READ_SEARCH],
        works,
    )
}

/// Gives up for good all capabilities except the first of `candidates` with which `works` returns true, or else the
/// last.
fn keep_least(
    candidates: &[CapabilitySet],
    mut works: impl FnMut() -> bool,
) -> Result<CapabilityNames, SandboxError> {
    let sets = read()?;
    let mut kept = CapabilitySet::empty();
    for candidate in candidates {
        kept = sets.permitted.intersection(*candidate);
        write(CapabilitySets {
            effective: kept,
            ..sets
        })?;
        if works() {
            break;
        }
    }
    // The bounding set matters only to an exec, which is denied anyway, but removing from it needs a capability that
    // is given up here. Ambient capabilities are cleared with the inheritable ones.
    write(CapabilitySets {
        effective: sets.permitted,
        ..sets
    })?;
    for capability in CapabilitySet::all().difference(kept).iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
    write(CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    })?;
    Ok(CapabilityNames(kept))
}

fn read() -> Result<CapabilitySets, SandboxError> {
    capabilities(None).map_err(|error| SandboxError::Refused("capget", error.into()))
}

fn write(sets: CapabilitySets) -> Result<(), SandboxError> {
    set_capabilities(None, sets).map_err(|error| SandboxError::Refused("capset", error.into()))
}

impl fmt::Display for CapabilityNames {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("none");
        }
        for (n, (name, _)) in self.0.iter_names().enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(formatter, "{space}CAP_{name}")?;
        }
        Ok(())
    }
}

//! Capabilities: what is permitted is used, and what is not needed any more is given up for good.

use super::Error;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities,
};
use std::fmt;

/// What files of other users' processes ask for.
const READING: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);
/// What `bpf()` may ask for, in the order in which it is tried: nothing on kernels since 5.19; CAP_BPF before, where
/// `kernel.unprivileged_bpf_disabled` is set; before 5.8 there is CAP_SYS_ADMIN only.
const MAPS: [CapabilitySet; 3] = [
    CapabilitySet::empty(),
    CapabilitySet::BPF,
    CapabilitySet::BPF
        .union(CapabilitySet::PERFMON)
        .union(CapabilitySet::SYS_ADMIN),
];

/// Capabilities, to be shown by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names(CapabilitySet);

/// Makes effective what is permitted: all that the capabilities of a file may give.
pub(super) fn raise() -> Result<(), Error> {
    let sets = read()?;
    if sets.effective == sets.permitted {
        return Ok(());
    }
    write(CapabilitySets {
        effective: sets.permitted,
        ..sets
    })
}

/// Keeps those for reading other users' files under `/proc`, and the least with which `works` says yes.
pub(super) fn keep_for_reading(works: impl FnMut() -> bool) -> Result<Names, Error> {
    let candidates = MAPS.map(|maps| READING.union(maps));
    keep_least(&candidates, works)
}

/// Keeps none; unless without the right to read all files `works` says no.
pub(super) fn keep_none(works: impl FnMut() -> bool) -> Result<Names, Error> {
    keep_least(
        &[CapabilitySet::empty(), CapabilitySet::DAC_READ_SEARCH],
        works,
    )
}

/// Gives up for good all but the first of `candidates` with which `works` says yes, or else the last.
fn keep_least(
    candidates: &[CapabilitySet],
    mut works: impl FnMut() -> bool,
) -> Result<Names, Error> {
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
    // The bounding set matters to an exec only, which is denied anyway, and giving it up needs a capability that is given
    // up here. Ambient ones go with the inheritable ones.
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
    Ok(Names(kept))
}

fn read() -> Result<CapabilitySets, Error> {
    capabilities(None).map_err(|error| Error::Refused("capget", error.into()))
}

fn write(sets: CapabilitySets) -> Result<(), Error> {
    set_capabilities(None, sets).map_err(|error| Error::Refused("capset", error.into()))
}

impl fmt::Display for Names {
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

//! A wrapper that makes the types of agent-common usable as aya's map keys and values, and identities of processes.

use agent_common::Identity;
use bytemuck::Pod;

use crate::process::ProcessId;

/// A map key or value.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Wire<T>(pub(super) T);

// SAFETY: `repr(transparent)` over a `bytemuck::Pod` type, for which any bytes are a valid value.
unsafe impl<T: Pod> aya::Pod for Wire<T> {}

pub(super) fn identity(id: ProcessId) -> Identity {
    Identity {
        start_ns: id.start_ns,
        tgid: id.tgid,
        zero: 0,
    }
}

pub(super) fn process(identity: Identity) -> ProcessId {
    ProcessId {
        tgid: identity.tgid,
        start_ns: identity.start_ns,
    }
}

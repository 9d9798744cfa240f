//! Records of agent-common as aya wants map keys and values.

use bytemuck::Pod;

/// A map key or value.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Wire<T>(pub(super) T);

// SAFETY: `repr(transparent)` over a type that may be made of, and read as, any bytes.
unsafe impl<T: Pod> aya::Pod for Wire<T> {}

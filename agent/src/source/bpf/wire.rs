//! A wrapper that makes the types of agent-common usable as aya's map keys and values.

use bytemuck::Pod;

/// A map key or value.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Wire<T>(pub(super) T);

// SAFETY: `repr(transparent)` over a `bytemuck::Pod` type, for which any bytes are a valid value.
unsafe impl<T: Pod> aya::Pod for Wire<T> {}

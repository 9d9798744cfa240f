//! Finds the offsets of the fields of sockets, and says what a kernel lacks for the network programs.

use agent_common::{ABSENT, NetworkLayout, NetworkOffsets};

use super::btf::Btf;

/// Fields that some kernels are built without.
const OPTIONAL: &[&str] = &[
    // CONFIG_IPV6
    "sock_v6_daddr",
    "sock_v6_saddr",
    // One of both: CONFIG_PREEMPT_RT has the second.
    "sock_spin_lock",
    "sock_rt_lock",
];

/// What the programs need of the kernel beside fields.
const FUNCTIONS: [&str; 4] = [
    "bpf_iter_bpf_sk_storage_map",
    "bpf_iter_task_file",
    // The helpers; both are in 5.11.
    "bpf_sock_from_file",
    "bpf_get_current_task_btf",
];

/// Why this kernel cannot run the network programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoNetwork {
    /// The kernel has no type information, or the agent may not use it.
    #[error("the kernel's type information is not used")]
    Untyped,
    /// The kernel lacks a function.
    #[error("this kernel has no {0}; 5.12 or later has")]
    NoFunction(&'static str),
    /// The kernel lacks a field.
    #[error("this kernel has no field {0}; please report it with the kernel's version")]
    NoSocketField(&'static str),
}

/// The layout of this kernel.
///
/// # Errors
/// When the kernel lacks something that the programs need.
pub(super) fn resolve(btf: &Btf<'_>) -> Result<NetworkLayout, NoNetwork> {
    if let Some(function) = FUNCTIONS.into_iter().find(|name| !btf.has_function(name)) {
        return Err(NoNetwork::NoFunction(function));
    }
    let layout = NetworkLayout {
        offsets: NetworkOffsets::resolve(|name, path| btf.offset(name, path)),
        ..NetworkLayout::ABSENT
    };
    match first_required(&layout.offsets) {
        Some(field) => Err(NoNetwork::NoSocketField(field)),
        None => Ok(layout),
    }
}

/// The first field that `offsets` lack and the programs need.
fn first_required(offsets: &NetworkOffsets) -> Option<&'static str> {
    let values: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(offsets));
    let fields = NetworkOffsets::FIELDS.iter().zip(values);
    let mut absent = fields.filter(|(_, offset)| **offset == ABSENT);
    let required = absent.find(|((name, _, _), _)| !OPTIONAL.contains(name));
    let has_no_lock = offsets.sock_spin_lock == ABSENT && offsets.sock_rt_lock == ABSENT;
    let required = required.map(|((name, _, _), _)| *name);
    required.or(has_no_lock.then_some("sock_spin_lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_are_fields() {
        for name in OPTIONAL {
            let mut fields = NetworkOffsets::FIELDS.iter();
            assert!(fields.any(|(field, _, _)| field == name), "{name}");
        }
    }

    #[test]
    fn one_missing_field_is_named_unless_another_one_replaces_it() {
        let mut offsets = NetworkOffsets::resolve(|_, _| Some(8));
        assert_eq!(first_required(&offsets), None);
        offsets.sock_rt_lock = ABSENT;
        offsets.sock_v6_daddr = ABSENT;
        assert_eq!(first_required(&offsets), None);
        offsets.sock_spin_lock = ABSENT;
        assert_eq!(first_required(&offsets), Some("sock_spin_lock"));
        offsets.tcp_sent = ABSENT;
        assert_eq!(first_required(&offsets), Some("tcp_sent"));
    }
}

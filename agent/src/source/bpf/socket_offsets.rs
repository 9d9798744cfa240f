//! Finds the offsets of the fields of sockets, and reports the features that a kernel lacks for the network programs.

use agent_common::{ABSENT, CALLS, NetworkLayout, NetworkOffsets};

use super::btf::Btf;
use super::network_way::Way;

/// Fields that some kernels are built without.
const OPTIONAL: &[&str] = &[
    // CONFIG_IPV6
    "sock_v6_daddr",
    "sock_v6_saddr",
    // One of both: CONFIG_PREEMPT_RT has the second.
    "sock_spin_lock",
    "sock_rt_lock",
    // Of one architecture each.
    "regs_orig_ax",
    "regs_cs",
    "regs_syscallno",
    "regs_pstate",
];

/// The helper by which a program reads the system call of the process that closes a socket, since 5.15. Without it a reader of another process's files may count as the
/// closer of one.
const CALL_HELPER: &str = "bpf_task_pt_regs";

/// The calls that hold files of another process for a moment, when they follow, list or describe `/proc/PID/fd`, and that close
/// none. `read` and `pread64` show `/proc/PID/fdinfo`.
const READING_CALLS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlinkat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_kcmp,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getdents,
];

/// Fields that only [`Way::Hash`] needs.
const OF_HASH: &[&str] = &["file_inode", "file_private", "inode_mode", "tcp_unsent"];

/// Why this kernel cannot run the network programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoNetwork {
    /// The kernel has no type information, or the agent may not use it.
    #[error("the kernel's type information is not used")]
    Untyped,
    /// The kernel lacks a function.
    #[error("this kernel has no {0}; 5.12 or later has")]
    NoFunction(&'static str),
    /// The hash allocates its entries where such a kernel must not sleep, and may.
    #[error("with CONFIG_PREEMPT_RT there is no hash of sockets")]
    RealTime,
    /// The kernel lacks a field.
    #[error("this kernel has no field {0}; please report it with the kernel's version")]
    NoSocketField(&'static str),
}

/// The layout of this kernel.
///
/// # Errors
/// When the kernel lacks something that the programs need.
pub(super) fn resolve(btf: &Btf<'_>, way: Way) -> Result<NetworkLayout, NoNetwork> {
    let mut functions = way.functions().iter();
    if let Some(function) = functions.find(|name| !btf.has_function(name)) {
        return Err(NoNetwork::NoFunction(function));
    }
    let has_calls = way == Way::Storage && btf.has_function(CALL_HELPER);
    let find = |name: &str, path: &str| {
        let is_meant = name != "pt_regs" || has_calls;
        is_meant.then(|| btf.offset(name, path)).flatten()
    };
    let layout = NetworkLayout {
        offsets: NetworkOffsets::resolve(find),
        reading_calls: bits(READING_CALLS),
        ..NetworkLayout::ABSENT
    };
    if way == Way::Hash && layout.offsets.sock_rt_lock != ABSENT {
        return Err(NoNetwork::RealTime);
    }
    match first_required(&layout.offsets, way) {
        Some(field) => Err(NoNetwork::NoSocketField(field)),
        None => Ok(layout),
    }
}

/// A bit for each of the numbers.
fn bits(calls: &[libc::c_long]) -> [u32; CALLS / 32] {
    let mut bits = [0; CALLS / 32];
    for call in calls.iter().filter_map(|call| usize::try_from(*call).ok()) {
        if let Some(word) = bits.get_mut(call / 32) {
            *word |= 1 << (call % 32);
        }
    }
    bits
}

/// The first field that `offsets` lack and the programs need.
fn first_required(offsets: &NetworkOffsets, way: Way) -> Option<&'static str> {
    let values: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(offsets));
    let fields = NetworkOffsets::FIELDS.iter().zip(values);
    let absent = fields.filter(|(_, offset)| **offset == ABSENT);
    let mut names = absent.map(|((name, _, _), _)| *name);
    let is_optional =
        |name| OPTIONAL.contains(&name) || way != Way::Hash && OF_HASH.contains(&name);
    let required = names.find(|name| !is_optional(*name));
    let has_no_lock = offsets.sock_spin_lock == ABSENT && offsets.sock_rt_lock == ABSENT;
    required.or(has_no_lock.then_some("sock_spin_lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_are_fields() {
        for name in OPTIONAL.iter().chain(OF_HASH) {
            let mut fields = NetworkOffsets::FIELDS.iter();
            assert!(fields.any(|(field, _, _)| field == name), "{name}");
        }
    }

    #[test]
    fn each_reading_call_has_a_bit() {
        let bits = bits(READING_CALLS);
        let count: u32 = bits.iter().map(|word| word.count_ones()).sum();
        assert_eq!(count as usize, READING_CALLS.len());
        let close = usize::try_from(libc::SYS_close).unwrap();
        assert_eq!(bits[close / 32] >> (close % 32) & 1, 0);
    }

    #[test]
    fn one_missing_field_is_named_unless_another_one_replaces_it() {
        let mut offsets = NetworkOffsets::resolve(|_, _| Some(8));
        assert_eq!(first_required(&offsets, Way::Storage), None);
        offsets.sock_rt_lock = ABSENT;
        offsets.sock_v6_daddr = ABSENT;
        assert_eq!(first_required(&offsets, Way::Storage), None);
        offsets.sock_spin_lock = ABSENT;
        assert_eq!(
            first_required(&offsets, Way::Storage),
            Some("sock_spin_lock")
        );
        offsets.tcp_unsent = ABSENT;
        assert_eq!(first_required(&offsets, Way::Hash), Some("tcp_unsent"));
        offsets.tcp_sent = ABSENT;
        assert_eq!(first_required(&offsets, Way::Storage), Some("tcp_sent"));
    }
}

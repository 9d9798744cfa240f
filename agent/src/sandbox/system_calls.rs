//! Which system calls each thread may use; [`filter`](super::filter) puts that in force.
//!
//! The whole process has a list of denied calls, because the libraries of the state thread, which reads `/proc` and
//! uses the maps, may come to need further calls. The HTTP thread, which strangers talk to, and the threads of targets and of
//! names, which ask strangers, have lists of allowed calls.

use seccompiler::{SeccompCmpOp, SeccompRule};

use super::filter::{FilterError, Listed, Rules, When, apply, argument};
use super::{allowed, denied};

/// Commands of `bpf()` that reading needs (kernel: `enum bpf_cmd`): elements of maps, singly and in batches;
/// information about a loaded program; a further iterator of an existing link. No command that loads, attaches or
/// creates.
const READING: [u64; 9] = [
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    15, // BPF_OBJ_GET_INFO_BY_FD
    21, // BPF_MAP_LOOKUP_AND_DELETE_ELEM
    24, // BPF_MAP_LOOKUP_BATCH
    25, // BPF_MAP_LOOKUP_AND_DELETE_BATCH
    33, // BPF_ITER_CREATE
];

/// Denies the system calls that no thread of the agent needs, and every call of the x32 ABI.
pub(super) fn deny() -> Result<(), FilterError> {
    let rules = denied::CALLS.iter().map(|call| (*call, Vec::new()));
    apply(rules.collect(), Listed::Denied)
}

/// Denies `perf_event_open()` and `bpf()`, so that no program can be attached; with `uses_bpf`, the `bpf()` commands
/// of [`READING`] stay allowed.
pub(super) fn only_read_maps(uses_bpf: bool) -> Result<(), FilterError> {
    let mut rules = Rules::new();
    let mut chain = Vec::new();
    if uses_bpf {
        let others = READING.map(|command| argument(0, SeccompCmpOp::Ne, command));
        let others = others.into_iter().collect::<Result<When, _>>()?;
        chain.push(SeccompRule::new(others)?);
    }
    rules.insert(libc::SYS_bpf, chain);
    // A program is attached to a tracepoint through a perf event.
    rules.insert(libc::SYS_perf_event_open, Vec::new());
    apply(rules, Listed::Denied)
}

/// Allows the system calls that serving HTTP needs, and no others.
pub(super) fn only_serve() -> Result<(), FilterError> {
    apply(allowed::of_http()?, Listed::Allowed)
}

/// Allows the system calls that writing files needs, and no others.
pub(super) fn only_write() -> Result<(), FilterError> {
    apply(allowed::of_broker()?, Listed::Allowed)
}

/// Allows the system calls that asking targets needs, and no others.
pub(super) fn only_ask() -> Result<(), FilterError> {
    let is_root = rustix::process::geteuid().is_root();
    apply(allowed::of_targets(is_root)?, Listed::Allowed)
}

/// Allows the system calls that resolving names needs, and no others.
pub(super) fn only_resolve() -> Result<(), FilterError> {
    apply(allowed::of_names()?, Listed::Allowed)
}

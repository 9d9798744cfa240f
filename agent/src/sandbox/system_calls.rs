//! Filters of system calls (seccomp). A call that a filter refuses fails with an error; the process is not killed.
//!
//! The whole process has a list of denied calls, because the libraries of the state thread, which reads `/proc` and
//! uses the maps, may come to need further calls. The HTTP thread, which strangers talk to, has a list of allowed
//! calls.

use super::{allowed, denied};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use std::{collections::BTreeMap, env::consts::ARCH};

/// Why a filter is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No filter can be made for this architecture.
    #[error("no filter for {ARCH}: {0}")]
    Machine(#[from] seccompiler::BackendError),
    /// The kernel refused the filter.
    #[error(transparent)]
    Kernel(#[from] seccompiler::Error),
}

/// Conditions on the arguments of a system call; empty: every call matches.
pub(super) type When = Vec<SeccompCondition>;
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

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
pub(super) fn deny() -> Result<(), super::Error> {
    let rules = denied::CALLS.iter().map(|call| (*call, Vec::new()));
    apply(rules.collect(), Listed::Denied)
}

/// Denies `perf_event_open()` and `bpf()`, so that no program can be attached; with `uses_bpf`, the `bpf()` commands
/// of [`READING`] stay allowed.
pub(super) fn only_read_maps(uses_bpf: bool) -> Result<(), super::Error> {
    let mut rules = Rules::new();
    let mut chain = Vec::new();
    if uses_bpf {
        let others = READING.map(|command| argument(0, SeccompCmpOp::Ne, command));
        let others = others.into_iter().collect::<Result<When, _>>();
        chain.push(SeccompRule::new(others.map_err(Error::from)?).map_err(Error::from)?);
    }
    rules.insert(libc::SYS_bpf, chain);
    // A program is attached to a tracepoint through a perf event.
    rules.insert(libc::SYS_perf_event_open, Vec::new());
    apply(rules, Listed::Denied)
}

/// Allows the system calls that serving HTTP needs, and no others.
pub(super) fn allow() -> Result<(), super::Error> {
    let rules = allowed::rules().map_err(Error::from)?;
    apply(rules, Listed::Allowed)
}

/// A condition on the 32-bit argument at `index`.
pub(super) fn argument(
    index: u8,
    operation: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operation, value)
}

/// What the filter does with the listed calls; it does the opposite with all others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    Allowed,
    Denied,
}

fn apply(rules: Rules, listed: Listed) -> Result<(), super::Error> {
    let program = compile(rules, listed).map_err(Error::from)?;
    apply_filter(&program).map_err(Error::from)?;
    Ok(())
}

/// On x86-64 the kernel may accept each call under a second number, which has this bit set (the x32 ABI). It reports
/// the same architecture for both, and the rules compare whole numbers, so they do not match x32 calls.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

fn compile(rules: Rules, listed: Listed) -> Result<BpfProgram, seccompiler::BackendError> {
    let errno = |code: i32| SeccompAction::Errno(code.unsigned_abs());
    let (others, these) = match listed {
        // The error of a kernel without the call: the C library then falls back to an older one.
        Listed::Allowed => (errno(libc::ENOSYS), SeccompAction::Allow),
        Listed::Denied => (SeccompAction::Allow, errno(libc::EPERM)),
    };
    let program: BpfProgram =
        SeccompFilter::new(rules, others, these, ARCH.try_into()?)?.try_into()?;
    Ok(match listed {
        // The list of allowed calls has no x32 number, so it refuses all of them.
        Listed::Allowed => program,
        Listed::Denied => without_x32(program),
    })
}

/// Prepends instructions to `program` that refuse every x32 call.
#[cfg(target_arch = "x86_64")]
fn without_x32(program: BpfProgram) -> BpfProgram {
    use seccompiler::sock_filter;
    let instruction = |code: u32, jt, jf, k| sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let mut all = vec![
        // The call's number is the first field of the data that the kernel passes to a filter.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, refused),
    ];
    all.extend(program);
    all
}

#[cfg(not(target_arch = "x86_64"))]
const fn without_x32(program: BpfProgram) -> BpfProgram {
    program
}

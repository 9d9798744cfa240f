//! Builds a filter of system calls (seccomp) from a list of calls and puts it in force for the calling thread.
//!
//! A call that a filter refuses fails with an error; the process is not killed.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter,
};

/// Why a filter is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    /// No filter can be made for this architecture.
    #[error("no filter for {ARCH}: {0}")]
    Machine(#[from] BackendError),
    /// The kernel refused the filter.
    #[error(transparent)]
    Kernel(#[from] seccompiler::Error),
}

/// Conditions on the arguments of a system call; empty: every call matches.
pub(super) type When = Vec<SeccompCondition>;
/// The listed calls, each with the rules under one of which it matches; without rules it always does.
pub(super) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// A condition on the 32-bit argument at `index`.
pub(super) fn argument(
    index: u8,
    operation: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operation, value)
}

/// The action of the filter for the listed calls; it does the opposite with all others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Allowed,
    Denied,
}

/// Puts a filter of `rules` in force for the calling thread and those that it starts.
pub(super) fn apply(rules: Rules, listed: Listed) -> Result<(), FilterError> {
    apply_filter(&compile(rules, listed)?)?;
    Ok(())
}

/// On x86-64 the kernel may accept each call under a second number, which has this bit set (the x32 ABI). It reports
/// the same architecture for both, and the rules compare whole numbers, so they do not match x32 calls.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

fn compile(rules: Rules, listed: Listed) -> Result<BpfProgram, BackendError> {
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

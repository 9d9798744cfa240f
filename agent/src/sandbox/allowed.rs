//! The system calls that the HTTP thread may use: for accepted connections, reading files, memory, threads and time.
//! It cannot open a socket, write a file, start a process, map executable memory, signal another process or call
//! `bpf()`.

use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BackendError, SeccompCondition, SeccompRule};

use super::filter::{Rules, When, argument};

/// Allowed with any arguments. The list covers the C libraries glibc and musl.
const ALWAYS: &[libc::c_long] = &[
    // Open descriptors.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    // Incoming connections.
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // Waiting.
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_getrandom,
    // Threads and signals.
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_membarrier,
    libc::SYS_prctl,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// The same number on every architecture that the agent supports, but of a different type in each C library.
const FIONBIO: u64 = 0x5421;
/// Flags of `open` for more than reading.
const WRITING: libc::c_int = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;

/// The allowed calls. A call with rules is allowed if one of them holds; a call without rules always.
pub(super) fn rules() -> Result<Rules, BackendError> {
    let mut rules: Rules = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    for (call, when) in conditions()? {
        rules.insert(call, vec![SeccompRule::new(when)?]);
    }
    Ok(rules)
}

fn conditions() -> Result<Vec<(libc::c_long, When)>, BackendError> {
    let bits = |flags: libc::c_int| u64::from(flags.unsigned_abs());
    let without = |index, flags| argument(index, MaskedEq(bits(flags)), 0);
    let read_only =
        |index| -> Result<Vec<SeccompCondition>, _> { Ok(vec![without(index, WRITING)?]) };
    let no_code = || -> Result<Vec<SeccompCondition>, _> { Ok(vec![without(2, libc::PROT_EXEC)?]) };
    // New threads only. `clone3` has its flags in memory, which a filter cannot read; it is not on the list, so the C
    // library falls back to `clone`.
    let thread = bits(libc::CLONE_THREAD);
    // `abort` of glibc signals its own thread with `tgkill`. `abort` of musl uses `tkill`, which names no process and
    // is refused; musl then ends the process with a fault.
    let own_process = u64::from(std::process::id());
    Ok(vec![
        (libc::SYS_openat, read_only(2)?),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, read_only(1)?),
        (libc::SYS_mmap, no_code()?),
        (libc::SYS_mprotect, no_code()?),
        (
            libc::SYS_clone,
            vec![argument(0, MaskedEq(thread), thread)?],
        ),
        (libc::SYS_tgkill, vec![argument(0, Eq, own_process)?]),
        (libc::SYS_ioctl, vec![argument(1, Eq, FIONBIO)?]),
    ])
}

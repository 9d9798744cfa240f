//! The system calls that the threads of HTTP, targets, names and the broker may use: for connections, reading files, memory, threads
//! and time. Only the broker's can write a file. None can start a process, map executable memory, signal another process or call
//! `bpf()`. The HTTP thread, which strangers reach, cannot open a socket; the others, which open sockets, cannot listen or accept.
//! Only the names thread has UDP.

use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BackendError, SeccompCondition, SeccompRule};

use super::filter::{Rules, When, argument};

/// Allowed to all these threads with any arguments. The list covers the C libraries glibc and musl.
const ALL: &[libc::c_long] = &[
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
    // Connections.
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

/// Allowed to the targets thread, too, with any arguments.
const ASKING: &[libc::c_long] = &[
    libc::SYS_connect,
    // Directories, locks and changes of files.
    libc::SYS_getdents64,
    libc::SYS_flock,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    // The kind of a file system: changes of some are not noticed.
    libc::SYS_fstatfs,
    // Its own user, to compare with the owner of a target's files.
    libc::SYS_getuid,
    libc::SYS_geteuid,
];

/// Allowed to the broker thread, too, with any arguments.
const WRITING_FILES: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_fsync,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

/// The same number on every architecture that the agent supports, but of a different type in each C library.
const FIONBIO: u64 = 0x5421;
/// Flags of `open` for more than reading.
const WRITING: libc::c_int = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;

/// The calls that the HTTP thread may use. A call with rules is allowed if one of them holds; a call without rules
/// always.
pub(super) fn of_http() -> Result<Rules, BackendError> {
    let mut rules = of_all()?;
    rules.insert(libc::SYS_accept4, Vec::new());
    Ok(rules)
}

/// The calls that the targets thread may use, like [`of_http`].
///
/// `openat2` has its flags in memory, which a filter cannot read, so it could open files for writing. Another user than root then
/// has only the rights of this user, which is no more than any program of the node may. Root could write to every file, and to
/// the memory of every process (`/proc/<pid>/mem`): `is_root` leaves the call out, and the thread walks a path with one `openat`
/// for each of its components, as on a kernel without `openat2`.
pub(super) fn of_targets(is_root: bool) -> Result<Rules, BackendError> {
    let mut rules = of_all()?;
    rules.extend(ASKING.iter().map(|call| (*call, Vec::new())));
    rules.insert(libc::SYS_socket, streams()?);
    if !is_root {
        rules.insert(libc::SYS_openat2, Vec::new());
    }
    Ok(rules)
}

/// The calls that the broker thread may use, like [`of_http`]. Where Landlock does not bound its files, its user's rights do.
pub(super) fn of_broker() -> Result<Rules, BackendError> {
    let mut rules = of_all()?;
    rules.extend(WRITING_FILES.iter().map(|call| (*call, Vec::new())));
    Ok(rules)
}

fn of_all() -> Result<Rules, BackendError> {
    let mut rules: Rules = ALL.iter().map(|call| (*call, Vec::new())).collect();
    for (call, when) in conditions()? {
        rules.insert(call, vec![SeccompRule::new(when)?]);
    }
    Ok(rules)
}

/// The calls that the names thread may use, like [`of_http`]: those that the resolvers of glibc and musl need. Both bind their
/// UDP sockets before they send, glibc sends two questions at once, and a cache of names (nscd) has a Unix socket.
pub(super) fn of_names() -> Result<Rules, BackendError> {
    let mut rules = of_all()?;
    let calls = [libc::SYS_connect, libc::SYS_bind, libc::SYS_sendmmsg];
    rules.extend(calls.map(|call| (call, Vec::new())));
    let sockets = streams()?.into_iter().chain(datagrams()?);
    rules.insert(libc::SYS_socket, sockets.collect());
    Ok(rules)
}

/// Stream sockets to Unix sockets and over TCP.
fn streams() -> Result<Vec<SeccompRule>, BackendError> {
    // The protocol: the family's own.
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    let rules = families.map(|family| socket(family, libc::SOCK_STREAM, 0));
    rules.into_iter().collect()
}

/// Sockets over UDP.
fn datagrams() -> Result<Vec<SeccompRule>, BackendError> {
    let families = [libc::AF_INET, libc::AF_INET6].into_iter();
    let rules = families.flat_map(|family| {
        [0, libc::IPPROTO_UDP].map(|protocol| socket(family, libc::SOCK_DGRAM, protocol))
    });
    rules.collect()
}

fn socket(
    family: libc::c_int,
    kind: libc::c_int,
    protocol: libc::c_int,
) -> Result<SeccompRule, BackendError> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // All 32 bits but these two.
    let mask = MaskedEq(bits(!0) ^ bits(flags));
    SeccompRule::new(vec![
        argument(0, Eq, bits(family))?,
        argument(1, mask, bits(kind))?,
        argument(2, Eq, bits(protocol))?,
    ])
}

/// An argument as the filter sees it.
fn bits(flags: libc::c_int) -> u64 {
    u64::from(flags.cast_unsigned())
}

fn conditions() -> Result<Vec<(libc::c_long, When)>, BackendError> {
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

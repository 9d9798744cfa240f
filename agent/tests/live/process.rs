//! The system calls that processes are made of, as the scenarios and the tests need them.

use std::ffi::CString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;
use std::time::Duration;

use crate::guest;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Success,
    Failure,
    Signal,
}

impl End {
    /// Eight in ten succeed, one fails, one is killed.
    pub(crate) fn of_nth(n: u64) -> Self {
        match n % 10 {
            8 => Self::Failure,
            9 => Self::Signal,
            _ => Self::Success,
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "success" => Self::Success,
            "failure" => Self::Failure,
            "signal" => Self::Signal,
            _ => panic!("{word:?} is no end"),
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Signal => "signal",
        }
    }

    fn of_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal
        } else if libc::WEXITSTATUS(status) != 0 {
            Self::Failure
        } else {
            Self::Success
        }
    }

    /// Ends this process so.
    pub(crate) fn now(self) -> ! {
        if self == Self::Signal {
            kill(own_pid(), libc::SIGKILL);
        }
        exit(if self == Self::Success { 0 } else { 3 })
    }
}

/// The use that `wait4` reported for a process: its own and that of the children it had reaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reaped {
    pub(crate) end: End,
    pub(crate) cpu_ns: u64,
    pub(crate) user_ns: u64,
}

pub(crate) fn own_pid() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() }
}

pub(crate) fn own_thread_id() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Ends all threads, runs nothing else.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Ends this thread only, without the language's runtime.
pub(crate) fn exit_thread() -> ! {
    // SAFETY: ends the thread; its stack stays mapped.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("exit does not come back")
}

/// Runs `child` in a new process; gives its number.
pub(crate) fn fork(child: impl FnOnce()) -> i32 {
    try_fork(child).unwrap_or_else(|| panic!("fork: {}", std::io::Error::last_os_error()))
}

/// The same, or nothing where there may be no more of them.
pub(crate) fn try_fork(child: impl FnOnce()) -> Option<i32> {
    // SAFETY: scenarios fork while they have one thread only, so the child may do anything.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        child();
        exit(0);
    }
    (pid > 0).then_some(pid)
}

/// Waits for the end of any child.
pub(crate) fn reap_any() {
    // SAFETY: no status is asked for.
    let pid = unsafe { libc::waitpid(-1, ptr::null_mut(), 0) };
    assert!(pid > 0, "waitpid: {}", std::io::Error::last_os_error());
}

pub(crate) fn reap(pid: i32) -> Reaped {
    let mut status = 0;
    // SAFETY: all bytes zero are a value of it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to locals that outlive the call.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if reaped == pid {
            break;
        }
        let error = std::io::Error::last_os_error();
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::Interrupted,
            "wait4({pid}): {error}"
        );
    }
    Reaped {
        end: End::of_status(status),
        cpu_ns: used_ns(&usage),
        user_ns: ns(usage.ru_utime),
    }
}

/// Whether a child has ended; it can still be reaped.
pub(crate) fn has_ended(pid: i32) -> bool {
    // SAFETY: all bytes zero are a value of it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let id = libc::id_t::try_from(pid).unwrap();
    // SAFETY: the pointer is to a local.
    let result = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    info.si_signo == libc::SIGCHLD
}

/// CPU time of all children reaped so far, theirs included: the sum of the results of `wait4`, without their rounding.
pub(crate) fn reaped_children_ns() -> u64 {
    // SAFETY: all bytes zero are a value of it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a local.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    assert_eq!(result, 0);
    used_ns(&usage)
}

fn used_ns(usage: &libc::rusage) -> u64 {
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

fn ns(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000
        + u64::try_from(time.tv_usec).unwrap() * 1000
}

/// This process, and processes that it starts from now on, run on the last CPU only: the one without tick, where there is one.
/// Dropping it ends that for this process.
#[derive(Debug)]
pub(crate) struct Pinned(libc::cpu_set_t);

impl Pinned {
    pub(crate) fn to_last_cpu() -> Self {
        // SAFETY: all bytes zero are a value of it.
        let mut all: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a local of the given length.
        let result = unsafe { libc::sched_getaffinity(0, size_of_val(&all), &raw mut all) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        let bits = 8 * size_of_val(&all);
        // SAFETY: the numbers are those of bits that it has.
        let last = (0..bits)
            .rev()
            .find(|cpu| unsafe { libc::CPU_ISSET(*cpu, &all) });
        // SAFETY: as above.
        let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the same number.
        unsafe { libc::CPU_SET(last.unwrap(), &mut one) };
        run_on(&one);
        Self(all)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        run_on(&self.0);
    }
}

fn run_on(cpus: &libc::cpu_set_t) {
    // SAFETY: the pointer is to a set of the given length.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(cpus), cpus) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// The time of day, since the epoch.
pub(crate) fn wall_clock() -> Duration {
    Duration::from_nanos(clock_ns(libc::CLOCK_REALTIME))
}

/// Sets the machine's clock forward by so many seconds, or back.
pub(crate) fn set_clock(seconds: i64) {
    let now = wall_clock();
    let time = libc::timespec {
        tv_sec: i64::try_from(now.as_secs()).unwrap() + seconds,
        tv_nsec: now.subsec_nanos().into(),
    };
    // SAFETY: the pointer is to a local.
    let result = unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) };
    assert_eq!(
        result,
        0,
        "clock_settime: {}",
        std::io::Error::last_os_error()
    );
}

/// CPU time of this process so far.
pub(crate) fn own_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Uses CPU, until this process has used `ns` more than when it was called.
pub(crate) fn spin(ns: u64) {
    let end_ns = own_cpu_ns() + ns;
    while ns > 0 && own_cpu_ns() < end_ns {}
}

/// Uses CPU, until this process has used `ns` since its birth.
pub(crate) fn spin_to(ns: u64) {
    while ns > 0 && own_cpu_ns() < ns {}
}

/// Uses CPU, until this thread has used `ns` more.
pub(crate) fn spin_thread(ns: u64) {
    let end_ns = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) + ns;
    while clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) < end_ns {}
}

pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::kill(pid, signal) };
    assert_eq!(
        result,
        0,
        "kill({pid}, {signal}): {}",
        std::io::Error::last_os_error()
    );
}

/// Runs this thread, and those it will start, on the first CPU that it may run on, and on no other.
pub(crate) fn pin_to_first_cpu() {
    // SAFETY: all bytes zero are a value of it.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: all bytes zero are a value of it.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let bytes = size_of::<libc::cpu_set_t>();
    // SAFETY: the pointers are to locals of this size.
    unsafe {
        assert_eq!(libc::sched_getaffinity(0, bytes, &raw mut allowed), 0);
        let cpus = 0..usize::try_from(libc::CPU_SETSIZE).unwrap();
        let first = cpus.into_iter().find(|cpu| libc::CPU_ISSET(*cpu, &allowed));
        libc::CPU_SET(first.unwrap(), &mut one);
        assert_eq!(libc::sched_setaffinity(0, bytes, &raw const one), 0);
    }
}

/// Gives the task another name (comm); the kernel cuts it to 15 bytes.
pub(crate) fn set_name(name: &[u8]) {
    let name = CString::new(name).unwrap();
    // SAFETY: the pointer is to a string with a NUL that outlives the call.
    let result = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    assert_eq!(result, 0);
}

/// Children of this process are gone at their end, and no process can wait for them.
pub(crate) fn ignore_children() {
    // SAFETY: no handler of ours is installed.
    let former = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    assert_ne!(former, libc::SIG_ERR);
}

/// Returns when this process, which ignores its children, has none any more.
pub(crate) fn await_no_children() {
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), 0) } > 0 {}
    let error = std::io::Error::last_os_error();
    assert_eq!(error.raw_os_error(), Some(libc::ECHILD), "{error}");
}

/// The kernel kills this process when its parent ends.
pub(crate) fn end_with_parent() {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    assert_eq!(result, 0, "prctl: {}", std::io::Error::last_os_error());
}

pub(crate) fn set_uid(uid: u32) {
    // SAFETY: takes a number only.
    let result = unsafe { libc::setuid(uid) };
    assert_eq!(result, 0, "setuid: {}", std::io::Error::last_os_error());
}

/// Runs `path` in place of this program.
pub(crate) fn exec(path: &Path, arguments: &[impl AsRef<[u8]>]) -> ! {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let arguments: Vec<CString> = arguments
        .iter()
        .map(|word| CString::new(word.as_ref()).unwrap())
        .collect();
    let pointers: Vec<*const libc::c_char> = arguments
        .iter()
        .map(|word| word.as_ptr())
        .chain([ptr::null()])
        .collect();
    // SAFETY: strings with a NUL, and a list that ends with a null pointer.
    unsafe { libc::execv(path.as_ptr(), pointers.as_ptr()) };
    panic!("exec {path:?}: {}", std::io::Error::last_os_error())
}

/// Runs `path` in place of this program with no arguments at all, not even a name, and one environment variable.
pub(crate) fn exec_without_arguments(path: &Path, variable: &str) -> ! {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let variable = CString::new(variable).unwrap();
    let (none, environment) = ([ptr::null()], [variable.as_ptr(), ptr::null()]);
    // SAFETY: strings with a NUL, and lists that end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), none.as_ptr(), environment.as_ptr()) };
    panic!("exec {path:?}: {}", std::io::Error::last_os_error())
}

/// `struct clone_args` (kernel: include/uapi/linux/sched.h) up to `set_tid_size`.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
}

/// As [`fork`], with the number that the new process gets; it must be free.
pub(crate) fn fork_as(pid: i32, child: impl FnOnce()) {
    let wanted = [pid];
    let arguments = CloneArguments {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: wanted.as_ptr() as u64,
        set_tid_size: 1,
        ..CloneArguments::default()
    };
    // SAFETY: as fork: no memory is shared, and there is one thread only. The pointers are to locals.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<CloneArguments>(),
        )
    };
    if result == 0 {
        child();
        exit(0);
    }
    assert_eq!(
        result,
        i64::from(pid),
        "clone3: {}",
        std::io::Error::last_os_error()
    );
}

extern "C" fn end_at_once(_: *mut libc::c_void) -> libc::c_int {
    0
}

/// A child that shares this process's memory, ends at once, and lets it go on only then.
pub(crate) fn vfork() -> i32 {
    let mut stack = vec![0_u64; 8192];
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the stack is the child's own and outlives it, because CLONE_VFORK waits for its end.
    let pid = unsafe {
        libc::clone(
            end_at_once,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            ptr::null_mut(),
        )
    };
    assert!(pid > 0, "clone: {}", std::io::Error::last_os_error());
    pid
}

/// The least that a C library takes.
const IDLE_STACK: usize = 16384;
/// Room for a comm.
type Name = [u8; 16];

extern "C" fn idle(name: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the name has a NUL, and is never freed.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name);
        loop {
            libc::pause();
        }
    }
}

/// So many threads, named `idle-0` and so on, that stay until the process ends. They are not the language's: each of those
/// takes four mappings, of which a process may have 65,530.
pub(crate) fn idle_threads(count: usize) {
    // SAFETY: all bytes zero are a value of it, and the library makes it a valid one.
    let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a local.
    unsafe {
        assert_eq!(libc::pthread_attr_init(&raw mut attributes), 0);
        assert_eq!(libc::pthread_attr_setguardsize(&raw mut attributes, 0), 0);
        assert_eq!(
            libc::pthread_attr_setstacksize(&raw mut attributes, IDLE_STACK),
            0
        );
    }
    for nth in 0..count {
        let mut name = Name::default();
        write!(&mut name[..], "idle-{nth}").unwrap();
        let name: *mut Name = Box::leak(Box::new(name));
        // SAFETY: all bytes zero are a value of it.
        let mut thread: libc::pthread_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointers are to locals and to a name that stays.
        let code = unsafe {
            libc::pthread_create(&raw mut thread, &raw const attributes, idle, name.cast())
        };
        let error = std::io::Error::from_raw_os_error(code);
        assert_eq!(
            code, 0,
            "thread {nth} of {count}: {error}; see threads-max and pid_max in /proc/sys/kernel, and pids.max"
        );
    }
}

/// Returns when all that waited for RCU at the call may have happened.
pub(crate) fn wait_for_grace_period() {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result == 0 {
        return;
    }
    // It is refused where CPUs have no tick; to close a socket of this kind waits as well.
    let error = std::io::Error::last_os_error();
    assert!(guest::has_tickless_cpus(), "membarrier: {error}");
    // SAFETY: takes numbers only.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    assert!(
        socket >= 0,
        "packet socket: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: the descriptor is ours, and no other code knows it.
    unsafe { libc::close(socket) };
}

//! Process 1 of an emulated machine: mounts what the tests need, starts them, reaps what is orphaned, powers off.
//!
//! The machine holds this binary as `/init` and the agent; there is no shell. xtask reads the console for the result.

use std::{
    ffi::CString,
    io,
    process::{Command, ExitCode},
    ptr,
};

/// In the environment of the tests that such a machine runs.
const GUEST: &str = "HEADCOUNT_GUEST";

/// Where, what kind of file system, and its options.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("/dev", "devtmpfs", ""),
    ("/proc", "proc", ""),
    ("/sys", "sysfs", ""),
    ("/sys/fs/bpf", "bpf", ""),
    ("/sys/fs/cgroup", "cgroup2", ""),
    ("/tmp", "tmpfs", ""),
];

/// Whether this is an emulated machine.
pub(crate) fn is_here() -> bool {
    std::env::var_os(GUEST).is_some()
}

/// How often something is repeated: emulation is ten to twenty times slower.
pub(crate) fn scaled(count: u64) -> u64 {
    if is_here() { count / 10 } else { count }
}

/// Tells xtask.
pub(crate) fn report(passed: usize, failed: usize) {
    if is_here() {
        println!("HEADCOUNT-VM-RESULT: {passed} passed, {failed} failed");
    }
}

/// Everything that process 1 does.
pub(crate) fn init() -> ExitCode {
    for (at, kind, options) in MOUNTS {
        if let Err(error) = mount(at, kind, options) {
            println!("mount {kind} at {at}: {error}");
        }
    }
    if let Err(error) = bring_up_loopback() {
        println!("network device lo: {error}");
    }
    // What stood behind two dashes on the kernel's command line says which tests.
    let words = std::env::args().skip(1);
    match Command::new("/init").args(words).env(GUEST, "1").spawn() {
        Ok(child) => reap_until(child.id()),
        Err(error) => println!("start the tests: {error}"),
    }
    // SAFETY: nothing is left that could lose anything.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    ExitCode::FAILURE
}

fn mount(at: &str, kind: &str, options: &str) -> io::Result<()> {
    let at = CString::new(at)?;
    let kind = CString::new(kind)?;
    let options = CString::new(options)?;
    // SAFETY: strings with a NUL that outlive the call.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            0,
            options.as_ptr().cast(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn bring_up_loopback() -> io::Result<()> {
    // SAFETY: takes numbers only.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all bytes zero are a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap();
    // SAFETY: the request is a local of the type that this call takes.
    let result = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Orphans come to process 1.
fn reap_until(tests: u32) {
    loop {
        // SAFETY: no status is asked for.
        let pid = unsafe { libc::waitpid(-1, ptr::null_mut(), 0) };
        if pid < 0 || u32::try_from(pid) == Ok(tests) {
            return;
        }
    }
}

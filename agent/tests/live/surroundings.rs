//! What of the machine an agent sees: mounts of its own.

use std::{ffi::CStr, io, os::unix::process::CommandExt as _, process::Command, ptr};

/// A kernel without type information, whose tracefs is mounted.
pub(crate) fn hide_types(command: &mut Command) {
    let steps = || {
        own_mounts()?;
        mount(c"/sys/kernel/btf", c"tmpfs")?;
        mount_tracefs()
    };
    // SAFETY: system calls only, between fork and exec.
    unsafe { command.pre_exec(steps) };
}

/// A kernel without either.
pub(crate) fn hide_types_and_tracepoints(command: &mut Command) {
    let steps = || {
        own_mounts()?;
        mount(c"/sys/kernel/btf", c"tmpfs")?;
        mount(c"/sys/kernel/tracing", c"tmpfs")?;
        mount(c"/sys/kernel/debug", c"tmpfs")
    };
    // SAFETY: system calls only, between fork and exec.
    unsafe { command.pre_exec(steps) };
}

/// Whatever is mounted from here on, nobody else sees.
fn own_mounts() -> io::Result<()> {
    // SAFETY: takes a number.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the one string ends with a NUL, and this kind of call reads no other.
    done(unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null()) })
}

fn mount(at: &CStr, kind: &CStr) -> io::Result<()> {
    // SAFETY: all strings end with a NUL.
    done(unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, ptr::null()) })
}

fn mount_tracefs() -> io::Result<()> {
    match mount(c"/sys/kernel/tracing", c"tracefs") {
        // It is mounted there already.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
        other => other,
    }
}

fn done(code: libc::c_int) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

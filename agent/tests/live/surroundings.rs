//! A kernel that is not as it should be, for one agent.

use crate::bpf_calls::{self, Judge};
use std::{
    ffi::{CStr, CString},
    io::{self, Error},
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command},
};

/// What the kernel tells of its types.
pub(crate) const BTF: &CStr = c"/sys/kernel/btf/vmlinux";

/// See the module. By default it is the kernel that is there.
#[derive(Default)]
pub(crate) struct Surroundings {
    /// Decides what comes of each `bpf(2)`.
    pub(crate) judge: Option<Judge>,
    /// A file in the place of the kernel's type information.
    pub(crate) btf: Option<PathBuf>,
    /// Bytes of memory that may be locked.
    pub(crate) locked_memory: Option<u64>,
}

impl Surroundings {
    /// Starts `command` in them.
    pub(crate) fn spawn(self, mut command: Command) -> Child {
        if let Some(path) = self.btf {
            let file = CString::new(path.as_os_str().as_bytes()).unwrap();
            // SAFETY: system calls only, between fork and exec.
            unsafe { command.pre_exec(move || show_as_btf(&file)) };
        }
        if let Some(bytes) = self.locked_memory {
            // SAFETY: a system call, between fork and exec.
            unsafe { command.pre_exec(move || lock_at_most(bytes)) };
        }
        match self.judge {
            Some(judge) => bpf_calls::spawn(&mut command, judge),
            None => command.spawn().unwrap(),
        }
    }
}

/// In a mount namespace of its own, of which nothing gets out.
fn show_as_btf(file: &CStr) -> io::Result<()> {
    let none = std::ptr::null();
    let mount = |from: *const libc::c_char, at: &CStr, flags: libc::c_ulong| {
        // SAFETY: strings with a NUL that outlive the call, or null where the kernel takes none.
        one(unsafe { libc::mount(from, at.as_ptr(), none, flags, none.cast()) })
    };
    // SAFETY: takes a number.
    one(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(none, c"/", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(file.as_ptr(), BTF, libc::MS_BIND)
}

fn lock_at_most(bytes: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the pointer is to a local.
    one(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) })
}

fn one(code: libc::c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

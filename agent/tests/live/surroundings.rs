//! A kernel that refuses, hides or limits something, for one agent.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Error, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::bpf_calls::{self, Call, Judge, Verdict};
use crate::tier::Tier;

/// The map of socket storage.
pub(crate) const STORAGES: &str = "STORAGES";

/// The file with the kernel's type information.
pub(crate) const BTF: &CStr = c"/sys/kernel/btf/vmlinux";

/// The kernel's type information, as the agent sees it.
#[derive(Debug, Default)]
pub(crate) enum Types {
    #[default]
    AsTheyAre,
    /// A file in their place.
    File(PathBuf),
    Hidden,
}

/// The descriptions of the kernel's tracepoints, as the agent sees them.
#[derive(Debug, Default)]
pub(crate) enum Tracefs {
    #[default]
    AsItIs,
    Mounted,
    Hidden,
}

/// See the module. By default it is the kernel that is there.
#[derive(Default)]
pub(crate) struct Surroundings {
    /// Decides the result of each `bpf(2)`.
    pub(crate) judge: Option<Judge>,
    pub(crate) types: Types,
    pub(crate) tracefs: Tracefs,
    /// Whether `/proc` shows a process only to its user.
    pub(crate) hides_processes: bool,
    /// Bytes of memory that may be locked.
    pub(crate) locked_memory: Option<u64>,
    /// Bytes that a file may have.
    pub(crate) file_size: Option<u64>,
    /// The list of members of a control group that it is in from the beginning.
    pub(crate) entrance: Option<File>,
}

impl Surroundings {
    /// In which the agent has no other way to account in this tier: either the kernel's types, or its tracepoints.
    pub(crate) fn only_for(tier: &Tier) -> Self {
        let (types, tracefs) = match tier.without_types {
            true => (Types::Hidden, Tracefs::Mounted),
            false => (Types::AsTheyAre, Tracefs::Hidden),
        };
        Self {
            judge: tier.without_storage.then(no_socket_storage),
            types,
            tracefs,
            ..Self::default()
        }
    }

    /// Starts `command` in them.
    pub(crate) fn spawn(self, mut command: Command) -> Child {
        let file = match &self.types {
            Types::File(path) => Some(CString::new(path.as_os_str().as_bytes()).unwrap()),
            Types::AsTheyAre | Types::Hidden => None,
        };
        let is_unchanged = matches!(
            (&self.types, &self.tracefs),
            (Types::AsTheyAre, Tracefs::AsItIs)
        );
        if !is_unchanged || self.hides_processes {
            // SAFETY: system calls only, between fork and exec.
            unsafe { command.pre_exec(own_mounts) };
        }
        if let Some(file) = file {
            // SAFETY: a system call, between fork and exec.
            unsafe { command.pre_exec(move || mount(Some(&file), BTF, None, libc::MS_BIND)) };
        }
        if matches!(self.types, Types::Hidden) {
            // SAFETY: a system call, between fork and exec.
            unsafe { command.pre_exec(|| hide(c"/sys/kernel/btf")) };
        }
        match self.tracefs {
            Tracefs::AsItIs => {}
            // SAFETY: system calls only, between fork and exec.
            Tracefs::Mounted => unsafe {
                command.pre_exec(mount_tracefs);
            },
            // SAFETY: as above.
            Tracefs::Hidden => unsafe {
                command.pre_exec(|| hide(c"/sys/kernel/tracing").and(hide(c"/sys/kernel/debug")));
            },
        }
        if self.hides_processes {
            // SAFETY: a system call, between fork and exec.
            unsafe { command.pre_exec(mount_proc_that_hides) };
        }
        if let Some(bytes) = self.locked_memory {
            // SAFETY: a system call, between fork and exec.
            unsafe { command.pre_exec(move || lock_at_most(bytes)) };
        }
        if let Some(bytes) = self.file_size {
            // SAFETY: a system call, between fork and exec.
            unsafe { command.pre_exec(move || write_at_most(bytes)) };
        }
        if let Some(mut members) = self.entrance {
            // SAFETY: a system call, between fork and exec.
            unsafe { command.pre_exec(move || members.write_all(b"0")) };
        }
        match self.judge {
            Some(judge) => bpf_calls::spawn(&mut command, judge),
            None => command.spawn().unwrap(),
        }
    }
}

/// Refuses the map of socket storage, as a kernel does that has none.
fn no_socket_storage() -> Judge {
    Box::new(|call| match call {
        Call::Map { name, .. } if name == STORAGES => Verdict::Refuse(libc::EINVAL),
        _ => Verdict::Allow,
    })
}

/// Mounts from here on are visible to this process and its children only.
fn own_mounts() -> io::Result<()> {
    // SAFETY: takes a number.
    one(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE)
}

/// Nothing is there any more.
fn hide(at: &CStr) -> io::Result<()> {
    mount(None, at, Some(c"tmpfs"), 0)
}

fn mount_tracefs() -> io::Result<()> {
    match mount(None, c"/sys/kernel/tracing", Some(c"tracefs"), 0) {
        // It is mounted there already.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
        other => other,
    }
}

fn mount_proc_that_hides() -> io::Result<()> {
    // To members of the group, all processes are shown; root is in group 0.
    let options = c"hidepid=2,gid=1".as_ptr().cast();
    // SAFETY: strings with a NUL that outlive the call.
    one(unsafe {
        libc::mount(
            c"proc".as_ptr(),
            c"/proc".as_ptr(),
            c"proc".as_ptr(),
            0,
            options,
        )
    })
}

fn mount(
    from: Option<&CStr>,
    at: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    let none = std::ptr::null();
    // SAFETY: strings with a NUL that outlive the call, or null where the kernel takes none.
    one(unsafe {
        libc::mount(
            pointer(from.or(kind)),
            at.as_ptr(),
            pointer(kind),
            flags,
            none,
        )
    })
}

fn lock_at_most(bytes: u64) -> io::Result<()> {
    // SAFETY: the pointer is to a value that outlives the call.
    one(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &both(bytes)) })
}

fn write_at_most(bytes: u64) -> io::Result<()> {
    // SAFETY: the pointer is to a value that outlives the call.
    one(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &both(bytes)) })
}

/// The soft limit and the hard one.
const fn both(bytes: u64) -> libc::rlimit {
    libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    }
}

fn one(code: libc::c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

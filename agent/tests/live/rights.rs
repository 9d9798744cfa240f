//! The user of an agent, and the capabilities that it is started with, in each of the ways in which they are given.

use std::fs;
use std::io::{self, Error};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities,
};

use crate::guest;

/// A user without rights that every system has.
const NOBODY: u32 = 65534;

/// Flags and layout of a file's capabilities (kernel: `struct vfs_ns_cap_data`, second revision).
const FILE_REVISION: u32 = 0x0200_0000;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights {
    given: Given,
    capabilities: CapabilitySet,
}

/// How they reach the agent.
#[derive(Debug, Clone, Copy)]
enum Given {
    /// To root by its uid, out of the bounding set: a container of uid 0, without an ambient set.
    Root,
    /// To the user `nobody`, by the ambient set: systemd's `AmbientCapabilities`.
    Ambient,
    /// To the user `nobody`, by the file, and not effective: `setcap ...=p`.
    File,
}

impl Rights {
    /// Those that agents have in the tests: all of them, but on a machine that is for something else.
    pub(crate) fn usual() -> Self {
        match guest::is_unprivileged() {
            true => Self::ambient(CapabilitySet::BPF | CapabilitySet::PERFMON),
            false => Self::root(),
        }
    }

    /// All of them.
    pub(crate) fn root() -> Self {
        Self::root_with(CapabilitySet::all())
    }

    /// Root, but with these only.
    pub(crate) fn root_with(capabilities: CapabilitySet) -> Self {
        Self {
            given: Given::Root,
            capabilities,
        }
    }

    /// The user `nobody`, with these in the ambient set.
    pub(crate) fn ambient(capabilities: CapabilitySet) -> Self {
        Self {
            given: Given::Ambient,
            capabilities,
        }
    }

    /// The user `nobody`, with a binary that has these permitted.
    pub(crate) fn file(capabilities: CapabilitySet) -> Self {
        Self {
            given: Given::File,
            capabilities,
        }
    }

    /// A command of `binary` with these rights. `folder` takes a copy of it where that is needed, and is opened to everybody.
    pub(crate) fn command(self, binary: &Path, folder: &Path) -> Command {
        if matches!(self.given, Given::Root) {
            let mut command = Command::new(binary);
            let lost = CapabilitySet::all().difference(self.capabilities);
            // SAFETY: system calls only, between fork and exec.
            unsafe { command.pre_exec(move || lose(lost)) };
            return command;
        }
        let copy = folder.join("headcount");
        fs::copy(binary, &copy).unwrap();
        for path in [folder, &copy] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let ambient = match self.given {
            Given::File => {
                permit(&copy, self.capabilities);
                CapabilitySet::empty()
            }
            Given::Root | Given::Ambient => self.capabilities,
        };
        let mut command = Command::new(copy);
        // SAFETY: system calls only, between fork and exec.
        unsafe { command.pre_exec(move || become_nobody(ambient)) };
        command
    }
}

/// Before 5.11 maps are locked memory; the limit is not a subject of these tests.
fn lock_memory() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer is to a local. Later kernels do without, so a machine that refuses does no harm there.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

fn lose(capabilities: CapabilitySet) -> io::Result<()> {
    lock_memory();
    for capability in capabilities.iter() {
        match remove_capability_from_bounding_set(capability) {
            // A capability that this kernel does not know.
            Err(rustix::io::Errno::INVAL) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn become_nobody(ambient: CapabilitySet) -> io::Result<()> {
    lock_memory();
    set_keep_capabilities(true)?;
    let one = |code: libc::c_int| match code {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    };
    // SAFETY: they take numbers, and a list without members.
    unsafe {
        one(libc::setgroups(0, std::ptr::null()))?;
        one(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
        one(libc::setresuid(NOBODY, NOBODY, NOBODY))?;
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: ambient,
            permitted: ambient,
            inheritable: ambient,
        },
    )?;
    for capability in ambient.iter() {
        let number = libc::c_ulong::from(capability.bits().trailing_zeros());
        let none: libc::c_ulong = 0;
        // SAFETY: takes numbers.
        one(unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE,
                number,
                none,
                none,
            )
        })?;
    }
    Ok(())
}

fn permit(file: &Path, capabilities: CapabilitySet) {
    let bytes = capabilities.bits().to_le_bytes();
    let (low, high) = bytes.split_at(4);
    let inheritable = [0; 4];
    let revision = FILE_REVISION.to_le_bytes();
    let value = [&revision, low, &inheritable, high, &inheritable].concat();
    let path = std::ffi::CString::new(file.as_os_str().as_bytes()).unwrap();
    // SAFETY: both names end with a zero, and the value has the length that is said.
    let code = unsafe {
        libc::setxattr(
            path.as_ptr(),
            c"security.capability".as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    assert_eq!(code, 0, "setxattr: {}", Error::last_os_error());
}

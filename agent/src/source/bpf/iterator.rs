//! The task iterator: attached once, opened for each pass, by `bpf()` calls of our own.
//!
//! aya attaches the iterator anew for each opening, so the thread that runs passes would need the right to attach programs as
//! long as the agent runs. Attached once, that right can be given up after the start (`sandbox`).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Kernel: `enum bpf_cmd` and `enum bpf_attach_type`.
const LINK_CREATE: libc::c_int = 28;
const ITER_CREATE: libc::c_int = 33;
const TRACE_ITER: u32 = 28;

/// Kernel: `union bpf_attr`, the fields that both commands share; the kernel takes the rest as zero.
#[repr(C)]
#[derive(Default)]
struct IteratorAttributes {
    /// The program (link create), or the link (iterator create).
    fd: libc::c_int,
    /// Unused (link create), or flags (iterator create).
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// The program's link. Dropping it detaches the program.
#[derive(Debug)]
pub(super) struct TaskIterator(OwnedFd);

impl TaskIterator {
    /// Attaches `program`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn attach(program: BorrowedFd<'_>) -> io::Result<Self> {
        let attributes = IteratorAttributes {
            fd: program.as_raw_fd(),
            attach_type: TRACE_ITER,
            ..IteratorAttributes::default()
        };
        bpf(LINK_CREATE, &attributes).map(Self)
    }

    /// A file that returns the records of all tasks, from the first one on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn open(&self) -> io::Result<File> {
        let attributes = IteratorAttributes {
            fd: self.0.as_raw_fd(),
            ..IteratorAttributes::default()
        };
        bpf(ITER_CREATE, &attributes).map(File::from)
    }
}

/// Calls `bpf()` with a command that returns a new descriptor.
fn bpf(command: libc::c_int, attributes: &IteratorAttributes) -> io::Result<OwnedFd> {
    // SAFETY: the pointer is valid for the given number of bytes, which outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<IteratorAttributes>(),
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just created this descriptor, close-on-exec, and nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

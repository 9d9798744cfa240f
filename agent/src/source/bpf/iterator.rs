//! Iterators of the kernel: attached once, opened for each pass, by `bpf()` calls of our own.
//!
//! aya attaches an iterator anew for each opening, so the thread that runs passes would need the right to attach programs as
//! long as the agent runs. Attached once, that right can be given up after the start (`sandbox`). aya cannot attach one to a
//! map, either.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya::Ebpf;
use aya::programs::Iter;
use aya::sys::SyscallError;

use super::load::BpfError;
use super::program::KernelProgram;

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
    /// Address and bytes of a `union bpf_iter_link_info` (link create).
    info: u64,
    info_bytes: u32,
    zero: u32,
}

/// Kernel: `union bpf_iter_link_info`, for an iterator over a map.
#[repr(C)]
struct MapInfo {
    map: libc::c_int,
}

/// The program's link. Dropping it detaches the program.
#[derive(Debug)]
pub(super) struct IteratorLink(OwnedFd);

impl IteratorLink {
    /// Attaches `program`, which is loaded; over all elements of `map` if its iterator is one of maps. Opens it on trial: if it
    /// could not be opened, every pass would lack its records.
    ///
    /// # Errors
    /// When the kernel refuses, or the object lacks the program.
    pub(super) fn of(
        ebpf: &Ebpf,
        program: KernelProgram,
        map: Option<BorrowedFd<'_>>,
    ) -> Result<Self, BpfError> {
        let symbol = program.symbol();
        let refused = |error| BpfError::Refused(program, error);
        let loaded = ebpf.program(symbol).ok_or(BpfError::Lacking(symbol))?;
        let loaded: &Iter = loaded.try_into().map_err(refused)?;
        let fd = loaded.fd().map_err(refused)?;
        let refused = |call| move |io_error| refused(SyscallError { call, io_error }.into());
        let link = Self::attach(fd.as_fd(), map).map_err(refused("bpf_link_create"))?;
        link.open().map_err(refused("bpf_iter_create"))?;
        Ok(link)
    }

    fn attach(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let info = map.map(|map| MapInfo {
            map: map.as_raw_fd(),
        });
        let (info, info_bytes) = match &info {
            Some(info) => (std::ptr::from_ref(info) as u64, size_of::<MapInfo>()),
            None => (0, 0),
        };
        let attributes = IteratorAttributes {
            fd: program.as_raw_fd(),
            attach_type: TRACE_ITER,
            info,
            info_bytes: u32::try_from(info_bytes).unwrap_or(0),
            ..IteratorAttributes::default()
        };
        bpf(LINK_CREATE, &attributes).map(Self)
    }

    /// A file that returns the records of all elements, from the first one on.
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
    // SAFETY: the pointers are valid for the given numbers of bytes, which outlive the call.
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

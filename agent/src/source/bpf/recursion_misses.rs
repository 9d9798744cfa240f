//! The number of runs of the programs that the kernel left out (`recursion_misses`).
//!
//! The kernel does not run a program on a CPU where the same program is still running. If another process preempts the
//! program there (preemptible kernels), the record of that process is never written. This happens on Linux 7.2, and hardly
//! ever if the programs disable preemption (`no_preempt`). The kernel counts these runs since 5.12.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Kernel: `enum bpf_cmd`.
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// Kernel: the length of `struct bpf_prog_info` up to and including `recursion_misses`, in words of 64 bits and in bytes.
const WORDS: usize = 27;
const BYTES: u32 = 27 * 8;

/// Kernel: `union bpf_attr`, the part for this command.
#[repr(C)]
struct InfoAttributes {
    program: libc::c_int,
    info_bytes: u32,
    info: u64,
}

/// How many runs of `program` the kernel left out; 0 if it does not count them.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn read(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = [0_u64; WORDS];
    let attributes = InfoAttributes {
        program: program.as_raw_fd(),
        info_bytes: BYTES,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: both pointers are valid for the given numbers of bytes, which outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            std::ptr::from_ref(&attributes),
            size_of::<InfoAttributes>(),
        )
    };
    match result {
        0 => Ok(info[WORDS - 1]),
        _ => Err(io::Error::last_os_error()),
    }
}

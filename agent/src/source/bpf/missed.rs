//! Runs of the programs that the kernel left out.
//!
//! It does not run a program on a CPU where that program is under way. Where it can be interrupted there by another process
//! (kernels that preempt themselves), that one's record is never written: found on Linux 7.2, and hardly ever where the programs
//! keep their CPU (`undisturbed`). The kernel counts them (since 5.12).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Kernel: `enum bpf_cmd`.
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// Kernel: `struct bpf_prog_info` up to `recursion_misses`: words of 64 bits, and bytes.
const WORDS: usize = 27;
const BYTES: u32 = 27 * 8;

/// Kernel: `union bpf_attr`, as this command has it.
#[repr(C)]
struct Attributes {
    program: libc::c_int,
    info_bytes: u32,
    info: u64,
}

/// How many runs of `program` were left out; 0 where the kernel does not count them.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn runs(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = [0_u64; WORDS];
    let attributes = Attributes {
        program: program.as_raw_fd(),
        info_bytes: BYTES,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: both pointers are to as many bytes as are said, which outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            std::ptr::from_ref(&attributes),
            size_of::<Attributes>(),
        )
    };
    match result {
        0 => Ok(info[WORDS - 1]),
        _ => Err(io::Error::last_os_error()),
    }
}

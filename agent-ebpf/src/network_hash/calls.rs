//! Replacements for helpers of newer kernels: the current task, the socket of a file.

use core::ptr::null;

use aya_ebpf::helpers::generated::bpf_get_current_task;

use crate::field;
use crate::socket::layout;

/// `S_IFMT` and `S_IFSOCK` (include/uapi/linux/stat.h).
const FILE_TYPE: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;

/// The current task.
#[inline(always)]
pub(crate) fn current_task() -> *const u8 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_task() as *const u8 }
}

/// The `tcp_sock` of a `sock`, which is its first member.
#[inline(always)]
pub(crate) fn tcp_of(sock: *const u8) -> *const u8 {
    sock
}

/// The `socket` of an open file; null if it has none. A file that a process has opened with `O_PATH` at the path of a Unix socket
/// has the type of a socket, too, but no private data.
#[inline(always)]
pub(crate) fn socket_of(file: *const u8) -> *const u8 {
    let place = layout!(offsets.inode_mode) as usize;
    let inode = follow(file, layout!(offsets.file_inode));
    // SAFETY: an integer.
    let mode: u16 = unsafe { field::read(inode, place) };
    if mode & FILE_TYPE == SOCKET {
        follow(file, layout!(offsets.file_private))
    } else {
        null()
    }
}

#[inline(always)]
fn follow(base: *const u8, offset: u32) -> *const u8 {
    // SAFETY: a pointer.
    unsafe { field::read(base, offset as usize) }
}

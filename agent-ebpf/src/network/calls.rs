//! Helpers of the kernel that take and return BTF pointers.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_skc_to_tcp_sock, bpf_sock_from_file,
};

/// The current task.
#[inline(always)]
pub(crate) fn current_task() -> *const u8 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_task_btf() }.cast::<u8>()
}

/// The `tcp_sock` of a `sock`; null if it is none.
#[inline(always)]
pub(crate) fn tcp_of(sock: *const u8) -> *const u8 {
    // SAFETY: the verifier checks that it is a socket.
    unsafe { bpf_skc_to_tcp_sock(sock.cast_mut().cast()) }.cast::<u8>()
}

/// The `socket` of an open file; null if it has none.
#[inline(always)]
pub(crate) fn socket_of(file: *const u8) -> *const u8 {
    // SAFETY: the verifier checks that it is a file.
    unsafe { bpf_sock_from_file(file.cast_mut().cast()) }.cast::<u8>()
}

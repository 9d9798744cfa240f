//! `iter/bpf_sk_storage_map`: all sockets with storage, when user space looks at them.

use crate::living::visit;
use crate::socket::Sock;
use crate::storage::{Kept, Storage};

/// Kernel: `struct bpf_iter__bpf_sk_storage_map`.
#[repr(C)]
pub struct StorageContext {
    _meta: u64,
    _map: u64,
    sock: *const u8,
    value: *mut Storage,
}

/// Runs for each socket with storage, and at the end once more without one. It writes nothing to user space.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub extern "C" fn sock_living(context: *const StorageContext) -> i32 {
    // SAFETY: the verifier knows the context's layout.
    let (sock, value) = unsafe { ((*context).sock, (*context).value) };
    if !sock.is_null() && !value.is_null() {
        visit(Sock(sock), Kept(value));
    }
    0
}

//! `iter/bpf_map_elem`: all sockets in the hash, when user space looks at them.

use crate::living::visit;
use crate::socket::Sock;
use crate::storages::look;

/// Kernel: `struct bpf_iter__bpf_map_elem`.
#[repr(C)]
pub struct ElementContext {
    _meta: u64,
    _map: u64,
    key: *const u64,
    _value: u64,
}

/// Runs for each entry, and at the end once more without one. It writes nothing to user space. The kernel may use the place of an
/// entry for another one, so only the key is taken from it.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
pub extern "C" fn sock_hashed(context: *const ElementContext) -> i32 {
    // SAFETY: the verifier knows the context's layout.
    let key = unsafe { (*context).key };
    if !key.is_null() {
        // SAFETY: the verifier knows the length of a key.
        let sock = Sock(unsafe { *key } as *const u8);
        look(sock, |kept| {
            visit(sock, kept);
        });
    }
    0
}

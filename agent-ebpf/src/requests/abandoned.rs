//! Requests in flight whose socket is gone. No hook sees the end of a Unix socket, so user space looks at the sockets instead.
//!
//! ```text
//! iter/bpf_sk_storage_map   a record for each request in flight, by process and method
//! iter/bpf_map_elem         counts what user space has put into ABANDONED as aborted
//! ```

use agent_common::{METHODS, RequestInFlight};
use aya_ebpf::bindings::seq_file;
use aya_ebpf::helpers::generated::bpf_seq_write;

use crate::count;
use crate::exchange::{BEGUN, COUNTED, Exchange, Kept};
use crate::receive::empty;
use crate::socket::Socket;

/// Kernel: `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
}

/// Kernel: `struct bpf_iter__bpf_sk_storage_map`.
#[repr(C)]
pub struct SocketContext {
    meta: *const Meta,
    _map: u64,
    sock: *const u8,
    value: *mut Exchange,
}

/// Kernel: `struct bpf_iter__bpf_map_elem`.
#[repr(C)]
pub struct ElementContext {
    _meta: u64,
    _map: u64,
    _key: u64,
    value: *const RequestInFlight,
}

/// Runs for each socket with storage, and at the end once more without one.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub extern "C" fn http_in_flight(context: *const SocketContext) -> i32 {
    // SAFETY: the verifier knows the context's layout and that `meta` is not NULL.
    let (seq, sock, value) = unsafe { ((*(*context).meta).seq, (*context).sock, (*context).value) };
    if sock.is_null() || value.is_null() {
        return 0;
    }
    let kept = Kept(value);
    let exchange = kept.get();
    // A closed socket may live on as long as its peer.
    if kept.state() == BEGUN && exchange.flags & COUNTED != 0 && Socket(sock).is_of_process() {
        let record = RequestInFlight {
            owner: exchange.owner,
            method: u64::from(exchange.method),
        };
        // SAFETY: the record has this length. If it does not fit, the kernel runs the program for this socket again.
        unsafe {
            bpf_seq_write(
                seq,
                (&raw const record).cast(),
                size_of::<RequestInFlight>() as u32,
            )
        };
    }
    0
}

/// Runs for each entry of the map, and at the end once more without one.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
pub extern "C" fn http_abandoned(context: *const ElementContext) -> i32 {
    // SAFETY: the verifier knows the context's layout.
    let value = unsafe { (*context).value };
    if value.is_null() {
        return 0;
    }
    // SAFETY: the verifier knows the length of a value.
    let RequestInFlight { owner, method } = unsafe { *value };
    if owner.tgid != 0 {
        count::abort(&Exchange {
            owner,
            // For the verifier: no method has a higher number.
            method: method as u16 & (METHODS as u16 - 1),
            flags: COUNTED,
            ..empty()
        });
    }
    0
}

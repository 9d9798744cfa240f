//! Where the storage of a socket is: the kernel keeps it with the socket, and copies a listener's to its children.

use core::ffi::c_void;
use core::ptr::{from_ref, null, null_mut};

use agent_common::Identity;
use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use aya_ebpf::macros::btf_map;

use crate::end::End;
use crate::socket::Sock;
use crate::storage::{Kept, Storage};

const STORAGE_FLAGS: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;

/// The definition of a map of socket storage that sockets inherit from their listener. aya-ebpf has one for programs of
/// cgroups only, and without the flag. The kernel wants type information for key and value, which such a definition gives.
#[repr(C)]
pub(crate) struct SocketStorage {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Storage,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; STORAGE_FLAGS],
}

// SAFETY: the fields only carry types; nothing reads them.
unsafe impl Sync for SocketStorage {}

/// The storage of each TCP socket. It lives as long as the socket, and is freed by the kernel. Full: there is no bound but the
/// kernel's memory; a socket without storage is counted in [`NetworkTotals::storage_full`], except where the kernel copies a
/// listener's storage, which then refuses the connection.
#[btf_map]
static STORAGES: SocketStorage = SocketStorage {
    r#type: null(),
    key: null(),
    value: null(),
    max_entries: null(),
    map_flags: null(),
};

/// The storage of a socket; `None` if it has none.
#[inline(always)]
pub(crate) fn of(sock: Sock) -> Option<Kept> {
    call(sock, null_mut(), 0)
}

/// The same; makes a storage with this value if there is none. `None` if the kernel has no memory.
#[inline(always)]
pub(crate) fn of_or(sock: Sock, new: &Storage) -> Option<Kept> {
    let new = from_ref(new).cast_mut().cast();
    call(sock, new, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
}

#[inline(always)]
fn call(sock: Sock, new: *mut c_void, flags: u64) -> Option<Kept> {
    let map = (&raw const STORAGES).cast_mut().cast();
    // SAFETY: the verifier checks that `sock` is a socket.
    let storage = unsafe { bpf_sk_storage_get(map, sock.0.cast_mut().cast(), new, flags) };
    (!storage.is_null()).then_some(Kept(storage.cast()))
}

/// Begins the storage of a socket anew; makes it if there is none. `None` as in [`of_or`].
#[inline(always)]
pub(crate) fn begin(sock: Sock, begun: &Storage) -> Option<Kept> {
    let kept = of_or(sock, begun)?;
    // SAFETY: the verifier checks the access.
    unsafe { kept.0.write(*begun) };
    Some(kept)
}

/// The owner of the listener that this connection came to; `None` if the listener has no storage.
#[inline(always)]
pub(crate) fn owner_of_listener(child: Sock) -> Option<Identity> {
    of(child).map(Kept::owner)
}

/// Credits the end of a connection.
#[inline(always)]
pub(crate) fn settle(_: Sock, kept: Kept, end: &End) {
    end.credit(kept);
}

/// The same when the kernel destroys the socket, and frees the storage.
#[inline(always)]
pub(crate) fn finish(_: Sock, kept: Kept, end: &End) {
    end.credit(kept);
}

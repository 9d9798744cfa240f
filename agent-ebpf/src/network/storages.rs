//! Where the storage of a socket is: the kernel keeps it with the socket, and copies a listener's to its children.

use agent_common::Identity;
use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::btf_map;

use crate::end::End;
use crate::socket::Sock;
use crate::socket_storage::SocketStorage;
use crate::storage::{DONE, Kept, Storage};

/// Sockets inherit it from their listener.
const STORAGE_FLAGS: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;

/// The storage of each TCP socket. It lives as long as the socket, and is freed by the kernel. Full: there is no bound but the
/// kernel's memory; a socket without storage is counted in [`NetworkTotals::storage_full`], except where the kernel copies a
/// listener's storage, which then refuses the connection.
#[btf_map]
static STORAGES: SocketStorage<Storage, STORAGE_FLAGS> = SocketStorage::new();

/// The storage of a socket; `None` if it has none.
#[inline(always)]
pub(crate) fn of(sock: Sock) -> Option<Kept> {
    STORAGES.of(sock.0).map(Kept)
}

/// The same; makes a storage with this value if there is none. `None` if the kernel has no memory.
#[inline(always)]
pub(crate) fn of_or(sock: Sock, new: &Storage) -> Option<Kept> {
    STORAGES.of_or(sock.0, new).map(Kept)
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
    // Last: a look that finds the mark does not count the socket as living, so user space may remove the owner's sums.
    kept.mark(DONE);
}

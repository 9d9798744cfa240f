//! Where the storage of a socket is: in a hash by the socket's address.
//!
//! The entry is made as socket storage is, and removed when the kernel destroys the socket. The program that removes it has
//! claimed the socket; so a program that uses an entry either has claimed it, too, or holds the socket itself.

use agent_common::{Identity, NETWORK_SOCKETS};
use aya_ebpf::bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::claims::{claim, leave, release, take_over};
use crate::end::End;
use crate::field;
use crate::socket::{Sock, layout};
use crate::storage::{DONE, Kept, ROLE_LISTENER, Storage};

/// The storage of each TCP socket. Entries are allocated one by one. Full, or the kernel has no memory: the socket is counted in
/// `NetworkTotals::storage_full`.
#[map]
static SOCKETS: HashMap<u64, Storage> =
    HashMap::with_max_entries(NETWORK_SOCKETS, BPF_F_NO_PREALLOC);

/// The storage of a socket; `None` if it has none. The kernel uses the memory of a destroyed socket again, so there may be an entry
/// of the socket before, which the next look or [`of_or`] removes.
#[inline(always)]
pub(crate) fn of(sock: Sock) -> Option<Kept> {
    entry(&key(sock)).filter(|kept| !kept.is(DONE))
}

/// The same; makes a storage with this value if there is none. `None` if there is no room, and while a look is just at the socket
/// that had the memory before.
#[inline(always)]
pub(crate) fn of_or(sock: Sock, new: &Storage) -> Option<Kept> {
    let key = key(sock);
    if let Some(known) = entry(&key) {
        if !known.is(DONE) {
            return Some(known);
        }
        if claim(&key) {
            removed(&key);
            release(&key);
        }
    }
    let _ = SOCKETS.insert(&key, new, u64::from(BPF_NOEXIST));
    of(sock)
}

/// Begins the storage of a socket anew; makes it if there is none. `None` as in [`of_or`].
#[inline(always)]
pub(crate) fn begin(sock: Sock, begun: &Storage) -> Option<Kept> {
    let key = key(sock);
    if entry(&key).is_none() {
        return of_or(sock, begun);
    }
    if !claim(&key) {
        return None;
    }
    if let Some(before) = entry(&key) {
        take_over(&key, before);
    }
    let made = SOCKETS.insert(&key, begun, u64::from(BPF_ANY));
    release(&key);
    made.ok().and_then(|()| of(sock))
}

/// The owner of the listener that this connection came to; `None` if the listener has no storage. When the connection begins, it
/// still is the kernel's copy of the listener. An empty list there points to its place in the listener.
#[inline(always)]
pub(crate) fn owner_of_listener(child: Sock) -> Option<Identity> {
    let place = layout!(offsets.tcp_unsent) as usize;
    // SAFETY: an address.
    let first: usize = unsafe { field::read(child.0, place) };
    let listener = of(Sock(first.wrapping_sub(place) as *const u8))?;
    (listener.role() == ROLE_LISTENER).then(|| listener.owner())
}

/// Credits the end of a connection, or leaves it to the look that is just at this socket.
#[inline(always)]
pub(crate) fn settle(sock: Sock, kept: Kept, end: &End) {
    let key = key(sock);
    if claim(&key) {
        take_over(&key, kept);
        end.credit(kept);
        release(&key);
    } else {
        leave(&key, end);
    }
}

/// The same when the kernel destroys the socket. Removes the entry, or marks it as [`DONE`] and leaves it to the next look.
#[inline(always)]
pub(crate) fn finish(sock: Sock, kept: Kept, end: &End) {
    let key = key(sock);
    if claim(&key) {
        take_over(&key, kept);
        end.credit(kept);
        let _ = SOCKETS.remove(&key);
        release(&key);
    } else {
        // In this order: the program that finds the mark removes the entry, and finds the end, which would else be credited to
        // the next socket at this address.
        leave(&key, end);
        kept.mark(DONE);
    }
}

/// Has `visit` look at a socket, unless another program is just at it.
#[inline(always)]
pub(crate) fn look(sock: Sock, visit: impl FnOnce(Kept)) {
    let key = key(sock);
    if !claim(&key) {
        return;
    }
    if let Some(kept) = removed(&key) {
        take_over(&key, kept);
        visit(kept);
    }
    release(&key);
}

/// Removes the entry of a destroyed socket, and returns that of any other one. Only for a program that has claimed the socket.
#[inline(always)]
fn removed(key: &u64) -> Option<Kept> {
    let kept = entry(key)?;
    if !kept.is(DONE) {
        return Some(kept);
    }
    take_over(key, kept);
    let _ = SOCKETS.remove(key);
    None
}

#[inline(always)]
fn entry(key: &u64) -> Option<Kept> {
    SOCKETS.get_ptr_mut(key).map(Kept)
}

#[inline(always)]
fn key(sock: Sock) -> u64 {
    sock.0 as u64
}

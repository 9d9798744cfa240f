//! Exclusive access to the storage of a socket, without atomic instructions and without waiting.
//!
//! A program claims a socket by inserting its key where it is absent, which the kernel does under the lock of a hash bucket. If
//! another program has claimed the socket, a look skips it until the next look; the end of a connection is left in [`ENDS`] to
//! the program that claims the socket next.
//!
//! The programs at changes of the state and at the destruction run with the socket's lock, so at most two programs want a
//! socket: one of them, and the look.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::account::add_total;
use crate::end::End;
use crate::storage::Kept;

/// Entries of both maps. Each CPU claims at most one socket at a time, and a look one more.
const MOST: u32 = 1024;
/// `EEXIST` (errno.h).
const EXISTS: i32 = -17;

/// The claimed sockets. Full: as if another program had claimed the socket.
#[map]
static CLAIMS: HashMap<u64, u32> = HashMap::with_max_entries(MOST, 0);

/// The ends of connections whose sockets another program had claimed. Full: what such a connection carried since it was last
/// credited is lost, and counted in `NetworkTotals::storage_full`.
#[map]
static ENDS: HashMap<u64, End> = HashMap::with_max_entries(MOST, 0);

/// Claims the socket. The caller must [`release`] it if this returns `true`.
#[inline(always)]
pub(crate) fn claim(key: &u64) -> bool {
    CLAIMS.insert(key, &0, u64::from(BPF_NOEXIST)).is_ok()
}

#[inline(always)]
pub(crate) fn release(key: &u64) {
    // It is there: only the program that has claimed the socket removes it.
    let _ = CLAIMS.remove(key);
}

/// Leaves the end of a connection to the program that claims the socket next. If there is one already, the connection has ended
/// before, and nothing came after.
#[inline(always)]
pub(crate) fn leave(key: &u64, end: &End) {
    if let Err(error) = ENDS.insert(key, end, u64::from(BPF_NOEXIST))
        && error != EXISTS
    {
        add_total!(storage_full, 1);
    }
}

/// Credits the end that another program has left. Only for a program that has claimed the socket.
#[inline(always)]
pub(crate) fn take_over(key: &u64, kept: Kept) {
    if let Some(end) = ENDS.get_ptr(key) {
        // SAFETY: a map value. No other program removes it, because none has claimed the socket.
        unsafe { &*end }.credit(kept);
        let _ = ENDS.remove(key);
    }
}

//! Credits the traffic of a socket to its owner: each byte once, in the sums of the owner and in those of the node.
//!
//! In: a socket's storage and the kernel's totals. Out: [`OWNERS`] and [`NETWORK`].

use agent_common::{Identity, NetworkOwner, NetworkSums, NetworkTotals};
use aya_ebpf::bindings::BPF_NOEXIST;

use crate::atomic::now;
use crate::exchange::{exchange, replace};
use crate::maps::{NETWORK, OWNERS};
use crate::socket::Carried;
use crate::storage::{Kept, OPENED, OPENED_COUNTED, ROLE_CLIENT, ROLE_LISTENER, ROLE_SERVER};

/// An entry without counts. It is in `.rodata`, because it is large for a stack.
static NEW_SUMS: NetworkSums = zero_sums();

const fn zero_sums() -> NetworkSums {
    // SAFETY: the type is Pod, so all bytes zero are a valid value.
    unsafe { core::mem::zeroed() }
}

/// The traffic of a socket that was not credited yet.
#[derive(Clone, Copy)]
pub(crate) struct Gain {
    /// Whether the connection is established, and was not counted as opened.
    is_opened: bool,
    sent: u64,
    received: u64,
    /// Segments with payload; of a listening socket, its drops.
    segments: u64,
    retransmits: u64,
}

impl Gain {
    /// Claims all that the socket carried since it was last credited. Only for programs that hold the socket's lock: there
    /// `carried` is the newest value. It is smaller than the credited value where the kernel has reset the socket.
    #[inline(always)]
    pub(crate) fn of_locked(kept: Kept, carried: Carried) -> Self {
        let take = |base: *mut u64, current: u64| {
            if current > now(base) {
                (exchange(base, current), current)
            } else {
                (current, current)
            }
        };
        let words = Words::of(kept);
        let packets = if now(words.packets) == carried.packets {
            carried.packets
        } else {
            exchange(words.packets, carried.packets)
        };
        Self::between(
            take(words.sent, sent(kept, carried)),
            take(words.received, carried.received),
            (packets, carried.packets),
        )
    }

    /// The same while programs that hold the lock may credit it, too. Bytes that they claim meanwhile are left to them.
    #[inline(always)]
    pub(crate) fn of_living(kept: Kept, carried: Carried) -> Self {
        let take = |base: *mut u64, current: u64| {
            let before = now(base);
            if current > before && replace(base, before, current) {
                (before, current)
            } else {
                (current, current)
            }
        };
        let words = Words::of(kept);
        let before = now(words.packets);
        let has_risen =
            risen(before, carried.packets) != 0 || risen(before >> 32, carried.packets >> 32) != 0;
        let packets = if has_risen && replace(words.packets, before, carried.packets) {
            before
        } else {
            carried.packets
        };
        Self::between(
            take(words.sent, sent(kept, carried)),
            take(words.received, carried.received),
            (packets, carried.packets),
        )
    }

    /// Whether a look would find something to credit, which this leaves unclaimed.
    #[inline(always)]
    pub(crate) fn is_waiting(kept: Kept, carried: Carried) -> bool {
        let words = Words::of(kept);
        sent(kept, carried) > now(words.sent)
            || carried.received > now(words.received)
            || carried.packets != now(words.packets)
    }

    /// Whether there is nothing to credit.
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        !self.is_opened && self.sent | self.received | self.segments | self.retransmits == 0
    }

    /// The differences between the credits before and those now.
    #[inline(always)]
    fn between(sent: (u64, u64), received: (u64, u64), packets: (u64, u64)) -> Self {
        Self {
            is_opened: sent.1 & !sent.0 & OPENED_COUNTED != 0,
            sent: (sent.1 & !OPENED_COUNTED).saturating_sub(sent.0 & !OPENED_COUNTED),
            received: received.1.saturating_sub(received.0),
            segments: risen(packets.0, packets.1),
            retransmits: risen(packets.0 >> 32, packets.1 >> 32),
        }
    }
}

/// The words of a storage that hold the credited totals.
struct Words {
    sent: *mut u64,
    received: *mut u64,
    packets: *mut u64,
}

impl Words {
    #[inline(always)]
    fn of(kept: Kept) -> Self {
        // SAFETY: fields of the storage; the verifier checks each access.
        unsafe {
            Self {
                sent: &raw mut (*kept.0).sent,
                received: &raw mut (*kept.0).received,
                packets: &raw mut (*kept.0).packets,
            }
        }
    }
}

/// The bytes sent, with [`OPENED_COUNTED`] if the connection was established: the value for [`Words::sent`].
#[inline(always)]
fn sent(kept: Kept, carried: Carried) -> u64 {
    if kept.is(OPENED) {
        carried.sent | OPENED_COUNTED
    } else {
        carried.sent
    }
}

/// How much a counter that wraps around has risen, by the low 32 bits of both words; 0 if it was reset.
#[inline(always)]
fn risen(before: u64, after: u64) -> u64 {
    let difference = after.wrapping_sub(before) & 0xffff_ffff;
    if difference >> 31 == 0 { difference } else { 0 }
}

/// The sums of the node on this CPU.
#[inline(always)]
pub(crate) fn totals() -> Option<*mut NetworkTotals> {
    NETWORK.get_ptr_mut(0)
}

/// Adds to one sum of the node.
macro_rules! add_total {
    ($field:ident, $more:expr) => {
        if let Some(totals) = $crate::account::totals() {
            // SAFETY: a field of a map value; the verifier checks the access.
            $crate::atomic::add(unsafe { &raw mut (*totals).$field }, $more);
        }
    };
}
pub(crate) use add_total;

/// Adds to one counter of an owner.
macro_rules! add_count {
    ($sums:expr, $($field:tt)+) => {
        $crate::account::add_more!($sums, 1, $($field)+)
    };
}
pub(crate) use add_count;

/// Adds more than one to a counter of an owner.
macro_rules! add_more {
    ($sums:expr, $more:expr, $($field:tt)+) => {
        // SAFETY: a field of a map value; the verifier checks the access.
        $crate::atomic::add(unsafe { &raw mut (*$sums).counters.$($field)+ }, $more)
    };
}
pub(crate) use add_more;

/// The entry of the socket's owner; makes it if there is none. `None` if the map is full, which is counted.
#[inline(always)]
pub(crate) fn owner_sums(kept: Kept, scope: u32) -> Option<*mut NetworkSums> {
    sums_of(kept.owner(), scope)
}

/// The entry of a process for this scope; the rest as in [`owner_sums`].
#[inline(always)]
pub(crate) fn sums_of(owner: Identity, scope: u32) -> Option<*mut NetworkSums> {
    let key = NetworkOwner {
        tgid: owner.tgid,
        scope,
        start_ns: owner.start_ns,
    };
    if let Some(sums) = OWNERS.get_ptr_mut(&key) {
        return Some(sums);
    }
    if OWNERS
        .insert(&key, &NEW_SUMS, u64::from(BPF_NOEXIST))
        .is_ok()
    {
        add_total!(owners_made, 1);
    }
    // Another CPU may have made it; if there is none, the map was full.
    let sums = OWNERS.get_ptr_mut(&key);
    if sums.is_none() {
        add_total!(owners_full, 1);
    }
    sums
}

/// Credits `gain`. `sums`: the result of [`owner_sums`].
#[inline(always)]
pub(crate) fn credit(sums: Option<*mut NetworkSums>, kept: Kept, gain: Gain) {
    if gain.sent | gain.received != 0 {
        add_total!(sent_bytes, gain.sent);
        add_total!(received_bytes, gain.received);
    }
    let Some(sums) = sums else {
        add_total!(unowned_sent_bytes, gain.sent);
        add_total!(unowned_received_bytes, gain.received);
        return;
    };
    if gain.sent != 0 {
        add_more!(sums, gain.sent, sent_bytes);
    }
    if gain.received != 0 {
        add_more!(sums, gain.received, received_bytes);
    }
    if gain.segments != 0 {
        if kept.role() == ROLE_LISTENER {
            add_more!(sums, gain.segments, listen_drops);
        } else {
            add_more!(sums, gain.segments, sent_segments);
        }
    }
    if gain.retransmits != 0 {
        add_more!(sums, gain.retransmits, retransmitted_segments);
    }
    if gain.is_opened {
        match kept.role() {
            ROLE_CLIENT => add_count!(sums, opened_client),
            ROLE_SERVER => add_count!(sums, opened_server),
            _ => (),
        }
    }
}

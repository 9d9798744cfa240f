//! The maps of sums: the content of each, the reason for its size, and the effect when it is full. Those of sockets are in
//! storages.rs.

use agent_common::{
    NETWORK_GIVERS, NETWORK_OWNERS, NetworkOwner, NetworkSums, NetworkTotals, SocketLook,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};

/// The traffic of the sockets of each process. User space removes entries of processes that are gone. Full: credited bytes are
/// counted in [`NetworkTotals::unowned_sent_bytes`] and the like.
#[map]
pub(crate) static OWNERS: HashMap<NetworkOwner, NetworkSums> =
    HashMap::with_max_entries(NETWORK_OWNERS, 0);

/// Sums of the node. Cannot be full.
#[map]
pub(crate) static NETWORK: PerCpuArray<NetworkTotals> = PerCpuArray::with_max_entries(1, 0);

/// Which look at the living sockets is under way. Cannot be full.
#[map]
pub(crate) static LOOK: Array<SocketLook> = Array::with_max_entries(1, 0);

/// The number of the look at which a process with this id may last have given a socket away. Processes whose ids differ by a
/// multiple of the size share an entry, which makes a look at files necessary too often. Cannot be full.
#[map]
pub(crate) static GIVERS: Array<u32> = Array::with_max_entries(NETWORK_GIVERS, 0);

/// The entry of a process in [`GIVERS`].
#[inline(always)]
pub(crate) fn giver_place(tgid: u32) -> u32 {
    tgid % NETWORK_GIVERS
}

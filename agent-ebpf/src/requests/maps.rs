//! The maps of the request programs: the content of each, the reason for its size, and the effect when it is full.

use agent_common::{
    Identity, REQUEST_KILLS, REQUEST_OUTSIDERS, REQUEST_OWNERS, REQUESTS_ABANDONED,
    RequestInFlight, RequestSums, RequestTotals,
};
use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};

use crate::exchange::Exchange;
use crate::receive::Received;
use crate::socket_storage::SocketStorage;
use crate::walk::Sending;

/// The state of each socket on which a watched process has received the beginning of a request. The kernel frees it with the
/// socket. Full: there is no bound but the kernel's memory; [`RequestTotals::storage_full`] counts sockets that got no storage.
#[btf_map]
pub(crate) static EXCHANGES: SocketStorage<Exchange, { BPF_F_NO_PREALLOC as usize }> =
    SocketStorage::new();

/// The requests that each process has served. User space removes entries of processes that are gone. Full:
/// [`RequestTotals::owners_full`] counts the lost counts.
#[map]
pub(crate) static REQUESTS: HashMap<Identity, RequestSums> =
    HashMap::with_max_entries(REQUEST_OWNERS, 0);

/// Processes that are not watched, because user space has decided that no group counts them. User space removes entries of processes
/// that are gone. Full: further processes stay watched, which costs time only.
#[map]
pub(crate) static OUTSIDERS: HashMap<Identity, u32> =
    HashMap::with_max_entries(REQUEST_OUTSIDERS, BPF_F_NO_PREALLOC);

/// Watched processes to which their parent has sent ABRT or KILL. User space takes the entries out at each pass. Full:
/// [`RequestTotals::kills_full`] counts the kills that find no room.
#[map]
pub(crate) static KILLED: HashMap<Identity, u64> =
    HashMap::with_max_entries(REQUEST_KILLS, BPF_F_NO_PREALLOC);
/// Requests that user space has found to be gone, for the program that counts them; no process: no request. Full: the rest is counted
/// at later looks.
#[map]
pub(crate) static ABANDONED: Array<RequestInFlight> =
    Array::with_max_entries(REQUESTS_ABANDONED, 0);

/// Sums of the node. Cannot be full.
#[map]
pub(crate) static REQUEST_TOTALS: PerCpuArray<RequestTotals> = PerCpuArray::with_max_entries(1, 0);

/// The beginning of the received bytes, and of the sent ones. Each entry is used by one program alone, which the kernel does not
/// run twice at a time on one CPU.
#[map]
pub(crate) static RECEIVED: PerCpuArray<Received> = PerCpuArray::with_max_entries(PLACES, 0);
#[map]
pub(crate) static SENDING: PerCpuArray<Sending> = PerCpuArray::with_max_entries(PLACES, 0);

/// The entries there: of the program for all sockets, or for IPv4; for IPv6; for Unix sockets.
pub(crate) const OF_ANY: u32 = 0;
pub(crate) const OF_INET6: u32 = 1;
pub(crate) const OF_UNIX: u32 = 2;
const PLACES: u32 = 3;

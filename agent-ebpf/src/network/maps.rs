//! The maps of the network programs: what each holds, why it has this size, and what happens when it is full.

use core::ffi::c_void;
use core::ptr::{from_ref, null, null_mut};

use agent_common::{NETWORK_OWNERS, NetworkOwner, NetworkSums, NetworkTotals, SocketLook};
use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};

use crate::storage::Storage;

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

impl SocketStorage {
    /// The storage of the socket at a BTF pointer; `None` if it has none.
    #[inline(always)]
    pub(crate) fn of(&self, sock: *const u8) -> Option<*mut Storage> {
        self.call(sock, null_mut(), 0)
    }

    /// The same; makes a storage with this value if there is none. `None` if the kernel has no memory.
    #[inline(always)]
    pub(crate) fn of_or(&self, sock: *const u8, new: &Storage) -> Option<*mut Storage> {
        let new = from_ref(new).cast_mut().cast();
        self.call(sock, new, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
    }

    #[inline(always)]
    fn call(&self, sock: *const u8, new: *mut c_void, flags: u64) -> Option<*mut Storage> {
        let map = from_ref(self).cast_mut().cast();
        // SAFETY: the verifier checks that `sock` is a socket.
        let storage = unsafe { bpf_sk_storage_get(map, sock.cast_mut().cast(), new, flags) };
        (!storage.is_null()).then_some(storage.cast())
    }
}

/// The storage of each TCP socket. It lives as long as the socket, and is freed by the kernel. Full: there is no bound but the
/// kernel's memory; a socket without storage is counted in [`NetworkTotals::storage_full`], except where the kernel copies a
/// listener's storage, which then refuses the connection.
#[btf_map]
pub(crate) static STORAGES: SocketStorage = SocketStorage {
    r#type: null(),
    key: null(),
    value: null(),
    max_entries: null(),
    map_flags: null(),
};

/// What the sockets of each process have carried. User space removes entries of processes that are gone. Full: what is
/// credited is counted in [`NetworkTotals::unowned_sent_bytes`] and the like.
#[map]
pub(crate) static OWNERS: HashMap<NetworkOwner, NetworkSums> =
    HashMap::with_max_entries(NETWORK_OWNERS, 0);

/// Sums of the node. Cannot be full.
#[map]
pub(crate) static NETWORK: PerCpuArray<NetworkTotals> = PerCpuArray::with_max_entries(1, 0);

/// Which look at the living sockets is under way. Cannot be full.
#[map]
pub(crate) static LOOK: Array<SocketLook> = Array::with_max_entries(1, 0);

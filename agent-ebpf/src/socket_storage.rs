//! Maps of socket storage: a value that the kernel keeps with a socket and frees with it.
//!
//! aya-ebpf has such a map for programs of cgroups only, and without flags. The kernel wants type information for key and
//! value, which the definition gives.

use core::ffi::c_void;
use core::ptr::{from_ref, null, null_mut};

use aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE;
use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::helpers::generated::bpf_sk_storage_get;

/// The definition of a map of socket storage with the flags `FLAGS`.
#[repr(C)]
pub(crate) struct SocketStorage<T, const FLAGS: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the fields only carry types; nothing reads them.
unsafe impl<T, const FLAGS: usize> Sync for SocketStorage<T, FLAGS> {}

impl<T, const FLAGS: usize> SocketStorage<T, FLAGS> {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: null(),
            key: null(),
            value: null(),
            max_entries: null(),
            map_flags: null(),
        }
    }

    /// The storage of the socket at a BTF pointer; `None` if it has none.
    #[inline(always)]
    pub(crate) fn of(&self, sock: *const u8) -> Option<*mut T> {
        self.call(sock, null_mut(), 0)
    }

    /// The same; makes a storage with this value if there is none. `None` if the kernel has no memory.
    #[inline(always)]
    pub(crate) fn of_or(&self, sock: *const u8, new: &T) -> Option<*mut T> {
        let new = from_ref(new).cast_mut().cast();
        self.call(sock, new, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
    }

    #[inline(always)]
    fn call(&self, sock: *const u8, new: *mut c_void, flags: u64) -> Option<*mut T> {
        let map = from_ref(self).cast_mut().cast();
        // SAFETY: the verifier checks that `sock` is a socket.
        let storage = unsafe { bpf_sk_storage_get(map, sock.cast_mut().cast(), new, flags) };
        (!storage.is_null()).then_some(storage.cast())
    }
}

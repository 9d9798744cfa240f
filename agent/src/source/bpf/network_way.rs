//! The ways in which the kernel programs can keep the traffic of each socket: the one table of them. The agent takes the first
//! one that this kernel accepts.

use aya::Ebpf;
use aya::maps::{Map, MapData};

use super::program::KernelProgram;
use crate::source::Origin;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The kernel keeps it with the socket, and copies a listener's to its children.
    Storage,
    /// In a hash by the socket's address.
    Hash,
}

/// One row of the table.
struct WayRow {
    /// The object file, made by the build script; empty if it could not be built.
    object: &'static [u8],
    /// The map of sockets, and the program of the iterator over it.
    map: &'static str,
    sockets: KernelProgram,
    /// The needs of the programs beside fields of the kernel.
    functions: &'static [&'static str],
    origin: Origin,
}

#[cfg(has_ebpf)]
static STORAGE_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/headcount-network"));
#[cfg(has_ebpf)]
static HASH_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/headcount-network-hash"));
#[cfg(not(has_ebpf))]
static STORAGE_OBJECT: &[u8] = &[];
#[cfg(not(has_ebpf))]
static HASH_OBJECT: &[u8] = &[];

impl Way {
    /// All of them, the best one first.
    pub(super) const ALL: [Self; 2] = [Self::Storage, Self::Hash];

    const fn row(self) -> WayRow {
        match self {
            Self::Storage => WayRow {
                object: STORAGE_OBJECT,
                map: "STORAGES",
                sockets: KernelProgram::Sockets,
                functions: &[
                    "bpf_iter_bpf_sk_storage_map",
                    "bpf_iter_task_file",
                    // The helpers; both are in 5.11.
                    "bpf_sock_from_file",
                    "bpf_get_current_task_btf",
                ],
                origin: Origin::Bpf,
            },
            Self::Hash => WayRow {
                object: HASH_OBJECT,
                map: "SOCKETS",
                sockets: KernelProgram::HashedSockets,
                functions: &["bpf_iter_bpf_map_elem", "bpf_iter_task_file"],
                origin: Origin::BpfHash,
            },
        }
    }

    /// The object file of the programs.
    pub(super) const fn object(self) -> &'static [u8] {
        self.row().object
    }

    /// The program that sees all living sockets.
    pub(super) const fn sockets(self) -> KernelProgram {
        self.row().sockets
    }

    /// The kernel functions that the programs need.
    pub(super) const fn functions(self) -> &'static [&'static str] {
        self.row().functions
    }

    /// The value in `headcount_source_info`.
    pub(super) const fn origin(self) -> Origin {
        self.row().origin
    }

    /// The name of the map of sockets.
    pub(super) const fn map_name(self) -> &'static str {
        self.row().map
    }

    /// The map of sockets; `None` if the object lacks it.
    pub(super) fn map(self, ebpf: &Ebpf) -> Option<&MapData> {
        match ebpf.map(self.map_name()) {
            Some(Map::SkStorage(map) | Map::HashMap(map)) => Some(map),
            _ => None,
        }
    }
}

//! Who a process is.

/// A process, told apart from later ones that get the same number.
///
/// `start_ns` is nanoseconds since boot (kernel: `task_struct.start_boottime`; procfs: `/proc/<pid>/stat` field 22
/// times the tick length, so a multiple of 10 ms there). An exec keeps the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Start, nanoseconds since boot.
    pub start_ns: u64,
}

/// Maps by kernel numbers. The standard hash withstands keys that an attacker chooses in thousands; nobody chooses a start
/// time to the nanosecond, and a scrape hashes every process of the node.
pub(super) type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

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

/// What `/proc` shows start times in (kernel: `USER_HZ`, 100 everywhere).
const TICK_NS: u64 = 10_000_000;

/// The tick that a moment is in.
pub(super) const fn tick_of(ns: u64) -> u64 {
    ns / TICK_NS
}

impl ProcessId {
    /// The tick it was born in.
    pub(crate) const fn tick(self) -> u64 {
        tick_of(self.start_ns)
    }

    /// Whether its start is known to the tick only. One in ten million is born on the stroke of one.
    pub(crate) const fn is_of_tick(self) -> bool {
        self.start_ns.is_multiple_of(TICK_NS)
    }
}

/// Maps by kernel numbers. The standard hash withstands keys that an attacker chooses in thousands; nobody chooses a start
/// time to the nanosecond, and a scrape hashes every process of the node.
pub(super) type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// The same without values.
pub(super) type Set<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;

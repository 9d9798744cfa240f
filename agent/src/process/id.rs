//! The identity of a process.

/// Identity of a process; a later process with the same process id has another one.
///
/// `start_ns` is nanoseconds since boot (kernel: `task_struct.start_boottime`; procfs: `/proc/<pid>/stat` field 22 times the
/// tick length, so a multiple of 10 ms there). An exec keeps the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Start, nanoseconds since boot.
    pub start_ns: u64,
}

/// Unit of start times in `/proc` (kernel: `USER_HZ`, 100 everywhere).
const TICK_NS: u64 = 10_000_000;

/// The number of the tick that contains `ns`.
pub(super) const fn tick_of(ns: u64) -> u64 {
    ns / TICK_NS
}

impl ProcessId {
    /// The tick that the process was born in.
    pub(crate) const fn tick(self) -> u64 {
        tick_of(self.start_ns)
    }

    /// Whether the start is exact to the tick only. One in ten million nanosecond starts is such a multiple, too.
    pub(crate) const fn is_of_tick(self) -> bool {
        self.start_ns.is_multiple_of(TICK_NS)
    }
}

/// A hash map with kernel numbers as keys. Rust's standard hash resists keys that an attacker chooses by the thousand. It is
/// not needed here, because no process can choose its start time to the nanosecond; and a scrape hashes every process of the
/// node.
pub(super) type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// As [`Map`], without values.
pub(super) type Set<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;

//! How full the kernel's maps were when the agent read them. The metrics show whether the sizes fit the node before records
//! are lost.
//!
//! In: the use that each reading of a map found. Out: the last reading and the largest one.

use crate::source::MapStatistics;

/// The use of one map.
#[derive(Debug)]
pub(super) struct MapUsage {
    name: &'static str,
    capacity: u64,
    used: u64,
    peak: u64,
}

impl MapUsage {
    /// An empty map. `capacity` has the same unit as the argument of [`Self::found`]: bytes or entries.
    pub(super) const fn new(name: &'static str, capacity: u32) -> Self {
        Self {
            name,
            capacity: capacity as u64,
            used: 0,
            peak: 0,
        }
    }

    /// Records a reading. The programs may write while the agent reads, so a reading may find more than the map has room for; it
    /// then counts as full.
    pub(super) fn found(&mut self, used: u64) {
        self.used = used.min(self.capacity);
        self.peak = self.peak.max(self.used);
    }

    pub(super) const fn statistics(&self) -> MapStatistics {
        MapStatistics {
            name: self.name,
            used: self.used,
            peak: self.peak,
            capacity: self.capacity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_usage_stays_and_is_at_most_the_size_of_the_map() {
        let mut usage = MapUsage::new("ring", 100);
        for (found, used, peak) in [(40, 40, 40), (7, 7, 40), (120, 100, 100), (0, 0, 100)] {
            usage.found(found);
            let statistics = usage.statistics();
            assert_eq!((statistics.used, statistics.peak), (used, peak), "{found}");
        }
    }
}

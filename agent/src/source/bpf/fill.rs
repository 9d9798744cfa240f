//! How full the kernel's maps were found to be, which tells whether their sizes fit the node before anything is lost.
//!
//! In: what a reading of the map found. Out: the last reading and the largest, for the exposition.

use crate::source::MapStatistics;

/// One map.
#[derive(Debug)]
pub(super) struct Fill {
    name: &'static str,
    capacity: u64,
    used: u64,
    peak: u64,
}

impl Fill {
    /// Nothing in it yet. `capacity` has the unit of what [`Self::found`] is told: bytes, or entries.
    pub(super) const fn new(name: &'static str, capacity: u32) -> Self {
        Self {
            name,
            capacity: capacity as u64,
            used: 0,
            peak: 0,
        }
    }

    /// A reading. It may take longer than the programs need to write more, so it may find more than there is room for.
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
    fn the_peak_stays_and_nothing_is_fuller_than_full() {
        let mut fill = Fill::new("ring", 100);
        for (found, used, peak) in [(40, 40, 40), (7, 7, 40), (120, 100, 100), (0, 0, 100)] {
            fill.found(found);
            let statistics = fill.statistics();
            assert_eq!((statistics.used, statistics.peak), (used, peak), "{found}");
        }
    }
}

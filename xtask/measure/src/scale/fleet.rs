//! Extrapolates from one node to a fleet. The figures per series and sample are Prometheus', measured or from its documentation;
//! `deploy/SCALE.md` gives their origin.

/// Memory of Prometheus for each series that is being written, bytes.
const MEMORY_BYTES_PER_SERIES: f64 = 4_000.0;
/// Size of a sample on disk, compacted, bytes: Prometheus' documentation says 1 to 2.
const DISK_BYTES_PER_SAMPLE: f64 = 1.5;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// A number of nodes that are all like the measured one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fleet {
    pub(super) nodes: u64,
    pub(super) interval_seconds: u64,
    pub(super) series_of_a_node: u64,
    pub(super) gzip_bytes_of_a_scrape: u64,
}

impl Fleet {
    fn series(self) -> f64 {
        (self.nodes * self.series_of_a_node) as f64
    }

    fn samples_per_second(self) -> f64 {
        self.series() / self.interval_seconds as f64
    }

    fn memory_bytes(self) -> f64 {
        self.series() * MEMORY_BYTES_PER_SERIES
    }

    fn disk_bytes_per_day(self) -> f64 {
        self.samples_per_second() * SECONDS_PER_DAY * DISK_BYTES_PER_SAMPLE
    }

    fn network_bytes_per_second(self) -> f64 {
        (self.nodes * self.gzip_bytes_of_a_scrape) as f64 / self.interval_seconds as f64
    }

    pub(super) fn markdown(self) -> String {
        let Self {
            nodes,
            interval_seconds,
            ..
        } = self;
        format!(
            "| {nodes} such nodes, scraped every {interval_seconds} s | |\n| --- | --- |\n\
             | series | {:.1} M |\n| samples per second | {:.0} k |\n| network, gzip | {:.1} MB/s |\n\
             | memory of Prometheus, {MEMORY_BYTES_PER_SERIES} bytes a series | {:.0} GB |\n\
             | disk, {DISK_BYTES_PER_SAMPLE} bytes a sample | {:.0} GB a day |\n",
            self.series() / 1e6,
            self.samples_per_second() / 1e3,
            self.network_bytes_per_second() / 1e6,
            self.memory_bytes() / 1e9,
            self.disk_bytes_per_day() / 1e9,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleet_totals_are_the_node_times_their_number() {
        let fleet = Fleet {
            nodes: 10_000,
            interval_seconds: 30,
            series_of_a_node: 1_500,
            gzip_bytes_of_a_scrape: 15_000,
        };
        assert_eq!(fleet.series(), 15e6);
        assert_eq!(fleet.samples_per_second(), 500e3);
        assert_eq!(fleet.network_bytes_per_second(), 5e6);
        assert_eq!(fleet.memory_bytes(), 60e9);
        assert_eq!(fleet.disk_bytes_per_day(), 64.8e9);
        assert!(
            fleet
                .markdown()
                .contains("| disk, 1.5 bytes a sample | 65 GB a day |")
        );
    }
}

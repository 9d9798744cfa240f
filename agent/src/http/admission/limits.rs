//! All bounds of the HTTP server: sizes, counts and times.

use std::time::Duration;

/// File descriptors kept for other uses than connections: programs and maps in the kernel (40), the runtime, the log,
/// and the files that a pass and the readers of proportional memory have open at a time.
const RESERVED: u64 = 96;
/// Number of connections allowed even if the descriptor limit leaves fewer.
const MIN_CONNECTIONS: usize = 4;

/// Bounds of the HTTP server; tests use smaller ones.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections. When all are in use, a new connection evicts one from the origin that has most of them.
    pub connections: usize,
    /// Time for a request's header, from its first byte (or from the start of the connection) to its end.
    pub header: Duration,
    /// Time between the end of a response and the first byte of the next request; longer than usual scrape intervals.
    pub idle: Duration,
    /// Time for a response, from its first byte to its last.
    pub write: Duration,
    /// Time for a scrape, unless the client's timeout is shorter; equals the default scrape timeout of Prometheus.
    pub scrape: Duration,
    /// Time for the state thread to answer a health question.
    pub health: Duration,
    /// Time for open requests to finish after shutdown begins.
    pub drain: Duration,
    /// Pause after `accept` failed for lack of a descriptor or memory, when no connection could be evicted.
    pub accept_pause: Duration,
    /// Total size of the answers that clients have not read yet, in bytes.
    pub unsent_bytes: usize,
    /// The same of large answers of fan-in; twice the size of the largest one.
    pub merged_bytes: usize,
    /// Size of a request's header in bytes; at least 8192.
    pub header_bytes: usize,
    /// Number of header lines in a request.
    pub header_lines: usize,
}

impl Limits {
    /// The time bounds with their names, as the metrics show them.
    pub const fn times(&self) -> [(&'static str, Duration); 6] {
        [
            ("header", self.header),
            ("idle", self.idle),
            ("write", self.write),
            ("scrape", self.scrape),
            ("health", self.health),
            ("drain", self.drain),
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            header: Duration::from_secs(5),
            idle: Duration::from_secs(120),
            write: Duration::from_secs(10),
            scrape: Duration::from_secs(10),
            health: Duration::from_secs(5),
            drain: Duration::from_secs(15),
            accept_pause: Duration::from_millis(100),
            unsent_bytes: 20_000_000,
            merged_bytes: 128 << 20,
            header_bytes: 16 * 1024,
            header_lines: 64,
        }
    }
}

impl Limits {
    /// Reduces the number of connections so that enough of the process's `descriptors` remain for the agent: a pass
    /// that cannot open files misses processes. The second value is the descriptor limit needed for all connections,
    /// if `descriptors` is less.
    pub fn within(self, descriptors: u64) -> (Self, Option<u64>) {
        let left = descriptors.saturating_sub(RESERVED);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let connections = self.connections.min(left.max(MIN_CONNECTIONS));
        let wanted = RESERVED + self.connections as u64;
        let limits = Self {
            connections,
            ..self
        };
        (limits, (descriptors < wanted).then_some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest_of_the_agent() {
        let of = |descriptors| {
            let (limits, wanted) = Limits::default().within(descriptors);
            (limits.connections, wanted)
        };
        assert_eq!(of(u64::MAX), (64, None));
        assert_eq!(of(160), (64, None));
        assert_eq!(of(128), (32, Some(160)));
        assert_eq!((of(64), of(0)), ((4, Some(160)), (4, Some(160))));
    }
}

//! How much and how long: every bound of the HTTP side in one place.

use std::time::Duration;

/// Descriptors that are not for connections: programs and maps in the kernel (40), the runtime's, the log, and what a pass and the
/// readers of proportional memory have open at a time.
const KEPT: u64 = 96;
/// Connections that there may be in any case.
const FEWEST: usize = 4;

/// Bounds; tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections. When all are taken, one of those gives way of which most come from one address.
    pub connections: usize,
    /// From the first byte of a request, or the connection's start, to the end of the header.
    pub header: Duration,
    /// Between the end of a response and the first byte of the next request; longer than usual scrape intervals.
    pub idle: Duration,
    /// From the first byte of a response to the last.
    pub write: Duration,
    /// For a scrape, unless the client waits for a shorter time; the scrape timeout that Prometheus has by default.
    pub scrape: Duration,
    /// For the owner of the state to tell how it is.
    pub health: Duration,
    /// For open requests to finish after a stop.
    pub drain: Duration,
    /// Pause after the system had no descriptor or memory for a new connection, and no other could give way.
    pub accept_pause: Duration,
    /// Size of all answers together that clients have not taken yet, bytes.
    pub unsent_bytes: usize,
    /// Size of a request's header, bytes; at least 8192.
    pub header_bytes: usize,
    /// Lines in a request's header.
    pub header_lines: usize,
}

impl Limits {
    /// Bounds of time by what they are for, as they are told in the metrics.
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
            header_bytes: 16 * 1024,
            header_lines: 64,
        }
    }
}

impl Limits {
    /// With no more connections than leave the agent what it needs of all `descriptors` it may have: a pass that finds none is short of
    /// processes. The second value is what it should have, where it has less.
    pub fn within(self, descriptors: u64) -> (Self, Option<u64>) {
        let left = descriptors.saturating_sub(KEPT);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let connections = self.connections.min(left.max(FEWEST));
        let wanted = KEPT + self.connections as u64;
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
    fn connections_leave_descriptors_for_the_rest() {
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

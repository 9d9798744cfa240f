//! How much and how long: every bound of the HTTP side in one place.

use std::time::Duration;

/// Bounds; tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections. When all are taken, the one that has waited longest gives way to a new one.
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
            header_bytes: 16 * 1024,
            header_lines: 64,
        }
    }
}

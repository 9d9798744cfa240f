//! The response to a scrape that the owner of the state does not answer in time: the metrics of the build and of the
//! HTTP server.
//!
//! It uses nothing that the state thread holds, and reads no file. The exposition marks all other collectors as
//! missing. [`serving`] makes the counts of the HTTP server what the collectors take, for full scrapes too.

use crate::{
    collector::{
        Collectors, ReloadStatistics, ServingLimits, ServingStatistics, UnsentStatistics, View,
    },
    group,
    http::{self, Bytes, Fallback},
    process, source,
    state::BUILD,
};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub(crate) struct Partial {
    /// Collectors of its own, so that it never waits for the state thread's.
    collectors: Mutex<Collectors>,
    http: Arc<http::HttpCounters>,
}

impl Partial {
    /// Fails only if a metric descriptor is not valid.
    pub(crate) fn new(http: Arc<http::HttpCounters>) -> Result<Self, prometheus::Error> {
        let collectors = Mutex::new(Collectors::new()?);
        Ok(Self { collectors, http })
    }
}

impl Fallback for Partial {
    fn exposition(&self) -> Bytes {
        let view = View {
            groups: &[],
            processes: &process::Statistics::default(),
            source: &source::Statistics::default(),
            group_statistics: &group::Statistics::default(),
            serving: &serving(&self.http),
            reloads: &ReloadStatistics::default(),
            sandbox: &[],
            build: &BUILD,
            boot_time_seconds: 0.0,
            log_lines_suppressed: 0,
        };
        let mut collectors = self
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        collectors.collect_without_state(&view).into()
    }
}

/// Counts and limits of the HTTP server.
pub(crate) fn serving(http: &http::HttpCounters) -> ServingStatistics {
    let limits = http.limits();
    let times = limits.times();
    ServingStatistics {
        connections: http.connections(),
        rejected: http.rejected(),
        evicted: http.evicted(),
        accept_errors: http.accept_errors(),
        handshake_failures: http.handshake_failures(),
        reload_failures: http.reload_failures(),
        unsent: UnsentStatistics {
            bytes: http.unsent_bytes(),
            max_bytes: limits.unsent_bytes as u64,
            unread: http.unread(),
            delayed_passes: http.delayed(),
        },
        requests: http.requests().collect(),
        timeouts: http.timeouts().collect(),
        limits: ServingLimits {
            connections: limits.connections as u64,
            header_bytes: limits.header_bytes as u64,
            header_lines: limits.header_lines as u64,
            seconds: times.map(|(name, time)| (name, time.as_secs_f64())).into(),
        },
    }
}

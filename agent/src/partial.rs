//! The response to a scrape that the owner of the state does not answer in time: the metrics of the build and of the
//! HTTP server.
//!
//! It uses nothing that the state thread holds, and reads no file. The exposition marks all other collectors as
//! missing.

use crate::{
    collector::{Collectors, ReloadStatistics, View},
    group,
    http::{self, Bytes, Fallback},
    pipeline::{BUILD, serving},
    process, source,
};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub(crate) struct Partial {
    /// Collectors of its own, so that it never waits for the state thread's.
    collectors: Mutex<Collectors>,
    http: Arc<http::Statistics>,
}

impl Partial {
    /// Fails only if a metric descriptor is not valid.
    pub(crate) fn new(http: Arc<http::Statistics>) -> Result<Self, prometheus::Error> {
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

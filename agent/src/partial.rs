//! What is served of a scrape whose time is over before the owner of the state answers: what was built, the HTTP side and the
//! agent itself. It touches nothing that the owner holds, and says of the other collectors that they are missing.

use crate::{
    collector::{Collectors, ReloadStatistics, Runs, View},
    config::logging::Logger,
    group,
    http::{self, Bytes, Fallback},
    pipeline::{BUILD, serving},
    process, source,
};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub(crate) struct Partial {
    /// Their own, so that they never wait for the owner's; the counts of runs are shared.
    collectors: Mutex<Collectors>,
    http: Arc<http::Statistics>,
    logger: &'static Logger,
    boot_time_seconds: f64,
}

impl Partial {
    pub(crate) fn new(
        runs: &Runs,
        http: Arc<http::Statistics>,
        logger: &'static Logger,
        boot_time: u64,
    ) -> Self {
        Self {
            collectors: Mutex::new(Collectors::new(runs)),
            http,
            logger,
            boot_time_seconds: boot_time as f64,
        }
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
            build: &BUILD,
            boot_time_seconds: self.boot_time_seconds,
            log_lines_suppressed: self.logger.suppressed(),
        };
        let mut collectors = self
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        collectors.collect_without_state(&view).into()
    }
}

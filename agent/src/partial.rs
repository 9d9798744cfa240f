//! What is served of a scrape whose time is over before the owner of the state answers: what was built, and the HTTP side. It
//! touches nothing that the owner holds, reads no file, and says of the other collectors that they are missing.

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
    /// Its own, so that nobody waits for the owner's.
    collectors: Mutex<Collectors>,
    http: Arc<http::Statistics>,
}

impl Partial {
    /// Fails only where a descriptor is not valid.
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

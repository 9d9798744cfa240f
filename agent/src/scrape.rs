//! A scrape: parts that do not wait for each other, joined by the deadline of the client.
//!
//! ```text
//!  state thread (`http/answers`) ----(by the deadline)--> the whole exposition
//!  build and HTTP server (here) -----(after it)---------> these families; all others are marked as missing
//! ```
//!
//! In: the counts of the HTTP server. Out: the part of the exposition that needs no state. It uses nothing that the
//! state thread holds, and reads no file. Left to others: the deadline and the choice between the two
//! (`http/routes.rs`).

use std::fmt;
use std::sync::{Mutex, PoisonError};

use hyper::body::Bytes;

use crate::collector::{Collectors, ReloadStatistics, ServingStatistics, View};
use crate::state::BUILD;
use crate::{group, process, source};

/// Writes the part of an exposition that needs no state. Does not block.
pub struct StatelessPart(Box<dyn Fn() -> Bytes + Send + Sync>);

impl StatelessPart {
    /// The part that the agent's own collectors write; `serving` reads the counts of the HTTP server.
    ///
    /// # Errors
    /// A metric descriptor is not valid.
    pub fn new(
        serving: impl Fn() -> ServingStatistics + Send + Sync + 'static,
    ) -> Result<Self, prometheus::Error> {
        // Collectors of its own, so that it never waits for the state thread's.
        let collectors = Mutex::new(Collectors::new()?);
        Ok(Self::written_by(move || {
            let serving = serving();
            let mut collectors = collectors.lock().unwrap_or_else(PoisonError::into_inner);
            write(&mut collectors, &serving)
        }))
    }

    /// The part that `write` returns.
    pub fn written_by(write: impl Fn() -> Bytes + Send + Sync + 'static) -> Self {
        Self(Box::new(write))
    }

    /// The exposition of this part alone. It marks the collectors that need the state as failed.
    pub(crate) fn exposition(&self) -> Bytes {
        (self.0)()
    }
}

impl fmt::Debug for StatelessPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatelessPart").finish_non_exhaustive()
    }
}

fn write(collectors: &mut Collectors, serving: &ServingStatistics) -> Bytes {
    let view = View {
        groups: &[],
        processes: &process::TableStatistics::default(),
        source: &source::SourceStatistics::default(),
        group_statistics: &group::GroupStatistics::default(),
        serving,
        reloads: &ReloadStatistics::default(),
        sandbox: &[],
        build: &BUILD,
        boot_time_seconds: 0.0,
        log_lines_suppressed: 0,
    };
    collectors.collect_without_state(&view).into()
}

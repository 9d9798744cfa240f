//! The memory of the state about passes and scrapes for `/health`, and the reasons for a degraded health that follow from it.
//!
//! `crowded.rs` watches the limits of groups. The other reasons come from the modules that know them
//! ([`super::AgentState::health`] asks them all).

use std::time::Duration;

use super::concealed::Concealed;
use super::crowded::Crowded;
use crate::group::Grouper;
use crate::host::monotonic_ns;
use crate::source::{SelfTest, SourceStatistics};

/// The times of passes, and the failures of the last one.
pub(super) struct PassNotes {
    /// When counting began, nanoseconds since boot.
    pub(super) began_ns: u64,
    /// When the last successful pass began, nanoseconds since boot; `None` before the first.
    pub(super) last_ns: Option<u64>,
    /// Live processes that the last pass could not read or name.
    pub(super) unread: usize,
    /// Live processes of the last pass that `/proc` does not show.
    pub(super) concealed: Concealed,
    /// The error of the last pass, or of a drain since then.
    pub(super) error: Option<String>,
}

impl PassNotes {
    pub(super) fn new(began_ns: u64) -> Self {
        Self {
            began_ns,
            last_ns: None,
            unread: 0,
            concealed: Concealed::default(),
            error: None,
        }
    }

    /// The moment at which a process was born that was as old as `limit` at the last pass.
    pub(super) fn recheck_since_ns(&self, limit: Duration) -> u64 {
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.last_ns.unwrap_or_default().saturating_sub(limit_ns)
    }

    /// The reasons for a degraded health.
    pub(super) fn reasons(&self) -> impl Iterator<Item = String> {
        let error = self.error.iter();
        let error = error.map(|error| format!("the last pass failed: {error}"));
        let unread = (self.unread > 0).then(|| {
            format!(
                "{} processes could not be read at the last pass; namedprocess_scrape_procread_errors counts them, \
                 --debug names them",
                self.unread
            )
        });
        error.chain(unread).chain(self.concealed.reason())
    }
}

/// The shortcomings of the start, the losses up to the last scrape, and the limits of groups.
pub(super) struct HealthNotes {
    shortcomings: Vec<String>,
    /// Statistics of the last answered scrape; losses since then are found by comparison with it.
    last_scrape: SourceStatistics,
    /// Whether records were lost between the last two scrapes.
    lost_before: bool,
    crowded: Crowded,
}

impl HealthNotes {
    /// `shortcomings`: why no better tier was chosen, if the operator left the choice to the agent.
    pub(super) fn new(shortcomings: Vec<String>) -> Self {
        Self {
            shortcomings,
            last_scrape: SourceStatistics::default(),
            lost_before: false,
            crowded: Crowded::default(),
        }
    }

    /// Takes the statistics of a scrape.
    pub(super) fn note_scrape(&mut self, statistics: SourceStatistics) {
        self.lost_before = self.has_lost(&statistics);
        self.last_scrape = statistics;
    }

    /// The statistics of the last scrape.
    pub(super) const fn last_scrape(&self) -> &SourceStatistics {
        &self.last_scrape
    }

    /// Takes the counts of groups that found no room.
    pub(super) fn note_groups(&mut self, grouper: &Grouper) {
        self.crowded.note(&grouper.statistics(), monotonic_ns());
    }

    /// Why no better tier was chosen.
    pub(super) fn shortcomings(&self) -> &[String] {
        &self.shortcomings
    }

    /// The other reasons for a degraded health. `now`: the statistics at this moment. `is_full`: there are as many groups as
    /// are allowed.
    pub(super) fn reasons(
        &self,
        now: &SourceStatistics,
        is_full: bool,
    ) -> impl Iterator<Item = String> {
        let crowded = self.crowded.reason(monotonic_ns(), is_full);
        let lost = (self.lost_before || self.has_lost(now)).then_some(
            "kernel records were lost or only summed up before the last scrape or since; a larger \
             --accounting.ring-bytes may help",
        );
        let untested = (self.last_scrape.self_test == SelfTest::Failed)
            .then_some("the start-up self-test of the kernel programs failed");
        let fixed = lost.into_iter().chain(untested).map(str::to_owned);
        crowded.into_iter().chain(fixed)
    }

    /// Whether `now` counts more losses than the last scrape.
    fn has_lost(&self, now: &SourceStatistics) -> bool {
        let last = &self.last_scrape;
        now.events_lost > last.events_lost || now.events_coarse > last.events_coarse
    }
}

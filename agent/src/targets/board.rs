//! The board between the state and the targets thread: the processes that the kinds of targets want to know of, and the state's
//! facts about them after its last pass.
//!
//! Neither side waits for the other: each publishes a whole value and reads the last one of the other side.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::config::ScrapeConfig;
use crate::process::ProcessId;

/// Most processes that the targets thread may want by their ids.
pub(crate) const MOST_PIDS: usize = 16_384;
/// Most spans of time in which processes of the targets of one user may have started.
const MOST_SPANS: usize = 1_024;

/// A live process that a kind of target wanted to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetCandidate {
    /// The process. Its identity must be checked again before anything is read of it.
    pub(crate) id: ProcessId,
    /// When it started, microseconds since the epoch.
    pub(crate) started_us: u64,
    pub(crate) wanted_by: WantedBy,
    /// `None` if it is in no group.
    pub(crate) group: Option<Arc<GroupIdentity>>,
}

/// A living arbiter of Gunicorn in a group whose HTTP requests are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArbiterCandidate {
    /// The process. Its identity must be checked again before anything is read of it.
    pub(crate) id: ProcessId,
    /// The name of its application. The state gives a bounded number of names, and several arbiters may have one name.
    pub(crate) app: Arc<str>,
}

/// A live process whose metrics an item of the configuration wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScrapedProcess {
    /// The process. Its identity must be checked again before anything is read of it.
    pub(crate) id: ProcessId,
    pub(crate) group: Arc<GroupIdentity>,
    pub(crate) scrape: Arc<ScrapeConfig>,
    /// Whether it may receive a caller's credentials.
    pub(crate) may_receive_credentials: bool,
}

/// Why a process is a candidate. Of several reasons, the first one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WantedBy {
    /// It has this wanted task name. Any program can choose such a name, so the name alone proves nothing.
    Comm(&'static str),
    /// It started when a process may have started whose id in the agent's pid namespace is not known.
    Start,
    /// Its process id.
    Pid,
}

/// Name and labels of a process group; no other group has the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupIdentity {
    pub(crate) name: String,
    /// Labels of the configuration, sorted by name.
    pub(crate) labels: Vec<(Arc<str>, String)>,
}

/// The processes that the targets thread wants to know of beside those with the wanted task names.
#[derive(Debug, Default)]
pub(crate) struct WantedProcesses {
    /// Ids in the pid namespace of the agent's `/proc`.
    pub(crate) pids: HashSet<u32>,
    /// The times at which other wanted processes started, by the user of their target.
    pub(crate) starts: BTreeMap<u32, Spans>,
}

/// Spans of time, microseconds since the epoch: sorted, and no two of them meet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans(Vec<(u64, u64)>);

/// Both sides hold the board in an `Arc`.
#[derive(Debug, Default)]
pub(crate) struct Board {
    comms: Vec<&'static str>,
    wanted: Mutex<Arc<WantedProcesses>>,
    candidates: Mutex<Arc<Vec<TargetCandidate>>>,
    arbiters: Mutex<Arc<Vec<ArbiterCandidate>>>,
    scraped: Mutex<ScrapedProcesses>,
}

/// The processes to ask, as of a pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScrapedProcesses {
    /// In the order of their start.
    pub(crate) all: Arc<Vec<ScrapedProcess>>,
    /// Number of further processes, which are left out.
    pub(crate) left_out: usize,
    /// When the pass ended; `None` before the first one, and while no item wants metrics of processes.
    pub(crate) at: Option<Instant>,
}

impl Spans {
    /// Spans that cover the given ones; those beyond [`MOST_SPANS`], the latest, are left out.
    pub(crate) fn covering(spans: impl Iterator<Item = RangeInclusive<u64>>) -> Self {
        let mut spans: Vec<(u64, u64)> = spans.map(RangeInclusive::into_inner).collect();
        spans.sort_unstable();
        spans.dedup_by(|(from, to), (_, end)| {
            let meets = *from <= *end;
            if meets {
                *end = (*end).max(*to);
            }
            meets
        });
        spans.truncate(MOST_SPANS);
        Self(spans)
    }

    /// Whether a time lies in one of them.
    pub(crate) fn contain(&self, time: u64) -> bool {
        let behind = self.0.partition_point(|(from, _)| *from <= time);
        let last = behind.checked_sub(1).and_then(|last| self.0.get(last));
        last.is_some_and(|(_, to)| time <= *to)
    }
}

impl Board {
    /// A board for kinds of targets that want all processes with these task names.
    pub(crate) fn new(comms: Vec<&'static str>) -> Self {
        Self {
            comms,
            ..Self::default()
        }
    }

    /// The wanted task names.
    pub(crate) fn comms(&self) -> &[&'static str] {
        &self.comms
    }

    /// Sets the processes that are wanted beside those with the wanted task names.
    pub(crate) fn want(&self, wanted: WantedProcesses) {
        *lock(&self.wanted) = Arc::new(wanted);
    }

    /// The processes that are wanted beside those with the wanted task names.
    pub(crate) fn wanted(&self) -> Arc<WantedProcesses> {
        Arc::clone(&lock(&self.wanted))
    }

    /// Replaces the candidates.
    pub(crate) fn publish(&self, candidates: Vec<TargetCandidate>) {
        *lock(&self.candidates) = Arc::new(candidates);
    }

    /// Replaces the processes to ask.
    pub(crate) fn publish_scraped(&self, scraped: ScrapedProcesses) {
        *lock(&self.scraped) = scraped;
    }

    /// The processes to ask.
    pub(crate) fn scraped(&self) -> ScrapedProcesses {
        lock(&self.scraped).clone()
    }

    /// Whether a candidate has one of the wanted task names, or is an arbiter.
    pub(crate) fn has_wanted(&self) -> bool {
        let candidates = self.candidates();
        let mut named = candidates.iter();
        named.any(|one| matches!(one.wanted_by, WantedBy::Comm(_))) || !self.arbiters().is_empty()
    }

    /// Replaces the arbiters.
    pub(crate) fn publish_arbiters(&self, arbiters: Vec<ArbiterCandidate>) {
        *lock(&self.arbiters) = Arc::new(arbiters);
    }

    /// The arbiters as of the last pass.
    pub(crate) fn arbiters(&self) -> Arc<Vec<ArbiterCandidate>> {
        Arc::clone(&lock(&self.arbiters))
    }

    /// The candidates as of the last pass.
    pub(crate) fn candidates(&self) -> Arc<Vec<TargetCandidate>> {
        Arc::clone(&lock(&self.candidates))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn covering_spans_contain_just_the_moments_of_their_parts(
            spans in prop::collection::vec((0_u64..60, 0_u64..9), 0..12),
            time in 0_u64..70,
        ) {
            let spans: Vec<_> = spans.into_iter().map(|(from, long)| from..=from + long).collect();
            let covering = Spans::covering(spans.iter().cloned());
            prop_assert!(covering.0.is_sorted_by(|(_, end), (from, _)| end < from));
            prop_assert_eq!(covering.contain(time), spans.iter().any(|span| span.contains(&time)));
        }
    }

    #[test]
    fn spans_are_bounded() {
        let spans = Spans::covering((0..5_000).map(|n| 10 * n..=10 * n));
        assert_eq!((spans.0.len(), spans.contain(0)), (MOST_SPANS, true));
    }
}

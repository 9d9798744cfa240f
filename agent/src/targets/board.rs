//! The board between the state and the targets thread: which processes the kinds of targets want to know of, and what the state
//! knew of them after its last pass.
//!
//! Neither side waits for the other: each puts down a whole value and takes the last one of the other side.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::process::ProcessId;

/// Most processes that the targets thread may want by their ids.
pub(crate) const MOST_PIDS: usize = 16_384;

/// A live process that a kind of target wanted to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetCandidate {
    /// The process. Its identity must be checked again before anything is read of it.
    pub(crate) id: ProcessId,
    /// When it started, microseconds since the epoch.
    pub(crate) started_us: u64,
    /// The wanted task name that it has; `None` if it was wanted by its id only. Any program can choose such a name, so the name
    /// decides nothing.
    pub(crate) comm: Option<&'static str>,
    /// Its effective uid when the state read its facts; `None` if it was wanted by its id only.
    pub(crate) uid: Option<u32>,
    /// The name of its group; `None` if it is in none.
    pub(crate) group: Option<Arc<str>>,
}

/// Both sides hold the board in an `Arc`.
#[derive(Debug, Default)]
pub(crate) struct Board {
    comms: Vec<&'static str>,
    pids: Mutex<Arc<HashSet<u32>>>,
    candidates: Mutex<Arc<Vec<TargetCandidate>>>,
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

    /// Replaces the ids of the processes that are wanted beside those with the wanted task names, in the pid namespace of the
    /// agent's `/proc`. Ids beyond [`MOST_PIDS`] are left out.
    pub(crate) fn want(&self, pids: impl Iterator<Item = u32>) {
        *lock(&self.pids) = Arc::new(pids.take(MOST_PIDS).collect());
    }

    /// The processes that are wanted by their ids.
    pub(crate) fn pids(&self) -> Arc<HashSet<u32>> {
        Arc::clone(&lock(&self.pids))
    }

    /// Replaces the candidates.
    pub(crate) fn publish(&self, candidates: Vec<TargetCandidate>) {
        *lock(&self.candidates) = Arc::new(candidates);
    }

    /// Whether a candidate has one of the wanted task names.
    pub(crate) fn has_wanted(&self) -> bool {
        lock(&self.candidates).iter().any(|one| one.comm.is_some())
    }

    /// The candidates as of the last pass.
    pub(crate) fn candidates(&self) -> Arc<Vec<TargetCandidate>> {
        Arc::clone(&lock(&self.candidates))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

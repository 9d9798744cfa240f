//! A scrape: parts that do not wait for each other, joined by the deadline of the client.
//!
//! ```text
//!  state thread ------------(by the deadline)---+
//!  targets thread ----------(by the deadline)---+--> Joiner --> one exposition
//!  build and HTTP server (Joiner, always) ------+
//! ```
//!
//! In: the parts of the threads of state and targets, and the counts of the HTTP server. Out: the exposition of what arrived in
//! time; the collectors of a part that did not are marked as failed. It uses nothing that another thread holds, and reads no
//! file. Left to others: the deadline, and which requests share a part (`http/answers`).

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Instant, timeout_at};

use crate::collector::{
    Arrived, Assembler, CollectedPart, ReloadStatistics, RunOutcome, Runs, ServingStatistics, View,
};
use crate::state::BUILD;
use crate::state::handle::Unavailable;
use crate::targets::handle::{TargetsHandle, TargetsPart};
use crate::{group, process, source};

/// Awaits the parts of state and targets, both at the same time. A part that is not there by the deadline is `None`. Fails only
/// if the state thread has ended, at once.
pub(crate) async fn gather<S, T>(
    deadline: Instant,
    state: impl Future<Output = Result<S, Unavailable>>,
    targets: impl Future<Output = Option<T>>,
) -> Result<(Option<S>, Option<T>), Unavailable> {
    let state = async {
        match timeout_at(deadline, state).await {
            Ok(part) => part.map(Some),
            Err(_) => Ok(None),
        }
    };
    let targets = async { Ok(timeout_at(deadline, targets).await.ok().flatten()) };
    tokio::try_join!(state, targets)
}

/// The targets thread, as a scrape sees it.
#[derive(Debug, Clone)]
pub struct TargetsSource {
    handle: TargetsHandle,
    runs: Runs,
}

impl TargetsSource {
    /// Counts the runs of the kinds of targets in `runs`.
    pub const fn new(handle: TargetsHandle, runs: Runs) -> Self {
        Self { handle, runs }
    }

    /// Asks for a part, and counts the runs that made it. `None` if it is not there at `deadline`, or is longer than it may be.
    pub(crate) async fn part(&self, deadline: Instant) -> Option<Arc<TargetsPart>> {
        let part = self.handle.part(deadline).await?;
        for run in &part.runs {
            let outcome = match run.is_success {
                true => RunOutcome::Success,
                false => RunOutcome::Error,
            };
            self.runs.record(run.collector, outcome, run.duration);
        }
        let (bytes, most) = (part.part.bytes(), self.runs.most_target_bytes());
        if bytes > most {
            log::warn!("the families of targets take {bytes} bytes of {most}; leaving them out");
            return None;
        }
        Some(part)
    }
}

type Join = dyn Fn(Option<&CollectedPart>, Option<&TargetsPart>) -> Vec<u8> + Send + Sync;

/// Writes the part of the server and makes an exposition of it and of the parts that arrived. Does not block.
pub struct Joiner(Box<Join>);

impl Joiner {
    /// `serving` reads the counts of the HTTP server; `targets`: the collectors of the targets' part that are enabled.
    pub fn new(
        runs: &Runs,
        serving: impl Fn() -> ServingStatistics + Send + Sync + 'static,
        targets: &[&'static str],
    ) -> Self {
        // Collectors of its own, so that it never waits for the state thread's.
        let assembler = Mutex::new(Assembler::new(runs, targets));
        Self::made_by(move |state, targets| {
            let serving = serving();
            let mut assembler = assembler.lock().unwrap_or_else(PoisonError::into_inner);
            join(&mut assembler, &serving, state, targets)
        })
    }

    /// The expositions that `join` makes.
    pub fn made_by(
        join: impl Fn(Option<&CollectedPart>, Option<&TargetsPart>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(join))
    }

    /// The exposition of the parts that arrived, and of the server's.
    pub fn join(&self, state: Option<&CollectedPart>, targets: Option<&TargetsPart>) -> Vec<u8> {
        (self.0)(state, targets)
    }
}

impl fmt::Debug for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Joiner").finish_non_exhaustive()
    }
}

fn join(
    assembler: &mut Assembler,
    serving: &ServingStatistics,
    state: Option<&CollectedPart>,
    targets: Option<&TargetsPart>,
) -> Vec<u8> {
    let mut arrived = Arrived::default();
    if let Some(state) = state {
        arrived.add(state);
    }
    if let Some(targets) = targets {
        arrived.parts.push(&targets.part);
        let good = targets.runs.iter().filter(|run| run.is_success);
        arrived.succeeded.extend(good.map(|run| run.collector));
    }
    let view = View {
        groups: &[],
        processes: &process::TableStatistics::default(),
        source: &source::SourceStatistics::default(),
        group_statistics: &group::GroupStatistics::default(),
        gunicorn: None,
        serving,
        reloads: &ReloadStatistics::default(),
        sandbox: &[],
        build: &BUILD,
        boot_time_seconds: 0.0,
        log_lines_suppressed: 0,
    };
    assembler.exposition(&view, arrived)
}

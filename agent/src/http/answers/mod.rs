//! Gets answers from the state thread and the targets thread. Requests that ask at the same time share an answer, and requests
//! that need a pass wait for their turn.
//!
//! ```text
//!  request --+                       (one question of a kind at a time)
//!  request --+--> Answers::metrics --+--> Question::Metrics(reply) ----> the state thread ----+
//!  request --+         ^             +--> targets.rs ------------------> the targets thread --+
//!            +---------+---- the same exposition <---- joined.rs <---- the parts that arrived +
//! ```
//!
//! An answer never begins before the request that gets it: a scrape or a look for the page is shared by the requests
//! that arrived before it was asked for. Later requests wait until it ends and share the next one. Scrapes, looks and
//! lists of processes run one at a time, in the order that [`Passes`] grants. A scrape or look that no
//! client waits for when its turn comes is skipped. A state thread that hangs has at most one question of each kind in
//! its inbox.
//!
//! Left to others: the channel to the state thread, health and reload ([`Handle`]).

mod joined;
mod targets;

use std::sync::Arc;

use hyper::body::Bytes;
pub use joined::Exposition;
use joined::{SharedState, joined};
use targets::TargetQuestions;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::admission::{CpuClock, HttpCounters, Passes, Timeout, Unsent, Watch};
use crate::scrape::{Joiner, TargetsSource, gather};
use crate::state::handle::{Handle, Overview, Processes, Question, Shared, Unavailable};
use crate::targets::fan_in::handle::MergedAnswer;
use crate::targets::handle::TargetsPart;

/// Gets the answers of the state thread for requests. Clones share their answers.
#[derive(Debug, Clone)]
pub struct Answers {
    state: Handle,
    scrapes: Shared<Arc<SharedState>>,
    targets: Option<TargetQuestions>,
    overview: Shared<Arc<Overview>>,
    /// Allows one question for the processes of a group at a time: requests for other groups cannot share its answer.
    listing: Arc<Semaphore>,
    passes: Arc<Passes>,
    joiner: Arc<Joiner>,
    /// The memory of large answers of fan-in.
    merged: Arc<Unsent>,
    counters: Arc<HttpCounters>,
}

impl Answers {
    /// `targets`: `None` if no kind of target is enabled. `joiner`: makes expositions. `counters`: counts waiting and unread
    /// answers. `cpu`: measures the cost of a pass.
    pub fn new(
        state: Handle,
        targets: Option<TargetsSource>,
        joiner: Joiner,
        counters: &Arc<HttpCounters>,
        cpu: CpuClock,
    ) -> Self {
        let passes = Arc::new(Passes::new(Arc::clone(counters), cpu));
        let unsent = passes.unsent();
        Self {
            state,
            scrapes: Shared::default(),
            targets: targets.map(|source| TargetQuestions::new(source, Arc::clone(unsent))),
            overview: Shared::default(),
            listing: Arc::new(Semaphore::new(1)),
            passes,
            joiner: Arc::new(joiner),
            merged: Unsent::of_merged(Arc::clone(counters)),
            counters: Arc::clone(counters),
        }
    }

    /// The handle of the state thread: health and reload, which cost no turn.
    pub(super) const fn state(&self) -> &Handle {
        &self.state
    }

    /// The exposition of a scrape whose pass begins after this call, with the parts that arrive by `deadline`.
    pub async fn metrics(&self, deadline: Instant) -> Result<Arc<Exposition>, Unavailable> {
        let targets = async {
            match &self.targets {
                Some(targets) => targets.part(deadline).await,
                None => None,
            }
        };
        let (state, targets) = gather(deadline, self.state_part(), targets).await?;
        if state.is_none() {
            self.counters.count_timeout(Timeout::Owner);
        }
        let has_targets = self.targets.is_some();
        Ok(joined(
            state,
            targets,
            has_targets,
            &self.joiner,
            &self.passes,
        ))
    }

    /// The state's part of a scrape that begins after this call.
    async fn state_part(&self) -> Result<Arc<SharedState>, Unavailable> {
        let is_rare = self.passes.arrived();
        self.scrapes
            .answer(|open| {
                let (passes, state) = (Arc::clone(&self.passes), self.state.clone());
                async move {
                    let permit = passes.permit(is_rare).await;
                    // Requests that arrive from now on wait for the next scrape.
                    open.close()?;
                    let part = permit.pass(state.ask(Question::Metrics)).await?;
                    let memory = passes.unsent().reserve(part.part().bytes());
                    Ok(SharedState::new(part, memory))
                }
            })
            .await
    }

    /// The node and its groups, from a look that begins after this call.
    pub async fn overview(&self) -> Result<Arc<Overview>, Unavailable> {
        let is_rare = self.passes.arrived();
        self.overview
            .answer(|open| {
                let (passes, state) = (Arc::clone(&self.passes), self.state.clone());
                async move {
                    let permit = passes.permit(is_rare).await;
                    open.close()?;
                    permit.pass(state.ask(Question::Overview)).await
                }
            })
            .await
    }

    /// The processes of a group as the last look saw them; `None` if there is no such group. Requests run one after
    /// another.
    pub async fn processes(&self, group: u64) -> Result<Option<Processes>, Unavailable> {
        let is_rare = self.passes.arrived();
        let listing = Arc::clone(&self.listing).acquire_owned().await;
        let listing = listing.map_err(|_| Unavailable)?;
        let (passes, state) = (Arc::clone(&self.passes), self.state.clone());
        let asking = tokio::spawn(async move {
            let permit = passes.permit(is_rare).await;
            let asked = state.ask(|reply| Question::Processes(group, reply));
            let answer = permit.pass(asked).await;
            drop(listing);
            answer
        });
        asking.await.map_err(|_| Unavailable)?
    }

    /// The targets' part, which scrapes share; an empty one if no kind of target is enabled. `None` if it is not there at
    /// `deadline`.
    pub async fn targets(&self, deadline: Instant) -> Option<Arc<TargetsPart>> {
        let Some(targets) = &self.targets else {
            return Some(Arc::default());
        };
        let shared = timeout_at(deadline, targets.part(deadline)).await;
        Some(Arc::clone(&shared.ok()??.part))
    }

    /// Takes a large answer of fan-in, and counts it until it is sent; `None` if there is no room for it at `deadline`.
    pub(super) async fn hold_merged(
        &self,
        answer: MergedAnswer,
        deadline: Instant,
    ) -> Option<Bytes> {
        timeout_at(deadline, self.merged.room()).await.ok()?;
        Some(self.merged.hold(answer.take()))
    }

    /// Registers that the connection of `watch` sends `body`, until the returned clone is dropped.
    pub(super) fn lend(&self, body: Bytes, watch: &Arc<Watch>) -> Bytes {
        self.merged.lend(self.unsent().lend(body, watch), watch)
    }

    /// The memory of unread answers, but for large ones of fan-in.
    pub(super) fn unsent(&self) -> &Arc<Unsent> {
        self.passes.unsent()
    }
}

#[cfg(test)]
mod targets_tests;
#[cfg(test)]
mod tests;

//! The answers of the state thread: requests that ask at the same time share one, and those that cost a pass wait for
//! their turn.
//!
//! ```text
//!  request --+                        (one question of a kind at a time)
//!  request --+--> Answers::metrics ----> Question::Metrics(reply) ----> the state thread
//!  request --+         ^                                                    |
//!            +---------+---------------- the same answer <------------------+
//! ```
//!
//! An answer never begins before the request that gets it: a scrape or a look for the page is shared by the requests
//! that arrived before it was asked for. Later requests wait until it ends and share the next one. Scrapes, looks and
//! lists of processes run one at a time, in the order that [`Passes`] grants. A scrape or look that no
//! client waits for when its turn comes is skipped. A state thread that hangs has at most one question of each kind in
//! its inbox.
//!
//! Left to others: the channel to the state thread, health and reload ([`Handle`]).

use std::sync::{Arc, OnceLock};

use hyper::body::Bytes;
use tokio::sync::Semaphore;

use super::admission::{CpuClock, HttpCounters, Passes, Unsent};
use crate::state::handle::{Handle, Overview, Processes, Question, Shared, Unavailable};

/// Gets the answers of the state thread for requests. Clones share their answers.
#[derive(Debug, Clone)]
pub struct Answers {
    state: Handle,
    metrics: Shared<Arc<Exposition>>,
    overview: Shared<Arc<Overview>>,
    /// At most one question for the processes of a group is under way: requests for other groups cannot share its
    /// answer.
    listing: Arc<Semaphore>,
    passes: Arc<Passes>,
}

/// The exposition of one scrape, for all requests that share it.
#[derive(Debug)]
pub struct Exposition {
    plain: Bytes,
    packed: OnceLock<Option<Bytes>>,
}

impl Exposition {
    /// The uncompressed exposition.
    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// The exposition compressed with gzip. The first request that wants it compresses it. `None` if there is no
    /// memory for it.
    pub(super) fn packed(&self, answers: &Answers) -> Option<Bytes> {
        let pack = || answers.passes.pack(&self.plain);
        self.packed.get_or_init(pack).clone()
    }
}

impl Answers {
    /// `counters`: where waiting and unread answers are counted. `cpu`: measures what a pass costs.
    pub fn new(state: Handle, counters: &Arc<HttpCounters>, cpu: CpuClock) -> Self {
        Self {
            state,
            metrics: Shared::default(),
            overview: Shared::default(),
            listing: Arc::new(Semaphore::new(1)),
            passes: Arc::new(Passes::new(Arc::clone(counters), cpu)),
        }
    }

    /// The handle of the state thread: health and reload, which cost no turn.
    pub(super) const fn state(&self) -> &Handle {
        &self.state
    }

    /// The exposition of a scrape that begins after this call.
    pub async fn metrics(&self) -> Result<Arc<Exposition>, Unavailable> {
        let is_rare = self.passes.arrived();
        self.metrics
            .answer(|open| {
                let (passes, state) = (Arc::clone(&self.passes), self.state.clone());
                async move {
                    let permit = passes.permit(is_rare).await;
                    // Requests that arrive from now on wait for the next scrape.
                    open.close()?;
                    let body = permit.pass(state.ask(Question::Metrics)).await?;
                    Ok(Arc::new(Exposition {
                        plain: passes.unsent().hold(body),
                        packed: OnceLock::new(),
                    }))
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

    /// The memory of unread answers.
    pub(super) fn unsent(&self) -> &Arc<Unsent> {
        self.passes.unsent()
    }
}

#[cfg(test)]
mod tests;

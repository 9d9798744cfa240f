//! The targets' part of a scrape: requests that ask at the same time share one, and frequent ones wait for their turn.
//!
//! It does not wait for the state thread. Questions run one at a time and at their own pace, by the CPU time that the targets
//! thread reports. Unlike for a pass, requests that arrive while a question is under way join it: most of its time it waits for
//! other programs, and each of these is asked only once at a time.
//!
//! A question gives every target its full time, even if the client that caused it has less. Clients with less time have questions
//! of their own, so that they do not shorten the questions of other clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::joined::SharedTargets;
use crate::http::admission::{Pace, Unsent};
use crate::scrape::TargetsSource;
use crate::state::handle::{Shared, Unavailable};

/// Time of a question for requests that can wait for the slowest target (1 s), plus some time for the thread itself.
pub(super) const PATIENT: Duration = Duration::from_millis(1100);
/// Least time of a question for the other requests: enough for every healthy target.
pub(super) const HASTY: Duration = Duration::from_millis(250);

/// Gets the targets' part for requests. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct TargetQuestions {
    source: TargetsSource,
    patient: Shared<Arc<SharedTargets>>,
    hasty: Shared<Arc<SharedTargets>>,
    turns: Arc<Turns>,
}

/// The order and the pace of the questions.
#[derive(Debug)]
struct Turns {
    running: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
    unsent: Arc<Unsent>,
}

impl Turns {
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TargetQuestions {
    /// `unsent`: no question begins while there is no memory for another exposition.
    pub(super) fn new(source: TargetsSource, unsent: Arc<Unsent>) -> Self {
        Self {
            source,
            patient: Shared::default(),
            hasty: Shared::default(),
            turns: Arc::new(Turns {
                running: tokio::sync::Mutex::default(),
                pace: Mutex::default(),
                unsent,
            }),
        }
    }

    /// The targets' part for a request with this deadline. `None` if the thread did not answer in time.
    pub(super) async fn part(&self, deadline: Instant) -> Option<Arc<SharedTargets>> {
        let now = Instant::now();
        let is_rare = self.turns.pace().arrived(now);
        let (shared, least) = match deadline.saturating_duration_since(now) >= PATIENT {
            true => (&self.patient, PATIENT),
            false => (&self.hasty, HASTY),
        };
        let answer = shared.answer(|open| {
            let this = self.clone();
            async move {
                let part = this.ask(deadline, least, is_rare).await;
                drop(open);
                part.ok_or(Unavailable)
            }
        });
        answer.await.ok()
    }

    /// Waits for its turn, then asks until `deadline`, but for at least `least`.
    async fn ask(
        &self,
        deadline: Instant,
        least: Duration,
        is_rare: bool,
    ) -> Option<Arc<SharedTargets>> {
        let turns = &self.turns;
        let _running = turns.running.lock().await;
        let now = Instant::now();
        let begin = turns.pace().begin_at(now, is_rare);
        if begin > now {
            sleep_until(begin).await;
        }
        turns.unsent.room().await;
        let began = Instant::now();
        turns.pace().begun(began);
        let part = self.source.part(deadline.max(began + least)).await;
        let cpu = part.as_ref().map_or(Duration::ZERO, |part| part.cpu);
        turns.pace().ended(began, Instant::now(), cpu);
        part.map(|part| {
            let memory = turns.unsent.reserve(part.part.bytes());
            SharedTargets::new(part, memory)
        })
    }
}

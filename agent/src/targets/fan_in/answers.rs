//! Answers the questions for merged metrics, on the targets thread.
//!
//! ```text
//! question --+--> look up --> ask all instances --> merge (a thread of its own, at most 2) --> the answer to all that waited
//! question --+ joins an equal one that ends at about the same time
//! ```
//!
//! The agent asks instances until shortly before the deadline of the question, and merges the bodies that have arrived by then.
//! Memory is bounded: [`FanInAsker`] bounds the bodies of instances, [`LARGE_ANSWERS`] the answers that are being made, and the
//! HTTP thread the answers that clients are reading. A question that gets no room before its deadline gets no answer, and is
//! counted.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::uri::PathAndQuery;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::ask::{AskTerms, FanInAsker};
use super::broker::StoredPaths;
use super::exporters::ExporterQuestions;
use super::handle::{FanInQuestion, FanInReply, FanInRequest, MergedAnswer};
use super::merged::{Making, made};
use super::node::NodeProcesses;
use super::paths::AllowedPaths;
use super::sources::Sources;
use super::table::{FanInInstance, InstanceTable, WantedInstances};
use super::totals::{AnswerOutcome, FanInTotals};
use crate::config::FanInConfig;
use crate::host::{Host, thread_cpu_ns};
use crate::merge::{LabelConflict, MergeRules};
use crate::targets::board::Board;
use crate::targets::client::HostNames;

/// Merges at the same time. After each merge, its slot stays empty for as long as the CPU time of the merge, so merges use one
/// core at most.
const MERGES: usize = 2;
/// Large answers that are being made or wait for room in the HTTP thread. Further ones wait.
const LARGE_ANSWERS: usize = 2;
/// Most bytes of an answer that is not large. The number of such answers is bounded by the number of connections.
const SMALL: usize = 1 << 20;
/// Time between two checks whether the clients of a question are still connected.
const ABANDONED: Duration = Duration::from_millis(100);
/// A question shares the answer of an equal one that ends at most this much earlier.
const SHARED_WITHIN: Duration = Duration::from_secs(1);
/// Part of a question's time that is reserved for merging and sending: one divided by this.
const MARGIN: u32 = 10;
/// Least and most time reserved.
const LEAST_MARGIN: Duration = Duration::from_millis(50);
const MOST_MARGIN: Duration = Duration::from_secs(1);

/// The state that all questions share.
pub(crate) struct FanInAnswers {
    pub(super) sources: Rc<Sources>,
    /// The node's own processes, if an item has `scrape`.
    pub(super) processes: Option<Rc<NodeProcesses>>,
    /// The paths that the service broker has stored, if there is one.
    pub(super) stored: Option<StoredPaths>,
    config: FanInConfig,
    paths: AllowedPaths,
    asker: FanInAsker,
    merges: Arc<Semaphore>,
    large: Arc<Semaphore>,
    under_way: RefCell<Vec<UnderWay>>,
    pub(super) totals: RefCell<FanInTotals>,
}

/// A question that equal ones may join.
struct UnderWay {
    id: u64,
    request: FanInRequest,
    deadline: Instant,
    waiting: Vec<oneshot::Sender<FanInReply>>,
}

impl FanInAnswers {
    /// `names` resolves the hosts of instances and routers; `stored` are the paths of the service broker, if there is one.
    pub(crate) fn new(
        config: &FanInConfig,
        mut names: HostNames,
        host: &Host,
        board: &Arc<Board>,
        stored: Option<StoredPaths>,
    ) -> Self {
        names.reserve(config.hosts());
        let names = Rc::new(names);
        let processes = || Rc::new(NodeProcesses::new(host.clone(), Arc::clone(board)));
        let processes = config.asks_processes.then(processes);
        Self {
            sources: Rc::new(Sources::new(config, &names)),
            asker: FanInAsker::new(config, names, processes.clone()),
            processes,
            paths: AllowedPaths::new(&config.allowed_paths),
            stored,
            config: config.clone(),
            merges: Arc::new(Semaphore::new(MERGES)),
            large: Arc::new(Semaphore::new(LARGE_ANSWERS)),
            under_way: RefCell::default(),
            totals: RefCell::default(),
        }
    }

    /// Answers questions until the last handle is dropped. To be run in a `LocalSet`.
    pub(crate) async fn answer(self: Rc<Self>, mut questions: mpsc::Receiver<FanInQuestion>) {
        self.sources.listen();
        let mut id = 0;
        while let Some(question) = questions.recv().await {
            let Some(FanInQuestion {
                request,
                deadline,
                reply,
            }) = self.join(question)
            else {
                continue;
            };
            id += 1;
            self.under_way.borrow_mut().push(UnderWay {
                id,
                request: request.clone(),
                deadline,
                waiting: vec![reply],
            });
            let this = Rc::clone(&self);
            tokio::task::spawn_local(async move { this.settle(id, &request, deadline).await });
        }
    }

    /// Adds a question to an equal one that is under way, and shares its answer; returns the question if there is no equal one.
    fn join(&self, question: FanInQuestion) -> Option<FanInQuestion> {
        let mut under_way = self.under_way.borrow_mut();
        let equal = under_way.iter_mut().find(|one| {
            let later = question.deadline.checked_duration_since(one.deadline);
            one.request == question.request && later.is_some_and(|later| later <= SHARED_WITHIN)
        });
        match equal {
            Some(one) => {
                one.waiting.push(question.reply);
                self.totals.borrow_mut().count_shared();
                None
            }
            None => Some(question),
        }
    }

    /// Makes the answer to a question that is under way, and sends it to all its clients.
    async fn settle(&self, id: u64, request: &FanInRequest, deadline: Instant) {
        let reply = tokio::select! {
            reply = self.reply(id, request, deadline) => reply,
            () = self.abandoned(id) => None,
        };
        let outcome = match &reply {
            Some(FanInReply::Merged(_)) => AnswerOutcome::Merged,
            Some(FanInReply::NotFound) => AnswerOutcome::NotFound,
            Some(FanInReply::AllRefuse(_)) => AnswerOutcome::AllRefuse,
            Some(FanInReply::PathNotAllowed) => AnswerOutcome::PathNotAllowed,
            None => AnswerOutcome::Missed,
        };
        self.totals.borrow_mut().count_answer(outcome);
        let waiting = {
            let mut under_way = self.under_way.borrow_mut();
            let at = under_way.iter().position(|one| one.id == id);
            at.map(|at| under_way.swap_remove(at).waiting)
        };
        for one in waiting.into_iter().flatten() {
            if let Some(reply) = &reply {
                // The client may have disconnected.
                let _ = one.send(reply.clone());
            }
        }
    }

    /// The answer; `None` if it cannot be made in time, or all its clients have disconnected.
    async fn reply(
        &self,
        id: u64,
        request: &FanInRequest,
        deadline: Instant,
    ) -> Option<FanInReply> {
        let began = Instant::now();
        let end = end(began, deadline);
        self.sources.refresh(end).await;
        let table = self.sources.table();
        let mut instances = self.instances(&table, &request.wanted, end).await;
        // A request for all processes of the node succeeds even if no process is an instance, or no item has `scrape`: one job scrapes
        // all nodes.
        if instances.is_empty() && request.wanted != WantedInstances::Node {
            return Some(FanInReply::NotFound);
        }
        let wanted_path = request.metric_path.as_ref();
        let paths = self.paths.of_question(&table, wanted_path);
        let path_of = |one: &FanInInstance| paths.of(one, self.stored_path(one));
        if instances.iter().any(|one| path_of(one).is_none()) {
            return Some(FanInReply::PathNotAllowed);
        }
        let most = self.config.limits.instances;
        let mut left_out = instances.len().saturating_sub(most);
        instances.truncate(most);
        let exporters = match request.is_of_instances_only {
            true => &[],
            false => self.config.external_exporters.as_slice(),
        };
        let exporters = ExporterQuestions::of(exporters, &instances, most - instances.len());
        left_out += exporters.left_out;
        instances.extend(exporters.to_ask);
        let terms = |instance: &FanInInstance| AskTerms {
            may_authorize: self.may_authorize(instance),
            path: path_of(instance),
        };
        let mut asked = self.asker.ask_all(instances, request, terms, end).await;
        asked.extend(exporters.failed);
        self.totals
            .borrow_mut()
            .count_asked(&asked, began.elapsed());
        let mut statuses = asked.iter().map(|one| one.refusal());
        if let Some(Some(first)) = statuses.next()
            && statuses.all(|status| status.is_some())
        {
            return Some(FanInReply::AllRefuse(first));
        }
        let making = Making {
            asked,
            left_out,
            rules: MergeRules {
                label_conflict: match self.config.keeps_exported {
                    true => LabelConflict::Exported,
                    false => LabelConflict::Overwrite,
                },
                keeps_timestamps: false,
                most_bytes: self.config.limits.answer_bytes,
            },
            is_packed: request.is_packed,
        };
        let merging = self.merge(making, id);
        let merged = timeout_at(deadline, merging).await.ok().flatten()?;
        Some(FanInReply::Merged(merged))
    }

    /// The instances that a request wants. The table is searched first, and the node's processes only if it has none: a process
    /// may choose the name of its group, and must not take over a route.
    async fn instances(
        &self,
        table: &InstanceTable,
        wanted: &WantedInstances,
        end: Instant,
    ) -> Vec<Arc<FanInInstance>> {
        let instances = table.look_up(wanted, std::time::Instant::now());
        match &self.processes {
            Some(processes) if instances.is_empty() => {
                processes.refresh(end).await;
                processes.look_up(wanted)
            }
            _ => instances,
        }
    }

    /// Makes an answer in a thread of its own, as soon as the bounds have room for it.
    async fn merge(&self, making: Making, id: u64) -> Option<MergedAnswer> {
        // Neither semaphore is ever closed.
        let large = match making.expected_bytes() > SMALL {
            true => Arc::clone(&self.large).acquire_owned().await.ok(),
            false => None,
        };
        let merge = Arc::clone(&self.merges).acquire_owned().await.ok()?;
        if !self.is_awaited(id) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let merging = move || {
            let _merge = merge;
            paced(thread_cpu_ns, std::thread::sleep, || {
                let began = std::time::Instant::now();
                let made = made(making);
                // The receiver is gone if the answer is too late. Dropping the answer frees its room.
                let _ = sender.send((made, large, began.elapsed()));
            });
        };
        let thread = std::thread::Builder::new().name("headcount-merge".to_owned());
        if let Err(error) = thread.spawn(merging) {
            log::warn!("cannot start a thread that merges metrics: {error}");
            return None;
        }
        let (made, large, took) = receiver.await.ok()?;
        self.totals.borrow_mut().count_made(&made, took);
        Some(MergedAnswer::new(made.body.into(), large))
    }

    /// The path that the service broker has stored for the instance's application.
    fn stored_path(&self, instance: &FanInInstance) -> Option<PathAndQuery> {
        let path = self.stored.as_ref()?.path_of(&instance.application.id)?;
        path.parse().ok()
    }

    fn may_authorize(&self, instance: &FanInInstance) -> bool {
        let mut receivers = self.config.forward_authorization.iter();
        let may_application = receivers.any(|name| instance.application.is_called(name));
        may_application && instance.exporter.is_none()
    }

    /// Returns when all clients of a question have disconnected. Without this, a caller that connects and disconnects again and
    /// again would leave any number of questions running.
    async fn abandoned(&self, id: u64) {
        while self.is_awaited(id) {
            sleep(ABANDONED).await;
        }
    }

    fn is_awaited(&self, id: u64) -> bool {
        let under_way = self.under_way.borrow();
        let question = under_way.iter().find(|one| one.id == id);
        question.is_some_and(|one| one.waiting.iter().any(|reply| !reply.is_closed()))
    }
}

/// The time at which the agent stops asking instances.
fn end(now: Instant, deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(now);
    let margin = (left / MARGIN).clamp(LEAST_MARGIN, MOST_MARGIN);
    deadline.checked_sub(margin).unwrap_or(deadline)
}

/// Does `work`, and then pauses for as long as the work took by the clock of the thread.
fn paced(clock: impl Fn() -> u64, pause: impl FnOnce(Duration), work: impl FnOnce()) {
    let before = clock();
    work();
    pause(Duration::from_nanos(clock().saturating_sub(before)));
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn merge_is_followed_by_a_pause_of_its_cpu_time() {
        let (now, paused) = (Cell::new(7), Cell::new(Duration::ZERO));
        let work = || {
            assert_eq!(paused.get(), Duration::ZERO);
            now.set(now.get() + 1_000);
        };
        paced(|| now.get(), |time| paused.set(time), work);
        assert_eq!(paused.get(), Duration::from_nanos(1_000));
    }
}

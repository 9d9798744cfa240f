//! The interface of the targets thread to other threads: the question for its part of a scrape.
//!
//! In: the question, with a deadline. Out: the part, or nothing if the thread did not answer by then. On a node without targets,
//! no question is sent: the handle returns the last part again as long as no target can have appeared. Left to others: which
//! requests share a part, and how often one is made (`http/answers`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::board::Board;
use super::files::Stillness;
use crate::exposition::Part;

/// A question to all targets.
#[derive(Debug)]
pub struct TargetsQuestion {
    /// The thread answers before this time, with the answers that have arrived by then.
    pub deadline: Instant,
    /// Receives the part. Closed if no request waits for it any more.
    pub reply: oneshot::Sender<Arc<TargetsPart>>,
}

/// The part of the targets thread in one scrape.
#[derive(Debug, Default)]
pub struct TargetsPart {
    /// The families. They are at most an eighth of the largest exposition (`Runs::most_target_bytes`); a longer part is left out.
    pub part: Part,
    /// The same for the page.
    pub applications: Applications,
    /// One run for each enabled kind.
    pub runs: Vec<KindRun>,
    /// CPU time that the thread used for it.
    pub cpu: Duration,
    /// If no kind has found a target: the stillnesses that last as long as no kind can find one in its files.
    pub(crate) stillness: Option<Vec<Arc<Stillness>>>,
}

/// Most applications that the page shows; [`Applications::omitted`] counts the rest.
pub const MOST_APPLICATIONS: usize = 256;

/// The applications that targets run. The names are those in the answers of the targets: any text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applications {
    /// When the targets had answered: seconds on the clock that counts since the node booted.
    pub time: f64,
    /// Targets that were found, whether they answered or not.
    pub instances: u64,
    /// At most [`MOST_APPLICATIONS`], those with most requests that wait or are in progress first.
    pub rows: Vec<ApplicationRow>,
    /// Applications that are left out.
    pub omitted: u64,
}

/// One application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplicationRow {
    /// The value of the label `target`, unique in a scrape.
    pub instance: String,
    /// The user that owns the target: a name, or a uid in decimal.
    pub user: String,
    /// The name of the application, unique in the target.
    pub name: String,
    /// Requests that wait for one of its processes.
    pub waiting: u64,
    /// Requests in progress.
    pub busy: u64,
    /// Its processes, those that shut down included.
    pub processes: u64,
    /// Requests that were finished so far: a counter. `None` if unknown.
    pub requests: Option<u64>,
}

/// How one kind of target was asked and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRun {
    /// The name of the kind's collector.
    pub collector: &'static str,
    /// Whether its families are in the part. A target that does not answer is no failure.
    pub is_success: bool,
    /// From the question to the written families.
    pub duration: Duration,
}

/// Sends questions to the targets thread. Clones share the part that is kept.
#[derive(Debug, Clone)]
pub struct TargetsHandle {
    questions: mpsc::Sender<TargetsQuestion>,
    kinds: Vec<&'static str>,
    board: Arc<Board>,
    /// The last part, if no kind had found a target.
    bare: Arc<Mutex<Option<Arc<TargetsPart>>>>,
}

/// Creates a [`TargetsHandle`] and the receiver of its questions, which the targets thread reads. `kinds`: the names of the
/// collectors of all enabled kinds; `board`: where the state publishes.
pub(crate) fn channel(
    kinds: Vec<&'static str>,
    board: Arc<Board>,
) -> (TargetsHandle, mpsc::Receiver<TargetsQuestion>) {
    // If the targets thread hangs, at most one question waits in its inbox.
    let (questions, inbox) = mpsc::channel(1);
    let handle = TargetsHandle {
        questions,
        kinds,
        board,
        bare: Arc::default(),
    };
    (handle, inbox)
}

impl TargetsHandle {
    /// The names of the collectors of all enabled kinds.
    pub fn kinds(&self) -> &[&'static str] {
        &self.kinds
    }

    /// Asks for a part; `None` if it has not arrived by `deadline`.
    pub async fn part(&self, deadline: Instant) -> Option<Arc<TargetsPart>> {
        let bare = self.still_bare();
        if bare.is_some() {
            return bare;
        }
        let (reply, part) = oneshot::channel();
        let asked = async {
            let question = TargetsQuestion { deadline, reply };
            self.questions.send(question).await.ok()?;
            part.await.ok()
        };
        let part = timeout_at(deadline, asked).await.ok().flatten()?;
        self.keep(&part);
        Some(part)
    }

    /// The last part, if another question would have the same answer. Costs one system call, and does not block.
    fn still_bare(&self) -> Option<Arc<TargetsPart>> {
        let mut bare = self.bare.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |part: &TargetsPart| {
            let mut all = part.stillness.iter().flatten();
            all.all(|one| one.lasts()) && !self.board.has_wanted()
        };
        bare.take_if(|part| !lasts(part));
        bare.clone()
    }

    /// Keeps a part if no kind has found a target, with a CPU cost of 0 for its further uses.
    fn keep(&self, part: &TargetsPart) {
        if part.stillness.is_none() {
            return;
        }
        let runs = part.runs.iter().map(|run| KindRun {
            duration: Duration::ZERO,
            ..*run
        });
        let bare = TargetsPart {
            part: part.part.clone(),
            applications: part.applications.clone(),
            runs: runs.collect(),
            cpu: Duration::ZERO,
            stillness: part.stillness.clone(),
        };
        *self.bare.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(bare));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::process::ProcessId;
    use crate::targets::board::{TargetCandidate, WantedBy};
    use crate::targets::files::{Place, Rule, Watcher};

    /// The part of a round that found nothing below a folder.
    fn bare_part(folder: &Path) -> Arc<TargetsPart> {
        let watcher = Watcher::new();
        let mut look = watcher.part();
        let place = Place::trusted(folder).unwrap();
        place
            .watched(Path::new("."), Rule::Inside, &mut look)
            .unwrap();
        let run = KindRun {
            collector: "kind",
            is_success: true,
            duration: Duration::from_secs(1),
        };
        Arc::new(TargetsPart {
            part: Part::verbatim("none 0\n".to_owned()),
            runs: vec![run],
            cpu: Duration::from_secs(1),
            stillness: Some(vec![Arc::new(watcher.stillness([look]).unwrap())]),
            ..TargetsPart::default()
        })
    }

    fn candidate(comm: Option<&'static str>) -> TargetCandidate {
        TargetCandidate {
            id: ProcessId {
                tgid: 7,
                start_ns: 1,
            },
            started_us: 1,
            wanted_by: comm.map_or(WantedBy::Pid, WantedBy::Comm),
            group: None,
        }
    }

    /// Whether the handle asks the thread; if so, the thread answers with `part`.
    async fn is_asked(
        handle: &TargetsHandle,
        inbox: &mut mpsc::Receiver<TargetsQuestion>,
        part: &Arc<TargetsPart>,
    ) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        let asking = handle.part(deadline);
        let answering = async {
            let question = inbox.recv().await.unwrap();
            question.reply.send(Arc::clone(part)).unwrap();
            std::future::pending::<()>().await;
        };
        let given = tokio::select! {
            given = asking => given.unwrap(),
            () = answering => return false,
        };
        let is_asked = Arc::ptr_eq(&given, part);
        if !is_asked {
            assert_eq!(given.part.bytes(), part.part.bytes());
            assert_eq!(
                (given.cpu, given.runs[0].duration),
                (Duration::ZERO, Duration::ZERO)
            );
        }
        is_asked
    }

    #[tokio::test]
    async fn thread_is_not_asked_until_a_target_may_have_appeared() {
        let folder = tempfile::tempdir().unwrap();
        let board = Arc::<Board>::default();
        let (handle, mut inbox) = channel(vec!["kind"], Arc::clone(&board));
        let part = bare_part(folder.path());
        assert!(is_asked(&handle, &mut inbox, &part).await);
        for _ in 0..3 {
            assert!(!is_asked(&handle.clone(), &mut inbox, &part).await);
        }
        board.publish(vec![candidate(None)]);
        assert!(!is_asked(&handle, &mut inbox, &part).await, "a worker");
        board.publish(vec![candidate(Some("PassengerAgent"))]);
        assert!(is_asked(&handle, &mut inbox, &part).await);
        assert!(is_asked(&handle, &mut inbox, &part).await, "again");
        board.publish(Vec::new());
        assert!(!is_asked(&handle, &mut inbox, &part).await);
        std::fs::write(folder.path().join("new"), "").unwrap();
        assert!(is_asked(&handle, &mut inbox, &part).await);
    }

    #[tokio::test]
    async fn part_with_targets_is_asked_for_each_time() {
        let (handle, mut inbox) = channel(vec!["kind"], Arc::default());
        let part = Arc::<TargetsPart>::default();
        for _ in 0..3 {
            assert!(is_asked(&handle, &mut inbox, &part).await);
        }
    }
}

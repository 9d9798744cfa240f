//! The interface of the targets thread to other threads: the question for its part of a scrape.
//!
//! In: the question, with a deadline. Out: the part, or nothing if the thread did not answer by then. Left to others: which
//! requests share a part, and how often one is made (`http/answers`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::exposition::Part;

/// Asks all targets; the part that their answers make.
#[derive(Debug)]
pub struct TargetsQuestion {
    /// The thread answers before this, with what it has by then.
    pub deadline: Instant,
    /// Where the part goes. It is closed if no request waits for it any more.
    pub reply: oneshot::Sender<Arc<TargetsPart>>,
}

/// What the targets thread has to say in one scrape.
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
    /// Requests that were finished so far: a counter. `None` if it is not known.
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

/// Sends questions to the targets thread.
#[derive(Debug, Clone)]
pub struct TargetsHandle {
    questions: mpsc::Sender<TargetsQuestion>,
    kinds: Vec<&'static str>,
}

/// Creates a [`TargetsHandle`] and the receiver of its questions, which the targets thread reads. `kinds`: the names of the collectors of
/// all enabled kinds.
pub fn channel(kinds: Vec<&'static str>) -> (TargetsHandle, mpsc::Receiver<TargetsQuestion>) {
    // A thread that hangs has at most one question waiting.
    let (questions, inbox) = mpsc::channel(1);
    (TargetsHandle { questions, kinds }, inbox)
}

impl TargetsHandle {
    /// The names of the collectors of all enabled kinds.
    pub fn kinds(&self) -> &[&'static str] {
        &self.kinds
    }

    /// The part, asked for now; `None` if it is not there at `deadline`.
    pub async fn part(&self, deadline: Instant) -> Option<Arc<TargetsPart>> {
        let (reply, part) = oneshot::channel();
        let asked = async {
            let question = TargetsQuestion { deadline, reply };
            self.questions.send(question).await.ok()?;
            part.await.ok()
        };
        timeout_at(deadline, asked).await.ok().flatten()
    }
}

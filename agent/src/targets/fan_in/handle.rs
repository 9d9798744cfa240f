//! The interface of the fan-in to the HTTP thread: the question for the merged metrics of an application.
//!
//! In: what is wanted, and until when. Out: the body, or why there is none. Left to others: the instances, which the targets thread
//! knows, and the request's syntax (`http/fan_in.rs`).

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub(crate) use super::table::{WantedInstances, unescape};
use crate::targets::board::Board;

/// Age of a pass of the state up to which its processes serve questions.
const PASS_LASTS: Duration = Duration::from_secs(1);

/// What a request wants. Equal requests at about the same time share an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FanInRequest {
    pub(crate) wanted: WantedInstances,
    /// Where the metrics are, for instances whose source does not say, and of applications for which no path is stored; `None`: where the configuration says.
    pub(crate) metric_path: Option<PathAndQuery>,
    /// Whether external exporters are left out.
    pub(crate) is_of_instances_only: bool,
    /// Whether instances are asked for the text format only, not for OpenMetrics.
    pub(crate) is_plain_only: bool,
    /// The caller's header `Authorization`, for the applications that may receive it.
    pub(crate) authorization: Option<HeaderValue>,
    /// Whether the answer shall be compressed with gzip.
    pub(crate) is_packed: bool,
}

/// A request on its way to the targets thread.
#[derive(Debug)]
pub(crate) struct FanInQuestion {
    pub(crate) request: FanInRequest,
    /// The thread answers before this, with what it has by then.
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<FanInReply>,
}

/// The answer to a [`FanInRequest`].
#[derive(Debug, Clone)]
pub(crate) enum FanInReply {
    /// The merged metrics, compressed if the request wants it.
    Merged(MergedAnswer),
    /// The table has no instance for it.
    NotFound,
    /// All instances answer with a status of 4xx; this is that of the first one.
    AllRefuse(u16),
    /// The configuration does not allow `metric_path` for the application.
    PathNotAllowed,
}

/// A merged answer. Until it is taken, a large one keeps its place among those that are made.
#[derive(Debug, Clone)]
pub(crate) struct MergedAnswer {
    body: Bytes,
    /// `None` if it is not large.
    place: Option<Arc<OwnedSemaphorePermit>>,
}

impl MergedAnswer {
    /// `place`: that of a large answer.
    pub(super) fn new(body: Bytes, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            body,
            place: place.map(Arc::new),
        }
    }

    /// Whether the caller must have room for it before it takes it.
    pub(crate) const fn is_large(&self) -> bool {
        self.place.is_some()
    }

    /// The body. Its place is free when all that share the answer have taken it.
    pub(crate) fn take(self) -> Bytes {
        self.body
    }
}

/// Sends questions to the targets thread.
#[derive(Debug, Clone)]
pub struct FanInHandle {
    questions: mpsc::Sender<FanInQuestion>,
    /// Where the state publishes the node's own processes, if they are instances.
    processes: Option<Arc<Board>>,
}

/// Creates a [`FanInHandle`] and the receiver of its questions, which the targets thread reads. `processes`: where the state publishes
/// the node's own processes, if they are instances.
pub(crate) fn channel(
    processes: Option<Arc<Board>>,
) -> (FanInHandle, mpsc::Receiver<FanInQuestion>) {
    // A thread that hangs has at most one question waiting.
    let (questions, inbox) = mpsc::channel(1);
    let handle = FanInHandle {
        questions,
        processes,
    };
    (handle, inbox)
}

impl FanInHandle {
    /// Whether the state shall look for processes before the next question.
    pub(crate) fn wants_pass(&self) -> bool {
        let published = self.processes.as_ref().map(|board| board.scraped().at);
        published.is_some_and(|at| at.is_none_or(|at| at.elapsed() > PASS_LASTS))
    }

    /// Asks all instances; `None` if there is no answer at `deadline`.
    pub(crate) async fn ask(&self, request: FanInRequest, deadline: Instant) -> Option<FanInReply> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let question = FanInQuestion {
                request,
                deadline,
                reply,
            };
            self.questions.send(question).await.ok()?;
            answer.await.ok()
        };
        timeout_at(deadline, asked).await.ok().flatten()
    }
}

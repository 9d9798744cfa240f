//! The interface of the fan-in to the HTTP thread: the question for the merged metrics of an application.
//!
//! In: a request and its deadline. Out: the body, or the reason why there is none. Left to others: finding and asking instances
//! (the targets thread), and the request's syntax (`http/fan_in.rs`).

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub(crate) use super::table::{WantedInstances, unescape};
use crate::targets::board::Board;

/// The processes of a pass serve questions for this long.
const PASS_LASTS: Duration = Duration::from_secs(1);

/// The content of a request. Equal requests at about the same time share an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FanInRequest {
    pub(crate) wanted: WantedInstances,
    /// The path that the caller names. It holds for instances whose source states no path and whose application has no stored
    /// path; `None`: the path of the configuration holds.
    pub(crate) metric_path: Option<PathAndQuery>,
    /// Whether the answer leaves out external exporters.
    pub(crate) is_of_instances_only: bool,
    /// Whether instances are asked for the text format only, not for OpenMetrics.
    pub(crate) is_plain_only: bool,
    /// The caller's header `Authorization`, for the applications that may receive it.
    pub(crate) authorization: Option<HeaderValue>,
    /// Whether to compress the answer with gzip.
    pub(crate) is_packed: bool,
}

/// A request on its way to the targets thread.
#[derive(Debug)]
pub(crate) struct FanInQuestion {
    pub(crate) request: FanInRequest,
    /// The targets thread answers before this time, with the bodies that have arrived by then.
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<FanInReply>,
}

/// The answer to a [`FanInRequest`].
#[derive(Debug, Clone)]
pub(crate) enum FanInReply {
    /// The merged metrics, compressed if the request wants it.
    Merged(MergedAnswer),
    /// No instance matches the request.
    NotFound,
    /// All instances answered 4xx; the status of the first one.
    AllRefuse(u16),
    /// The configuration does not allow `metric_path` for the application.
    PathNotAllowed,
}

/// A merged answer. A large one keeps its slot among the large answers until it is taken.
#[derive(Debug, Clone)]
pub(crate) struct MergedAnswer {
    body: Bytes,
    /// The slot of a large answer.
    slot: Option<Arc<OwnedSemaphorePermit>>,
}

impl MergedAnswer {
    /// `slot`: the slot of a large answer.
    pub(super) fn new(body: Bytes, slot: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            body,
            slot: slot.map(Arc::new),
        }
    }

    /// Whether the caller must have room for the answer before it takes it.
    pub(crate) const fn is_large(&self) -> bool {
        self.slot.is_some()
    }

    /// The body. The slot is free when all requests that share the answer have taken it.
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
    // If the targets thread hangs, at most one question waits in its inbox.
    let (questions, inbox) = mpsc::channel(1);
    let handle = FanInHandle {
        questions,
        processes,
    };
    (handle, inbox)
}

impl FanInHandle {
    /// Whether the state must make a pass before the next question, because the last one is too old.
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

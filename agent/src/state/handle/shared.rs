//! One answer for all requests that ask the same question at the same time.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Unavailable;

type Answer<T> = Option<Result<T, Unavailable>>;

type UnderWay<T> = Arc<Mutex<Option<watch::Receiver<Answer<T>>>>>;

/// The question that new requests may still join, if there is one.
#[derive(Debug)]
pub(crate) struct Shared<T>(UnderWay<T>);

/// The right to join a question. Dropping it closes the question to further requests.
pub(crate) struct Open<T> {
    under_way: UnderWay<T>,
    answer: watch::Sender<Answer<T>>,
}

impl<T> Open<T> {
    /// Closes the question to further requests. Fails if all requests that shared it have given up.
    pub(crate) fn close(self) -> Result<(), Unavailable> {
        let answer = self.answer.clone();
        drop(self);
        (answer.receiver_count() > 0)
            .then_some(())
            .ok_or(Unavailable)
    }
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        *self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

// Implemented by hand: derived impls would require the same traits of `T`.
impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone + Send + Sync + 'static> Shared<T> {
    /// Joins the open question, or asks a new one; returns its answer.
    pub(crate) async fn answer<F>(
        &self,
        question: impl FnOnce(Open<T>) -> F,
    ) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, Unavailable>> + Send + 'static,
    {
        let mut answer = {
            let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*under_way {
                Some(answer) => answer.clone(),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    let question = question(Open {
                        under_way: Arc::clone(&self.0),
                        answer: sender.clone(),
                    });
                    tokio::spawn(async move {
                        let answer = question.await;
                        sender.send_replace(Some(answer));
                    });
                    under_way.insert(receiver).clone()
                }
            }
        };
        let answer = answer
            .wait_for(Option::is_some)
            .await
            .map_err(|_| Unavailable)?;
        answer.clone().unwrap_or(Err(Unavailable))
    }
}

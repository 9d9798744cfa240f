//! The data that all connections of the server share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::admission::{HttpCounters, Limits, Timeout};
use super::answers::Answers;
use super::broker::ServiceBroker;
use super::hosts::Hosts;
use super::web::Web;
use crate::state::handle::Unavailable;
use crate::targets::fan_in::handle::FanInHandle;

/// Everything that a request needs: settings, access, and where answers come from.
#[derive(Debug)]
pub struct Service {
    /// Path of the exposition; begins with a slash and equals no other path of the agent.
    pub telemetry_path: String,
    /// Whether a request can reload the configuration.
    pub can_reload: bool,
    /// Whether `/` serves the status page; otherwise it has links only.
    pub has_page: bool,
    /// Host names that requests for data may carry in `Host`.
    pub hosts: Hosts,
    /// Gets the answers of the threads of state and targets.
    pub answers: Answers,
    /// Asks the instances of applications; `None`: the paths for that do not exist.
    pub fan_in: Option<FanInHandle>,
    /// Stores paths of applications; `None`: its paths do not exist.
    pub broker: Option<ServiceBroker>,
    /// Sizes and times.
    pub limits: Limits,
    /// Where requests, timeouts and connections are counted.
    pub counters: Arc<HttpCounters>,
    /// TLS and passwords; `None`: every client that can connect may send requests.
    pub web: Option<Arc<Web>>,
}

impl Service {
    /// The answer of the state thread, or the reason in words if there is none within `limit`.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, String> {
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer.map_err(|unavailable| unavailable.to_string()),
            Err(_) => {
                self.counters.count_timeout(Timeout::Owner);
                Err(format!(
                    "the state thread did not answer within {} s",
                    limit.as_secs_f64()
                ))
            }
        }
    }
}

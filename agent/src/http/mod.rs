//! The HTTP server: routes, access control, and limits for each client.
//!
//! * `/metrics` (path configurable, any method): the exposition, compressed if the client accepts gzip. If the thread of the
//!   state, or that of the targets, does not answer within the client's time, the response has the other parts
//!   ([`crate::scrape`]).
//! * `/health` (GET, HEAD): JSON `{"status", "reasons"}`. 200, also while the agent starts or is degraded; 503 if the
//!   state thread does not answer in time.
//! * `/ready` (GET, HEAD): the same body, but 503 until the first pass over the processes is done.
//! * `/-/reload` (POST, PUT): reloads the configuration. 200 when that succeeded; 500 with the reason when it changed
//!   nothing; 403 unless reloading by request is enabled.
//! * `/v1/apps/...`, `/v2/apps/...` (GET): the merged metrics of all instances of an application, if `fan_in` is configured.
//! * `/broker/v2/...`: the service broker, if `fan_in` has one. It has credentials of its own.
//! * `/` (GET, HEAD): the status page, which has further paths of its own; links only if the page is disabled.
//! * Any other path: 404.
//!
//! Paths that show data of the node or change the agent (`/` with the page, `/api/*`, `/-/reload`) answer only
//! requests whose `Host` is an IP address or a name of this machine; [`Hosts`] does that check.
//!
//! ```text
//!  listener/ --> serve --> connection --> routes --+--> answers/ --> scrape: the threads of state and targets
//!                  |           |            |       +--> page/, reload --> answers/ --> the state thread
//!                  +------ admission/ ------+
//! ```
//!
//! In: listening sockets, [`Limits`], and [`Answers`], which gets the answers of the thread that owns the state. Out: responses
//! and [`HttpCounters`]. The header of `admission/` lists all limits, the answers to refused clients, and where each refusal is
//! counted.
//!
//! With a [`Web`] configuration, connections use TLS, requests need a password, or both. The TLS handshake and the
//! password check count towards the time limit of the request's header.
//!
//! Left to others: the content of the answers, which the state thread fills ([`crate::state::handle`]). Not supported:
//! HTTP/2 and access logs.

mod admission;
mod answers;
mod broker;
mod connection;
mod fan_in;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gzip;
mod hosts;
mod listener;
mod page;
mod reload;
mod reply;
mod routes;
mod serve;
mod service;
mod web;

pub use admission::{CpuClock, HttpCounters, Limits, Timeout};
pub use answers::{Answers, Exposition};
pub use broker::ServiceBroker;
pub use hosts::Hosts;
pub use listener::{BindError, Listener};
pub use serve::serve;
pub use service::Service;
pub use web::Web;

//! HTTP: who may ask what, and how long they may take.
//!
//! * `/metrics` (path configurable, any method): the exposition, compressed where the client takes gzip; where its owner does not answer in the
//!   time that the client has, what the [`Fallback`] knows
//! * `/health` (GET, HEAD): JSON `{"status", "reasons"}`, 200 also while starting or degraded; 503 where the owner does not answer in
//!   time
//! * `/ready` (GET, HEAD): the same, but 503 until the first pass is done
//! * `/-/reload` (POST, PUT): the configuration is read again; 200 when that is done, 500 with the reason where it changed
//!   nothing, 403 unless it is enabled
//! * `/` (GET, HEAD): the page for people, which has more paths of its own; where there is none, links
//! * anything else: 404
//!
//! What shows data to people or takes orders (`/` with the page, `/api/*`, `/-/reload`) answers only requests whose `Host` is an address or a
//! name of this machine, see [`Hosts`].
//!
//! In come listening sockets, [`Limits`] and the [`Owner`] of the state, who is asked by messages; out go responses and
//! [`Statistics`]. However a client behaves, it costs at most one of a bounded number of connections, for a bounded time.
//!
//! With a [`Web`] configuration connections are TLS, requests need a password, or both; the time of a handshake and of checking a
//! password is part of that for a request's header.
//!
//! Not here: what the pages say (whoever holds the other end of [`owner()`] fills [`Health`] and the body), HTTP/2, log lines
//! per request.

mod connection;
mod deadline;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gzip;
mod handshake;
mod hosts;
mod limits;
mod listener;
mod origin;
mod owner;
mod pace;
mod page;
mod passes;
mod phase;
mod reload;
mod respond;
mod serve;
mod slots;
mod statistics;
mod stream;
mod unsent;
mod web;

pub use deadline::Fallback;
pub use hosts::Hosts;
pub use hyper::body::Bytes;
pub use limits::Limits;
pub use listener::{BindError, Listener};
pub use owner::{CpuClock, Exposition, Health, Owner, Question, Status, Unavailable, owner};
pub use page::{
    GroupRow, MOST_GROUPS, MOST_PROCESSES, Overview, Placed, ProcessRow, Processes, Shown,
};
pub use respond::Site;
pub use serve::serve;
pub use statistics::{Statistics, Timeout};
pub use web::Web;

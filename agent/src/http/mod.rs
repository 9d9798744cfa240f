//! HTTP: who may ask what, and how long they may take.
//!
//! * `/metrics` (path configurable, any method): the exposition, compressed where the client takes gzip; 503 where its owner does not answer in time
//! * `/health` (GET, HEAD): JSON `{"status", "reasons"}`, 200 also while degraded; 503 where the owner does not answer in time
//! * `/` (GET, HEAD): a page with links to both
//! * anything else: 404
//!
//! In come a listening socket, [`Limits`] and the [`Owner`] of the state, who is asked by messages; out go responses and
//! [`Statistics`]. However a client behaves, it costs at most one of a bounded number of connections, for a bounded time.
//!
//! With a [`Web`] configuration connections are TLS, requests need a password, or both; the time of a handshake and of checking a
//! password is part of that for a request's header.
//!
//! Not here: what the pages say (whoever holds the other end of [`owner()`] fills [`Health`] and the body), HTTP/2, log lines
//! per request.

mod connection;
mod gzip;
mod handshake;
mod limits;
mod origin;
mod owner;
mod phase;
mod respond;
mod serve;
mod slots;
mod statistics;
mod stream;
mod web;

pub use hyper::body::Bytes;
pub use limits::Limits;
pub use owner::{Health, Owner, Question, Status, Unavailable, owner};
pub use respond::Site;
pub use serve::serve;
pub use statistics::{Statistics, Timeout};
pub use web::Web;

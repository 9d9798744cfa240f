//! Admission: the limits of connections and requests in number, time and memory. Every client holds a bounded number of
//! connections for a bounded time, and a client that exceeds the limits mostly delays or loses its own connections.
//!
//! ```text
//!  connection --> ConnectionSlots --> Watch: header time --> FairQueue --> Passes: one at a time, Pace --> Unsent --+
//!                 (one slot)           (handshake, request)  (password)    (state thread)                  (memory) |
//!                     ^                                                                                             |
//!                     +-- Watch: idle time <-- Watch: write time <-- response <-- time for the answer <-------------+
//! ```
//!
//! A connection and its requests pass these limits in this order. All numbers are in [`Limits`] unless named here.
//! [`HttpCounters`] holds the counts; the metrics begin with `headcount_`.
//!
//! 1. Connections (`slots.rs`): at most [`Limits::connections`] are open. A new connection evicts one of the client
//!    with most connections, which closes without a response (`http_connections_evicted_total`). If no connection may
//!    be evicted, the new one closes (`http_connections_rejected_total`). If the kernel gives no connection for lack of
//!    descriptors, one is evicted, too (`http_accept_errors_total`).
//! 2. Time for the request (`phase.rs`, `stream.rs`): TLS handshake, header and password check together take
//!    [`Limits::header`] at most, else the connection closes (`http_timeouts_total{phase="header"}`). A failed handshake
//!    closes it (`http_tls_handshake_failures_total`).
//! 3. Size of the request: a header with more bytes or lines than allowed gets 431, and an unreadable one 400
//!    (`http_requests_total`, like every response below). hyper checks these. Only the service broker reads bodies, within the time
//!    of step 2 and within a bound (413), after it has checked its password.
//! 4. Password (`fair_queue.rs`): hashes run one at a time, round-robin by [`ClientOrigin`], and only for passwords that
//!    were not verified before. A wrong password gets 401.
//! 5. The state thread (`passes.rs`, `pace.rs`): passes over the processes run one at a time, and wait while passes use
//!    too much CPU time (`passes_delayed_total`). Requests that wait for the same pass share it. Questions to the targets thread
//!    have a turn and a [`Pace`] of their own (`http/answers/targets.rs`).
//! 6. Memory of answers (`unsent.rs`): a pass, a question to the targets thread, or an answer for the page, waits while clients hold more than half of
//!    [`Limits::unsent_bytes`] in answers that they have not read. After 1 s the agent closes the connections that hold
//!    one of these answers (`http_unread_connections_closed_total`). Large answers of fan-in wait in the same way, once they are made, for
//!    half of [`Limits::merged_bytes`].
//! 7. Time for the answer (`deadline.rs`): a scrape waits in steps 5 and 6 for the client's own timeout at most, and never
//!    longer than [`Limits::scrape`]. Then it gets the parts that have arrived. Other requests get 503 after
//!    [`Limits::scrape`], or after [`Limits::health`] (`http_timeouts_total{phase="owner"}`). An answer for the page for
//!    which there is no memory gets 503 with `Retry-After`.
//! 8. Time for the response (`phase.rs`): the client reads it within [`Limits::write`], else the connection closes
//!    (`http_timeouts_total{phase="write"}`). A connection without a request closes after [`Limits::idle`], which is not
//!    counted.
//!
//! When the agent stops, open requests have [`Limits::drain`] to end; then their connections close.
//!
//! Left to others: the check of `Host`, which limits the data that a browser's page may read ([`Hosts`](super::Hosts)), and the
//! routes, which refuse methods and paths.

mod counters;
mod deadline;
mod fair_queue;
mod limits;
mod origin;
mod pace;
mod passes;
mod phase;
mod slots;
mod stream;
mod unsent;

pub use counters::{HttpCounters, Timeout};
pub(super) use deadline::scrape_time;
pub(super) use fair_queue::FairQueue;
pub use limits::Limits;
pub(super) use origin::ClientOrigin;
pub(super) use pace::Pace;
pub use passes::CpuClock;
pub(super) use passes::Passes;
pub(super) use phase::{ConnectionPhase, Watch};
pub(super) use slots::{ConnectionSlot, ConnectionSlots};
pub(super) use stream::Watched;
pub(super) use unsent::{Reservation, Unsent};

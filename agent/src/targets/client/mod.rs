//! Connections to targets: the only folder of the agent that connects to a socket.
//!
//! ```text
//!  O_PATH descriptor of a socket file ------------unix.rs--+
//!  host of an instance --names.rs--> addresses ----tcp.rs----+--> exchange.rs: HTTP/1.1, bounded --> the answer, or a Failure
//!  address of a NATS server -----------nats/-----> its messages, one at a time
//! ```
//!
//! In: the socket or address of a target, and a request. Out: the answer, or a [`Failure`](super::failure::Failure). Every target
//! is treated as hostile: heads, bodies and all bytes read for an answer are bounded, and memory grows only as bytes arrive. Only
//! [`connect`] can block the thread. A connection has no task of its own: dropping it, or the future of a question, closes the
//! socket.
//!
//! Left to others: the deadline (the caller drops the future), the choice of the socket or address, and the meaning of the body.

mod exchange;
mod names;
pub(super) mod nats;
mod redirect;
mod tcp;
mod tls;
mod unix;

pub(super) use exchange::of_io;
pub(crate) use names::HostNames;
pub(super) use nats::{NatsAddress, NatsConnection, NatsCredentials, NatsFault, NatsHeard};
pub(super) use tcp::{BodyRoom, InstanceReply, InstanceRequest, NoReply, get};
pub(super) use tls::{Authorities, InstanceTls};
pub(super) use unix::{Connection, TargetAnswer, basic_authorization, connect};

//! The counting of HTTP requests beside real servers: Gunicorn, Uvicorn and Granian of PyPI, Gunicorn, Puma and nginx of Debian.
//!
//! Needs root and a kernel that takes the programs of requests: `cargo xtask http`. A client of the test sends requests in every
//! shape that a server can take. Three counts must agree: the responses that the client has read, the server's access log,
//! and the lines that the application has written. Servers listen on the loopback interface, work in a temporary directory, and
//! are ended by process id.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // clippy takes only #[test] functions for tests

mod beside;
mod client;
mod control;
mod lives;
mod matrix;
mod overload;
mod server;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod watch;

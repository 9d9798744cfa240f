//! Headcount beside the real Phusion Passenger: its standalone server with applications in three languages, and its Apache module
//! with several applications, in every state that they have.
//!
//! Needs root, and Debian's packages: `cargo xtask passenger`. The truth is Passenger's own document, read from its socket before
//! and after a scrape by [`document`], which shares no code with the agent. Where both readings agree, each value of the scrape
//! must agree, too. Everything listens on the loopback interface or on Unix sockets below a temporary directory, and is ended by
//! process id.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod agreement;
mod apache;
mod app;
mod churn;
mod document;
mod facts;
mod home;
mod instance;
mod languages;
mod lives;
mod namespaces;
mod refused;
mod requests;
mod standalone;
mod states;
#[path = "../support/mod.rs"]
mod support;
mod users;

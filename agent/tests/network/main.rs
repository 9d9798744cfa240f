//! The network accounting beside real programs: curl and nginx, ab, iperf3, pgbench and PostgreSQL, as Debian has them.
//!
//! Needs root and a kernel that takes the network programs: `cargo xtask network`. The programs report the true numbers: in logs,
//! summaries, message formats. Where a program reports payload without its protocol, a [`relay`] between both ends counts the
//! rest. Servers listen on the loopback interface or in network namespaces of the test's own, work in a temporary directory, and
//! are ended by process id.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // clippy takes only #[test] functions for tests

mod bulk;
mod database;
mod names;
mod namespace;
mod nginx;
mod pods;
mod relay;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod veth;
mod web;

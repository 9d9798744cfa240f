//! The real binary from its first socket to its last request: its addresses, its answers in time, its end, and its messages
//! to systemd.
//!
//! A pass is held up where a test needs it under way: a file of the tree is a pipe until the test lets go of it.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod held;
mod listeners;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod timeout;

use support::agent::Launch;
use support::fake_proc::FakeProc;

/// A tree with one process.
fn tree() -> FakeProc {
    let tree = FakeProc::new(1_508_450_329);
    tree.process(5).write();
    tree
}

/// An agent on it of which nothing is worth a warning.
fn launch(tree: &FakeProc) -> Launch {
    Launch::on(tree).arg("-accounting=procfs")
}

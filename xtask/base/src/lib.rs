//! The base of `xtask` and of `xtask-measure`: what verbs of both use.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask talks to a person at a terminal"
)]

pub mod command;
pub mod debian;
pub mod http;
pub mod peer;
pub mod python;
pub mod setup;
pub mod workspace;

//! The live-kernel tests: the real agent on the kernel that runs, counting real processes.
//!
//! ```text
//! live [FILTER…]             runner.rs: the tests whose name holds one of the filters, one line each
//! live scenario NAME ARG…    scenario/: the small programs that the tests run and let the agent count
//! live, as process 1         guest.rs: init of an emulated machine: mounts, runs the tests, powers off
//! ```
//!
//! A test is a function that panics when something is wrong. It starts an agent (agent.rs) on a port of its own, runs programs
//! under names that nothing else on the machine has (program.rs), so that the agent's grouping by comm keeps them apart, and
//! waits until the exposition (exposition.rs) has the true values. The tolerances of each tier are in tier.rs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is test code: a surprise is a failed test, and the report is the output"
)]

mod agent;
mod balance;
mod bpf_calls;
mod exposition;
mod group;
mod guest;
mod kernel_objects;
mod limited;
mod process;
mod procfs;
mod program;
mod rights;
mod runner;
mod scenario;
mod surroundings;
mod tests;
mod tier;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = scenario::dispatch() {
        return code;
    }
    if std::process::id() == 1 {
        return guest::init();
    }
    runner::main()
}

//! The verbs `bench` and `soak`, which `cargo xtask` starts. Neither the tests nor a fresh clone build this package.
//!
//! In come a verb and its arguments; out come the output and the exit code of the verb.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask talks to a person at a terminal"
)]

mod bench;
mod soak;

use std::process::ExitCode;

use xtask_base::{command, http, peer, python, setup, workspace};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.split_first() {
        Some((verb, arguments)) if verb == "bench" => bench::main(arguments),
        Some((verb, arguments)) if verb == "soak" => soak::main(arguments),
        _ => Err(anyhow::anyhow!("expected bench or soak, not {words:?}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {}: {error:#}", words.first().map_or("", |verb| verb));
            ExitCode::FAILURE
        }
    }
}

//! `cargo xtask http [--short] [WORD...]`: tests the counting of HTTP requests beside real servers.
//!
//! In come words that pick tests by name; none picks all. `--short` is the form of CI: each shape of requests once. Out come
//! the figures of each test and the output of the test binary `requests`, which starts servers on the loopback interface and ends
//! all that it started. It receives the folder of a Python environment in `HEADCOUNT_PYTHON`, and how often each shape is sent in
//! `HEADCOUNT_ROUNDS`.

use anyhow::{Result, ensure};
use clap::Args;

use crate::{Words, command, python, setup, workspace};

/// So that all servers together send more than 100,000 responses.
const ROUNDS: &str = "8";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Send each shape of requests once, as in CI
    #[arg(long)]
    short: bool,
    #[command(flatten)]
    words: Words,
}

impl Arguments {
    /// The form of CI.
    pub(crate) fn short() -> Self {
        Self {
            short: true,
            words: Words::default(),
        }
    }
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    ensure!(
        setup::is_root(),
        "could not run: loading kernel programs needs root"
    );
    setup::ensure(setup::HTTP_SERVERS)?;
    let mut cargo = workspace::cargo_test("requests");
    cargo.env("HEADCOUNT_PYTHON", python::servers()?).env(
        "HEADCOUNT_ROUNDS",
        if arguments.short { "1" } else { ROUNDS },
    );
    // One test at a time, because each is a load; a user runs this for the figures.
    cargo
        .args(["--", "--test-threads=1", "--nocapture"])
        .args(&arguments.words.words);
    command::run(&mut cargo)
}

//! `cargo xtask http [--short] [WORD...]`: tests the counting of HTTP requests beside real servers.
//!
//! In come words that pick tests by name; none picks all. `--short` is the form of CI: each shape of requests once. Out come
//! the figures of each test and the output of the test binary `requests`, which starts servers on the loopback interface and ends
//! what it started. It receives the folder of a Python environment in `HEADCOUNT_PYTHON`, and how often each shape is sent in
//! `HEADCOUNT_ROUNDS`.

use anyhow::{Result, ensure};

use crate::{command, python, setup, workspace};

/// So that all servers together send more than 100,000 responses.
const ROUNDS: &str = "8";

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    ensure!(
        setup::is_root(),
        "could not run: loading kernel programs needs root"
    );
    let (short, words): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|word| *word == "--short");
    setup::ensure(setup::HTTP_SERVERS)?;
    let mut cargo = workspace::cargo_test("requests");
    cargo.env("HEADCOUNT_PYTHON", python::servers()?).env(
        "HEADCOUNT_ROUNDS",
        if short.is_empty() { ROUNDS } else { "1" },
    );
    // One test at a time, because each is a load; the figures are what a user runs this for.
    cargo
        .args(["--", "--test-threads=1", "--nocapture"])
        .args(words);
    command::run(&mut cargo)
}

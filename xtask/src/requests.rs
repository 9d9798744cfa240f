//! `cargo xtask http [--short] [WORD...]`: tests the counting of HTTP requests beside real servers.
//!
//! In come words that pick tests by name; none picks all. `--short` is the form of CI: each shape of requests once. Out come
//! the figures of each test and the output of the test binary `requests`, which starts servers on the loopback interface and ends
//! what it started. It receives the folder of a Python environment in `HEADCOUNT_PYTHON`, and how often each shape is sent in
//! `HEADCOUNT_ROUNDS`.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::{command, python, setup, workspace};

/// The servers of PyPI with all that they need.
const PINNED: &[&str] = &[
    "click==8.5.1",
    "gevent==26.9.0",
    "granian==2.8.9",
    "greenlet==3.5.6",
    "gunicorn==27.0.1",
    "h11==0.16.0",
    "httptools==0.9.0",
    "packaging==26.4",
    "uvicorn==0.54.0",
    "uvicorn-worker==0.4.0",
    "zope.event==6.2",
    "zope.interface==8.7",
];
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
    cargo.env("HEADCOUNT_PYTHON", python()?).env(
        "HEADCOUNT_ROUNDS",
        if short.is_empty() { ROUNDS } else { "1" },
    );
    // One test at a time, because each is a load; the figures are what a user runs this for.
    cargo
        .args(["--", "--test-threads=1", "--nocapture"])
        .args(words);
    command::run(&mut cargo)
}

/// The folder of an environment with the pinned packages.
pub(crate) fn python() -> Result<PathBuf> {
    python::environment(
        &workspace::target_dir().join("requests"),
        PINNED,
        "http: fetch Gunicorn, Uvicorn and Granian of PyPI, about 20 MB",
    )
}

//! `cargo xtask network [WORD...]`: tests the network accounting beside real programs: curl and nginx, ab, iperf3, pgbench and
//! PostgreSQL.
//!
//! In come words that pick tests by name; none picks all. Out come the figures of each test and the output of the test binary
//! `network`, which starts the servers on the loopback interface or in network namespaces of its own, and ends what it started.
//! All programs come from Debian.

use anyhow::{Result, ensure};

use crate::{command, setup, workspace};

pub(crate) fn main(words: &[String]) -> Result<()> {
    ensure!(
        setup::is_root(),
        "could not run: loading kernel programs and making network namespaces needs root"
    );
    setup::ensure(setup::NETWORK)?;
    let mut cargo = workspace::cargo_test("network");
    // One test at a time, because each is a load; a user runs this for the figures.
    cargo
        .args(["--", "--test-threads=1", "--nocapture"])
        .args(words);
    command::run(&mut cargo)
}

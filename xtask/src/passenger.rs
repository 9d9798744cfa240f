//! `cargo xtask passenger [WORD...]`: tests the agent beside the real Phusion Passenger.
//!
//! In come words that pick tests by name; none picks all. Out comes the output of the test binary `passenger`, which starts
//! Passenger's standalone server and its Apache module on the loopback interface, and ends all that it started. All programs come
//! from Debian.

use anyhow::{Result, ensure};

use crate::{command, setup, workspace};

pub(crate) fn main(words: &[String]) -> Result<()> {
    ensure!(
        setup::is_root(),
        "could not run: starting Passenger as other users and in other mount namespaces needs root"
    );
    setup::ensure(setup::PASSENGER)?;
    let mut cargo = workspace::cargo_test("passenger");
    // One test at a time: an agent sees the instances of all tests, and each has servers in three languages.
    cargo.args(["--", "--test-threads=1"]).args(words);
    command::run(&mut cargo)
}

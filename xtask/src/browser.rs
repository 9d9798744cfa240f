//! `cargo xtask browser`: the page for people in a headless Chromium.
//!
//! In: nothing. Out: that of the test binary `browser`, which starts `chromedriver` itself. Both programs are Debian's.

use anyhow::{Result, ensure};

use crate::{command, setup, workspace};

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    ensure!(
        arguments.is_empty(),
        "unknown arguments {arguments:?}: expected none"
    );
    setup::ensure(setup::BROWSER)?;
    let mut cargo = workspace::cargo_with_ebpf();
    // One browser at a time: each has ten processes.
    cargo
        .args(["test", "--package", "headcount", "--test", "browser"])
        .args(["--", "--test-threads=1"]);
    command::run(&mut cargo)
}

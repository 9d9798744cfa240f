//! `cargo xtask browser`: tests the agent's page in a headless Chromium.
//!
//! It takes no arguments. Its output is that of the test binary `browser`, which starts `chromedriver` itself. Both programs come
//! from Debian.

use anyhow::Result;

use crate::{command, setup, workspace};

pub(crate) fn main() -> Result<()> {
    setup::ensure(setup::BROWSER)?;
    let mut cargo = workspace::cargo_test("browser");
    // One browser at a time, because each has ten processes.
    cargo.args(["--", "--test-threads=1"]);
    command::run(&mut cargo)
}

//! `cargo xtask bench` and `cargo xtask soak`: builds the package `xtask-measure` and executes it, with the same arguments.

use std::os::unix::process::CommandExt as _;

use anyhow::Result;

use crate::workspace;

pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    execute("bench", arguments)
}

pub(crate) fn soak(arguments: &[String]) -> Result<()> {
    execute("soak", arguments)
}

/// Returns only if cargo does not start: cargo replaces this process, so Ctrl-C and the exit code are those of the verb.
fn execute(verb: &str, arguments: &[String]) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--quiet", "--package", "xtask-measure", "--", verb]);
    Err(cargo.args(arguments).exec().into())
}

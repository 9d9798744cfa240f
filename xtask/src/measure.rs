//! `cargo xtask bench`, `soak` and `scale`: builds the package `xtask-measure` and executes it, with the same arguments.

use std::os::unix::process::CommandExt as _;

use anyhow::Result;

use crate::workspace;

/// Returns only if cargo does not start: cargo replaces this process, so Ctrl-C and the exit code are those of the verb.
pub(crate) fn main(verb: &str, arguments: &[String]) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--quiet", "--package", "xtask-measure", "--", verb]);
    Err(cargo.args(arguments).exec().into())
}

//! `cargo xtask run`: sets up the tools, builds the release agent, and executes it.
//!
//! In come the agent's own arguments. The agent replaces this process, so Ctrl-C and the exit
//! code are those of the agent.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::{command, setup, workspace};

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let mut cargo = match setup::ensure(setup::KERNEL_PROGRAMS) {
        Ok(()) => workspace::cargo_with_ebpf(),
        Err(error) => {
            eprintln!("setup: {error:#}");
            eprintln!("setup: going on without kernel programs: counts come from /proc only");
            let mut cargo = workspace::cargo();
            cargo.env("HEADCOUNT_EBPF", "skip");
            cargo
        }
    };
    command::run(cargo.args(["build", "--release", "--package", "headcount"]))?;
    let agent = workspace::target_dir().join("release/headcount");
    let error = Command::new(&agent).args(arguments).exec();
    Err(anyhow!("start {}: {error}", agent.display()))
}

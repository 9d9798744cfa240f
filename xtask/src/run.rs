//! `cargo xtask run`: sets up the tools, builds the release agent, and executes it.
//!
//! In come the agent's own arguments, after two dashes or without them. The agent replaces this process, so Ctrl-C and the exit
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
    let error = Command::new(&agent).args(own(arguments)).exec();
    Err(anyhow!("start {}: {error}", agent.display()))
}

/// The agent's arguments. Users of cargo put two dashes in front; the agent does not accept them, so they are removed.
fn own(arguments: &[String]) -> &[String] {
    match arguments {
        [first, rest @ ..] if first == "--" => rest,
        all => all,
    }
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn two_dashes_in_front_are_not_the_agents() {
        let words = ["--", "-threads=false", "--"].map(str::to_owned);
        assert_eq!(own(&words), &words[1..]);
        assert_eq!(own(&words[1..]), &words[1..]);
    }
}

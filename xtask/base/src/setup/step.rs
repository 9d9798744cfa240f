//! One installation: its message, the rights that it needs, its commands, and the text to run them by hand.

use std::process::Command;

use anyhow::Result;

use super::apt;
use super::machine::Machine;
use crate::{command, workspace};

#[derive(Debug)]
pub(super) enum Step {
    /// `rustup` with these arguments.
    Rustup(&'static [&'static str]),
    /// A system package.
    Apt(String),
    /// A command that any user may run.
    Plain(&'static str, Box<Command>),
}

impl Step {
    pub(super) fn what(&self) -> String {
        match self {
            Self::Rustup(arguments) => format!("rustup {}", arguments.join(" ")),
            Self::Apt(package) => format!("install the system package {package}"),
            Self::Plain(what, _) => (*what).to_owned(),
        }
    }

    /// The reason why this machine or user cannot run it; `None` if it can.
    pub(super) fn obstacle(&self, machine: &Machine) -> Option<&'static str> {
        match self {
            Self::Rustup(_) if !machine.has_rustup => Some("rustup is not here"),
            Self::Apt(_) if !machine.has_apt => Some("system packages are not apt's here"),
            Self::Apt(_) if !machine.is_root => Some("only root may install system packages"),
            Self::Rustup(_) | Self::Apt(_) | Self::Plain(..) => None,
        }
    }

    /// The commands for a user to type.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Rustup(arguments) => command::show(&rustup(arguments)),
            Self::Apt(package) => apt::show(package),
            Self::Plain(_, command) => command::show(command),
        }
    }

    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Rustup(arguments) => command::run(&mut rustup(arguments)),
            Self::Apt(package) => apt::install(&package),
            Self::Plain(_, mut plain) => command::run(&mut plain),
        }
    }
}

/// rustup in the repository, so that it acts on the toolchain pinned there.
fn rustup(arguments: &[&str]) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(arguments).current_dir(workspace::root());
    rustup
}

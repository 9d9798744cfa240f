//! Installs Debian's system packages. The caller has checked that this process is root.

use std::process::Command;

use anyhow::Result;

use crate::command;

/// Installs a package; updates the package index only if it lacks the package.
pub(super) fn install(package: &str) -> Result<()> {
    // A fresh machine has no index, and an old index names files that the mirror no longer has.
    let known = command::works(Command::new("apt-cache").args(["show", package]));
    if known && command::run(&mut install_command(package)).is_ok() {
        return Ok(());
    }
    command::run(&mut update_command())?;
    command::run(&mut install_command(package))
}

/// The commands for a user to type.
pub(super) fn show(package: &str) -> String {
    format!("apt-get update && apt-get install -y --no-install-recommends {package}   # as root")
}

fn update_command() -> Command {
    let mut apt = apt_get();
    // A broken third-party suite must not end the set-up; the installation reports a missing package.
    apt.arg("update");
    apt
}

fn install_command(package: &str) -> Command {
    let mut apt = apt_get();
    apt.args(["install", "-y", "--no-install-recommends", "-qq", package]);
    apt
}

fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "Acquire::Retries=3"])
        .args(["-o", "DPkg::Lock::Timeout=300"]);
    apt
}

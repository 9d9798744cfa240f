//! Installs Debian's system packages, without starting their services. The caller has checked that this process is root.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// Debian's packages ask this program before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Its answer: no.
const FORBIDDEN: &str = "#!/bin/sh\nexit 101\n";

/// Installs a package; updates the package index only if it lacks the package.
pub(super) fn install(package: &str) -> Result<()> {
    let _policy = NoServices::begin()?;
    // A fresh machine has no index, and an old index names files that the mirror no longer has.
    let known = command::works(Command::new("apt-cache").args(["show", package]));
    let mut install = apt_get(&["install", "-y", "--no-install-recommends", "-qq", package]);
    if known && command::run(&mut install).is_ok() {
        return Ok(());
    }
    // A broken third-party suite must not end the set-up; the installation reports a missing package.
    command::run(&mut apt_get(&["update"]))?;
    command::run(&mut install)
}

/// While this lives, no installation starts a service. A policy that the machine has already stays as it is.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o755);
        match options.open(POLICY) {
            Ok(mut file) => {
                let policy = Self { is_ours: true };
                file.write_all(FORBIDDEN.as_bytes())
                    .with_context(|| format!("write {POLICY}"))?;
                Ok(policy)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { is_ours: false }),
            Err(error) => Err(error).with_context(|| format!("create {POLICY}")),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            // Without it, the machine is as before; a failure leaves a file that the next set-up takes for the machine's own.
            let _ = fs::remove_file(POLICY);
        }
    }
}

/// The commands for a user to type.
pub(super) fn show(package: &str) -> String {
    format!("apt-get update && apt-get install -y --no-install-recommends {package}   # as root")
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args("-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300".split(' '))
        .args(arguments);
    apt
}

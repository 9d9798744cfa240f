//! Fetches the programs to compare with: Debian's builds of ncabatoff/process-exporter and of prometheus/node_exporter.
//!
//! In come the program and a folder; out come a binary that runs on this machine, and its version. A binary that is already in
//! the folder is used as it is; nothing is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, debian};

/// A program, and the Debian package that has it.
#[derive(Debug)]
pub struct Package {
    name: &'static str,
    /// Approximate download size, shown to the user who waits for it.
    megabytes: u32,
}

pub const PROCESS_EXPORTER: Package = Package {
    name: "prometheus-process-exporter",
    megabytes: 4,
};

pub const NODE_EXPORTER: Package = Package {
    name: "prometheus-node-exporter",
    megabytes: 5,
};

/// Suites, newest first. A suite may be gone from the mirror, or its libc may be newer than this machine's.
const SUITES: &[&str] = &["sid", "trixie", "bookworm"];

#[derive(Debug)]
pub struct Peer {
    pub binary: PathBuf,
    pub version: String,
}

/// The newest build that runs on this machine.
pub fn fetch(package: &Package, folder: &Path) -> Result<Peer> {
    let mut last = None;
    for suite in SUITES {
        match from_suite(package, suite, &folder.join(suite)) {
            Ok(peer) => return Ok(peer),
            Err(error) => {
                last = Some(error.context(format!("{} of Debian's {suite}", package.name)))
            }
        }
    }
    Err(last.context("no suite")?)
}

/// A program that this machine has already, at the path that `variable` of the environment holds.
pub fn given(variable: &str) -> Result<Option<Peer>> {
    let Some(binary) = std::env::var_os(variable).map(PathBuf::from) else {
        return Ok(None);
    };
    // Some programs print their version on standard error.
    let mut shell = Command::new("sh");
    let output = command::read(shell.args(["-c", "\"$0\" --version 2>&1"]).arg(&binary))?;
    let version = version(&output).with_context(|| format!("no version in {output:?}"))?;
    Ok(Some(Peer {
        version: version.to_owned(),
        binary,
    }))
}

fn from_suite(package: &Package, suite: &str, folder: &Path) -> Result<Peer> {
    let Package { name, megabytes } = package;
    let file = format!("usr/bin/{name}");
    let binary = debian::fetch(folder, suite, &[name], *megabytes, &file)?;
    let output = command::read(Command::new(&binary).arg("--version"))?;
    let version = version(&output).with_context(|| format!("no version in {output:?}"))?;
    println!("peer: {name} {version} of Debian's {suite}");
    Ok(Peer {
        binary,
        version: format!("{version} (Debian {suite})"),
    })
}

/// Parses `process-exporter, version 0.8.7 (branch: …, revision: …)`; Debian's builds have no version there and their own at
/// `revision`.
fn version(output: &str) -> Option<&str> {
    let after = |key| {
        let (_, rest) = output.split_once(key)?;
        let word = rest.split([' ', ')', '\n']).next()?;
        (!word.is_empty()).then_some(word)
    };
    after(", version ").or_else(|| after("revision: "))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn version_is_found_at_one_of_two_places() {
        let output = "process-exporter, version 0.7.5 (branch: main, revision: 1)\n";
        assert_eq!(version(output), Some("0.7.5"));
        let output =
            "process-exporter, version  (branch: debian/sid, revision: 0.8.7-2)\n  build user: x\n";
        assert_eq!(version(output), Some("0.8.7-2"));
        assert_eq!(version("usage:"), None);
    }
}

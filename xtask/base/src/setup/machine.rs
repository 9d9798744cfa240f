//! Facts about this machine that the set-up needs: its compiler, and the rights of this process.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

#[derive(Debug)]
pub(super) struct Machine {
    /// Path of the pinned toolchain.
    pub(super) sysroot: PathBuf,
    /// Major version of the LLVM in rustc; bpf-linker must have the same.
    pub(super) llvm: u32,
    /// Path of that LLVM, installed or not.
    pub(super) llvm_prefix: PathBuf,
    pub(super) is_root: bool,
    pub(super) has_apt: bool,
    pub(super) has_rustup: bool,
}

impl Machine {
    pub(super) fn look() -> Result<Self> {
        let rustc = |arguments: &[&str]| {
            let mut rustc = Command::new("rustc");
            command::read(rustc.args(arguments).current_dir(workspace::root()))
        };
        let version = rustc(&["-vV"])?;
        let llvm = llvm_major(&version)
            .with_context(|| format!("rustc -vV names no LLVM version:\n{version}"))?;
        Ok(Self {
            sysroot: PathBuf::from(rustc(&["--print", "sysroot"])?.trim()),
            llvm,
            llvm_prefix: std::env::var_os("LLVM_PREFIX")
                .unwrap_or_else(|| format!("/usr/lib/llvm-{llvm}").into())
                .into(),
            is_root: is_root(),
            has_apt: command::works(Command::new("apt-get").arg("--version")),
            has_rustup: command::works(Command::new("rustup").arg("--version")),
        })
    }
}

/// Whether this process is root: the effective user owns /proc/self.
pub fn is_root() -> bool {
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|metadata| metadata.uid() == 0)
}

fn llvm_major(rustc_version: &str) -> Option<u32> {
    let mut lines = rustc_version.lines();
    let version = lines.find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn llvm_major_is_the_first_number_of_its_line() {
        let version = "rustc 1.95.0 (59807616e 2026-04-14)\nrelease: 1.95.0\nLLVM version: 22.1.2";
        assert_eq!(llvm_major(version), Some(22));
        assert_eq!(llvm_major("release: 1.95.0"), None);
    }
}

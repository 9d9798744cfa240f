//! Where things are: the repository, what cargo builds, the tools built for it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Where cargo builds; agent/build.rs reckons the same way.
pub(crate) fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Where tools are installed that the build needs and the user's home does not.
pub(crate) fn tools() -> PathBuf {
    target_dir().join("tools")
}

/// The cargo that runs us, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// A cargo that builds the agent: with the kernel programs or not at all, never silently without.
pub(crate) fn cargo_with_ebpf() -> Command {
    let mut cargo = cargo();
    cargo.env("HEADCOUNT_EBPF", "require");
    cargo
}

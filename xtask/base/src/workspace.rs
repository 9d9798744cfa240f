//! Paths of the repository, of cargo's build output, and of the tools for the build.

use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// The repository.
pub fn root() -> &'static Path {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    base.ancestors().nth(2).unwrap_or(base)
}

/// The folder where cargo builds; agent/build.rs finds it in the same way.
pub fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The folder of the tools that the build needs; they are not installed into the user's home.
pub fn tools() -> PathBuf {
    target_dir().join("tools")
}

/// Removes a folder with its content, if it exists.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes an empty folder, in the place of one that may exist.
pub fn empty(folder: &Path) -> Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder)
}

/// The files and folders in a folder, sorted by name.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// The cargo that runs this program, at the root of the repository.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// A cargo that builds the agent with the kernel programs, and fails if it cannot build them.
pub fn cargo_with_ebpf() -> Command {
    let mut cargo = cargo();
    cargo.env("HEADCOUNT_EBPF", "require");
    cargo
}

/// `cargo test` of one test binary of the agent. It names no package, as the stages that build everything name none: with other
/// packages, features and debug information of the dependencies are others, and most of them are compiled once more.
pub fn cargo_test(binary: &str) -> Command {
    let mut cargo = cargo_with_ebpf();
    cargo.args(["test", "--test", binary]);
    cargo
}

//! Builds the files of packages that are not in the repository: the static agent, the pages that are generated from its flags,
//! notices about the code of others in it, and changelogs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use super::release::NAME;
use super::{Release, notices};
use crate::target::Target;
use crate::{command, workspace};

/// Files that packages contain compressed, by `gzip -9n`: without a name and a time stamp.
const COMPRESSED: &[&str] = &[
    "headcount.1",
    "changelog",
    "changelog.Debian",
    "THIRD-PARTY",
];

/// Builds for `target` and returns a folder in `folder` with the files. The pages come from a build for this machine, because they
/// are the same for every target.
pub(super) fn build(target: &Target, release: &Release, folder: &Path) -> Result<PathBuf> {
    let built = folder.join(target.arch);
    workspace::empty(&built)?;
    let mut cargo = workspace::cargo_with_ebpf();
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", without_paths()?)
        .args(["build", "--release", "--locked", "--package", "headcount"])
        .args(["--bin", "headcount", "--target", target.triple]);
    command::run(&mut cargo)?;
    let agent = workspace::target_dir().join(target.triple);
    fs::copy(agent.join("release/headcount"), built.join(NAME))?;

    let mut cargo = workspace::cargo_with_ebpf();
    cargo
        .args(["run", "--quiet", "--locked", "--package", "headcount"])
        .args(["--example", "pages", "--"])
        .arg(&built)
        .arg(release.date("+%Y-%m-%d")?);
    command::run(&mut cargo)?;

    fs::copy(
        workspace::root().join("CHANGELOG.md"),
        built.join("changelog"),
    )?;
    fs::write(built.join("changelog.Debian"), release.debian_changelog()?)?;
    fs::write(built.join("THIRD-PARTY"), notices::notices(target)?)?;
    let mut gzip = Command::new("gzip");
    command::read(gzip.current_dir(&built).arg("-9n").args(COMPRESSED))?;
    Ok(built)
}

/// Flags for rustc that replace this machine's paths by paths that are the same everywhere: panics contain the paths of sources.
fn without_paths() -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let mut rustc = Command::new("rustc");
    let sysroot = rustc
        .current_dir(workspace::root())
        .args(["--print", "sysroot"]);
    let sysroot = PathBuf::from(command::read(sysroot)?.trim());
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let remapped = [
        remap(workspace::root(), "/headcount"),
        remap(&home, "/cargo"),
        remap(&sysroot.join("lib/rustlib/src/rust"), "/rust"),
    ];
    Ok(remapped.join("\x1f"))
}

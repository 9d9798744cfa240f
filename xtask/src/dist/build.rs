//! Builds the content of packages: the static agent, and the pages that are generated from its flags.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use super::{Release, notices};
use crate::target::Target;
use crate::{command, workspace};

#[derive(Debug)]
pub(super) struct Built {
    pub(super) agent: PathBuf,
    /// Folder of the manual page, the completions and the notices.
    pub(super) pages: PathBuf,
    pub(super) notices: PathBuf,
}

/// Builds for `target`. The pages come from a build for this machine, because they are the same for every target.
pub(super) fn build(target: &Target, release: &Release, folder: &Path) -> Result<Built> {
    let mut cargo = workspace::cargo_with_ebpf();
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", without_paths()?)
        .args(["build", "--release", "--locked", "--package", "headcount"])
        .args(["--bin", "headcount", "--target", target.triple]);
    command::run(&mut cargo)?;

    let pages = folder.join("pages");
    fs::create_dir_all(&pages)?;
    let mut cargo = workspace::cargo_with_ebpf();
    cargo
        .args(["run", "--quiet", "--locked", "--package", "headcount"])
        .args(["--example", "pages", "--"])
        .arg(&pages)
        .arg(release.date("+%Y-%m-%d")?);
    command::run(&mut cargo)?;
    let notices = pages.join(format!("third-party-{}", target.arch));
    fs::write(&notices, notices::notices(target)?)?;
    let agent = workspace::target_dir().join(target.triple);
    Ok(Built {
        agent: agent.join("release/headcount"),
        pages,
        notices,
    })
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

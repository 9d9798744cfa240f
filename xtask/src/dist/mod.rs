//! `cargo xtask dist [--target TRIPLE]...`: builds the release files for users.
//!
//! In come target triples. Out come, for each, a static binary in a tarball, a `.deb`
//! and an `.rpm`, in `target/dist`, with the checksums of all files there in `SHA256SUMS`.
//!
//! The content of a package is one table, `deploy/nfpm.yaml`. The same commit gives the same bytes: every time stamp is that of the
//! commit (or `SOURCE_DATE_EPOCH`), all files belong to root, and no path of this machine is in the binary. `dist` writes each
//! package twice and fails if the bytes differ.

mod build;
mod notices;
mod package;
mod release;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use fs_err as fs;
pub(crate) use release::Release;

use crate::target::{AMD64, Target, Targets};
use crate::{command, setup, workspace};

pub(crate) fn main(targets: &Targets) -> Result<()> {
    let folder = workspace::target_dir().join("dist");
    workspace::empty(&folder)?; // packages of another version would be in `SHA256SUMS`
    let release = Release::of_commit()?;
    setup::ensure(setup::PACKAGES)?;
    for target in &targets.targets {
        setup::ensure(target.requirements)?;
        let built = build::build(target, &release, &folder)?;
        write(target, &release, &built, &folder)?;
        let sums = sums(&folder)?;
        write(target, &release, &built, &folder)?;
        let again = self::sums(&folder)?;
        ensure!(
            sums == again,
            "one build gave different packages:\n{sums}{again}"
        );
    }
    let sums = sums(&folder)?;
    fs::write(folder.join("SHA256SUMS"), &sums)?;
    println!("dist: in {}\n{}", folder.display(), sums.trim_end());
    Ok(())
}

fn write(target: &Target, release: &Release, built: &Path, folder: &Path) -> Result<()> {
    package::tarball(target, release, built, folder)?;
    package::write("deb", target, release, built, folder)?;
    package::write("rpm", target, release, built, folder)
}

/// Builds the `.deb` of a release, for tests of the package.
pub(crate) fn debian_package(release: &Release, folder: &Path) -> Result<PathBuf> {
    let target = AMD64;
    setup::ensure(setup::PACKAGES)?;
    setup::ensure(target.requirements)?;
    let built = build::build(target, release, folder)?;
    package::write("deb", target, release, &built, folder)?;
    let version = release.debian_version();
    Ok(folder.join(format!("headcount_{version}_{}.deb", target.debian_arch)))
}

/// The checksums of the files in a folder.
fn sums(folder: &Path) -> Result<String> {
    let files = workspace::entries(folder)?
        .into_iter()
        .filter(|path| path.is_file());
    let names: Vec<OsString> = files
        .filter_map(|path| path.file_name().map(ToOwned::to_owned))
        .collect();
    let mut sha256sum = Command::new("sha256sum");
    command::read(sha256sum.current_dir(folder).args(&names))
}

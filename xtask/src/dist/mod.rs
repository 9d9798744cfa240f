//! `cargo xtask dist [--target TRIPLE]...`: builds the release files for users.
//!
//! In come target triples. Out come, for each, a static binary in a tarball, a `.deb`
//! and an `.rpm`, in `target/dist`, with the checksums of all files there in `SHA256SUMS`.
//!
//! The content of a package is one table, [`contents`]. The same commit gives the same bytes: every time stamp is that of the
//! commit (or `SOURCE_DATE_EPOCH`), all files belong to root, and no path of this machine is in the binary.

mod build;
mod contents;
mod deb;
mod notices;
mod release;
mod rpm;
mod tarball;

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use contents::File;
use fs_err as fs;
pub(crate) use release::Release;

use crate::target::{AMD64, Targets};
use crate::{command, setup, workspace};

pub(crate) fn main(targets: &Targets) -> Result<()> {
    let folder = workspace::target_dir().join("dist");
    workspace::empty(&folder)?; // packages of another version would be in `SHA256SUMS`
    let release = Release::of_commit()?;
    setup::ensure(setup::PACKAGES)?;
    for target in &targets.targets {
        setup::ensure(target.requirements)?;
        let built = build::build(target, &release, &folder)?;
        tarball::write(target, &release, &built, &folder)?;
        deb::write(target, &release, &built, &folder)?;
        rpm::write(target, &release, &built, &folder)?;
    }
    sum(&folder)
}

/// Builds the `.deb` of a release, for tests of the package.
pub(crate) fn debian_package(release: &Release, folder: &Path) -> Result<PathBuf> {
    let target = AMD64;
    setup::ensure(setup::PACKAGES)?;
    setup::ensure(target.requirements)?;
    let built = build::build(target, release, folder)?;
    deb::write(target, release, &built, folder)
}

/// Lays the files below `root` as on an installed machine, with permissions, but without owners.
fn stage(files: &[File], root: &Path) -> Result<()> {
    for file in files {
        let path = root.join(file.path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, &file.bytes)?;
        chmod(&path, file.mode())?;
    }
    Ok(())
}

fn chmod(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

fn sum(folder: &Path) -> Result<()> {
    let files = workspace::entries(folder)?
        .into_iter()
        .filter(|path| path.is_file());
    let names: Vec<OsString> = files
        .filter_map(|path| path.file_name().map(ToOwned::to_owned))
        .collect();
    ensure!(
        !names.is_empty(),
        "nothing was written to {}",
        folder.display()
    );
    let mut sha256sum = Command::new("sha256sum");
    let sums = command::read(sha256sum.current_dir(folder).args(&names))?;
    fs::write(folder.join("SHA256SUMS"), &sums)?;
    println!("dist: in {}\n{}", folder.display(), sums.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use build::Built;

    use super::*;

    /// Takes the place of a build, which takes minutes.
    fn built(folder: &Path) -> Built {
        let pages = folder.join("pages");
        fs::create_dir_all(&pages).expect("a folder for the pages");
        for name in [
            "headcount.1",
            "headcount.bash",
            "headcount.fish",
            "_headcount",
        ] {
            fs::write(pages.join(name), name).expect("a page");
        }
        let agent = folder.join("headcount");
        fs::write(&agent, "\x7fELF").expect("an agent");
        let notices = folder.join("notices");
        fs::write(&notices, "notices").expect("notices");
        Built {
            agent,
            pages,
            notices,
        }
    }

    fn packages(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let (target, release) = (AMD64, Release::of_test());
        workspace::empty(folder).expect("an empty folder");
        let built = built(folder);
        tarball::write(target, &release, &built, folder).expect("a tarball");
        deb::write(target, &release, &built, folder).expect("a .deb");
        rpm::write(target, &release, &built, folder).expect("an .rpm");
        let is_package = |name: &str| name.contains("1.2.3");
        let files = workspace::entries(folder).expect("the folder").into_iter();
        let named = files.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
        named
            .filter(|(name, path)| is_package(name) && path.is_file())
            .map(|(name, path)| (name, fs::read(path).expect("a package")))
            .collect()
    }

    #[test]
    fn same_commit_gives_the_same_bytes() {
        let folder = std::env::temp_dir().join(format!("headcount-dist-{}", std::process::id()));
        let first = packages(&folder.join("one"));
        let second = packages(&folder.join("another"));
        fs::remove_dir_all(&folder).expect("the folder goes");
        assert_eq!(first.len(), 3);
        for (one, other) in first.iter().zip(&second) {
            assert!(one == other, "{} differs", one.0);
        }
    }
}

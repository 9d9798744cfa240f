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

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use contents::File;
pub(crate) use release::Release;

use crate::target::{AMD64, Targets};
use crate::{command, setup, workspace};

pub(crate) fn main(targets: &Targets) -> Result<()> {
    let folder = workspace::target_dir().join("dist");
    clear(&folder)?;
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

/// Removes old packages: those of another version would be in `SHA256SUMS`.
fn clear(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => create(folder),
    }
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))
}

fn write_file(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// Lays the files below `root` as on an installed machine, with permissions, but without owners.
fn stage(files: &[File], root: &Path) -> Result<()> {
    for file in files {
        let path = root.join(file.path.trim_start_matches('/'));
        create(path.parent().unwrap_or(root))?;
        write_file(&path, &file.bytes)?;
        chmod(&path, file.mode())?;
    }
    Ok(())
}

fn chmod(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("change the mode of {}", path.display()))
}

fn sum(folder: &Path) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ensure!(
        !names.is_empty(),
        "nothing was written to {}",
        folder.display()
    );
    names.sort();
    let mut sha256sum = Command::new("sha256sum");
    let sums = command::read(sha256sum.current_dir(folder).args(&names))?;
    write_file(&folder.join("SHA256SUMS"), &sums)?;
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
        create(&pages).expect("a folder for the pages");
        for name in [
            "headcount.1",
            "headcount.bash",
            "headcount.fish",
            "_headcount",
        ] {
            write_file(&pages.join(name), name).expect("a page");
        }
        let agent = folder.join("headcount");
        write_file(&agent, "\x7fELF").expect("an agent");
        let notices = folder.join("notices");
        write_file(&notices, "notices").expect("notices");
        Built {
            agent,
            pages,
            notices,
        }
    }

    fn packages(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let (target, release) = (AMD64, Release::of_test());
        clear(folder).expect("an empty folder");
        let built = built(folder);
        tarball::write(target, &release, &built, folder).expect("a tarball");
        deb::write(target, &release, &built, folder).expect("a .deb");
        rpm::write(target, &release, &built, folder).expect("an .rpm");
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .expect("the folder")
            .flatten()
            .filter(|entry| {
                entry.path().is_file() && entry.file_name().to_string_lossy().contains("1.2.3")
            })
            .map(|entry| {
                (
                    entry.file_name().to_string_lossy().into_owned(),
                    read_file(&entry.path()),
                )
            })
            .map(|(name, bytes)| (name, bytes.expect("a package")))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn the_same_commit_gives_the_same_bytes() {
        let folder = std::env::temp_dir().join(format!("headcount-dist-{}", std::process::id()));
        let first = packages(&folder.join("one"));
        let second = packages(&folder.join("another"));
        std::fs::remove_dir_all(&folder).expect("the folder goes");
        assert_eq!(first.len(), 3);
        for (one, other) in first.iter().zip(&second) {
            assert!(one == other, "{} differs", one.0);
        }
    }
}

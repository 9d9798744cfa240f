//! Makes a small Debian as an archive that a kernel unpacks.
//!
//! In comes a folder; out comes an archive in it. One that is already there with the same packages is used as it is: to get a newer
//! one, remove it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use crate::{command, debian, workspace};

/// The oldest suite whose systemd knows every setting of the unit.
const SUITE: &str = "bookworm";
/// Packages beyond the essential ones. The agent asks the real Passenger, which runs `ps`.
const PACKAGES: &str = "systemd,systemd-sysv,passenger,ruby-rack,procps";
/// Files that the tests do not need and that would slow the boot down.
const DROPPED: &[&str] = &[
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
];
/// With a machine id, systemd takes no boot for the first one and asks no questions.
const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";

pub(super) fn base(folder: &Path) -> Result<PathBuf> {
    let archive = folder.join(format!("{}.cpio", PACKAGES.replace(',', "-")));
    if archive.exists() {
        return Ok(archive);
    }
    println!("service: fetch a small Debian, about 90 MB");
    let root = folder.join("root");
    workspace::empty(&root)?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .arg("--variant=minbase")
        .arg(format!("--include={PACKAGES}"))
        .arg(SUITE)
        .arg(&root)
        .arg(debian::mirror()?);
    command::read(&mut debootstrap)?;
    for path in DROPPED {
        workspace::remove(&root.join(path))?;
    }
    let machine_id = root.join("etc/machine-id");
    fs::write(&machine_id, MACHINE_ID)?;
    // The archive gets its name only when it is complete.
    let unfinished = folder.join("base.unfinished");
    let pack = "find . -print0 | cpio --null --create --format=newc --quiet --file \"$0\"";
    command::read(
        Command::new("sh")
            .current_dir(&root)
            .args(["-c", pack])
            .arg(&unfinished),
    )?;
    fs::rename(&unfinished, &archive)?;
    workspace::remove(&root)?;
    Ok(archive)
}

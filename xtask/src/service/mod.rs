//! `cargo xtask service [kernel]...`: tests the Debian package on a machine with systemd, from its installation to its purge.
//!
//! In come kernels for amd64 from the table of `vm`. Out come each machine's console, on the terminal and in
//! `target/service/<kernel>.log`, and success only if every step of `guest.sh` passed.
//!
//! A machine is a Debian kernel and a small Debian, in memory only, without disk and network. It needs root, because debootstrap
//! does.

mod debian;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use fs_err::{self as fs, File};

use crate::dist::{self, Release};
use crate::vm::cpio::Archive;
use crate::vm::kernel::{self, Kernel};
use crate::vm::machine::{self, Outcome};
use crate::{command, setup, workspace};

const STEPS: &str = include_str!("guest.sh");
/// The unit that runs the steps, after everything that services need by default. Its output goes to the console, which this
/// program reads.
const UNIT: &str = "[Unit]\nRequires=basic.target\nAfter=basic.target\n\n[Service]\nType=oneshot\n\
    StandardOutput=file:/dev/ttyS0\nStandardError=inherit\n\
    ExecStart=/bin/bash /selftest/steps.sh /selftest/old.deb /selftest/new.deb\n";
/// A process cannot leave the kernel's first root with pivot_root, which every service with a mount namespace needs; so init
/// copies it.
const INIT: &str = "#!/bin/sh\nmount -t tmpfs -o mode=755 tmpfs /mnt && cp -ax /. /mnt && \
    exec switch_root /mnt /sbin/init\n";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Kernels of the machines
    // It has fentry on every function with a hook, and the emulator of the same Debian release has never failed on it.
    #[arg(default_value = "6.1", value_parser = kernel::names())]
    kernels: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let kernels = kernel::choose(&arguments.kernels);
    ensure!(setup::is_root(), "debootstrap needs root");
    setup::ensure(setup::SYSTEMD_MACHINES)?;
    let folder = workspace::target_dir().join("service");
    let base = debian::base(&folder)?;
    let packages = packages(&folder)?;
    judge(&packages.old)?;
    let initramfs = folder.join("initramfs.cpio");
    join(&base, &overlay(&packages)?, &initramfs)?;

    let mut failures = Vec::new();
    for kernel in kernels {
        match run(kernel, &initramfs, &folder) {
            Ok(passed) => println!("service: {}: {passed} passed", kernel.name),
            Err(error) => failures.push(format!("{}: {error:#}", kernel.name)),
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// The package of this commit, and the same package with a later version.
#[derive(Debug)]
struct Packages {
    old: PathBuf,
    new: PathBuf,
}

fn packages(folder: &Path) -> Result<Packages> {
    let release = Release::of_commit()?;
    Ok(Packages {
        old: dist::debian_package(&release, folder)?,
        new: dist::debian_package(&release.later(), folder)?,
    })
}

/// Checks the package with Debian's lintian; the overrides in deploy/debian each have a reason.
fn judge(package: &Path) -> Result<()> {
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--allow-root", "--tag-display-limit", "0"])
        .args(["--fail-on", "error,warning"])
        .arg(package);
    command::run(&mut lintian)
}

/// The files that are added to the small Debian.
fn overlay(packages: &Packages) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.file("init", INIT.as_bytes())?;
    archive.file("etc/systemd/system/selftest.service", UNIT.as_bytes())?;
    archive.folder("selftest")?;
    archive.file("selftest/steps.sh", STEPS.as_bytes())?;
    archive.file("selftest/old.deb", &fs::read(&packages.old)?)?;
    archive.file("selftest/new.deb", &fs::read(&packages.new)?)?;
    Ok(archive.finish()?)
}

/// Joins the archives: the kernel unpacks one after the other.
fn join(base: &Path, overlay: &[u8], joined: &Path) -> Result<()> {
    fs::copy(base, joined)?;
    let mut file = File::options().append(true).open(joined)?;
    Ok(file.write_all(overlay)?)
}

fn run(kernel: &Kernel, initramfs: &Path, folder: &Path) -> Result<u32> {
    let image = kernel::fetch(kernel)?;
    let log = folder.join(format!("{}.log", kernel.name));
    let words = "systemd.unit=selftest.service systemd.show_status=0";
    let Outcome { passed, failed, .. } =
        machine::boot(kernel.architecture, "vm", &image, initramfs, words, &log)
            .with_context(|| format!("the console is in {}", log.display()))?;
    if failed > 0 || passed == 0 {
        bail!("{passed} passed, {failed} failed; see {}", log.display());
    }
    Ok(passed)
}

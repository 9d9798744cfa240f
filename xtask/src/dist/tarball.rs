//! Writes the tarball: the files as on an installed machine, below one folder.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::build::Built;
use super::contents::{self, Format, title};
use super::{Release, stage};
use crate::command;
use crate::target::Target;

/// Writes entries for files only: unpacking onto a machine's root must not change the mode of a folder there.
pub(super) fn write(
    target: &Target,
    release: &Release,
    built: &Built,
    folder: &Path,
) -> Result<()> {
    let title = title(release);
    let files = contents::files(Format::Tarball, release, built)?;
    let staged = folder.join("stage").join(target.arch).join("tarball");
    stage(&files, &staged.join(&title))?;
    let tarball = folder.join(format!("{title}-{}-linux-musl.tar.gz", target.arch));
    let mut names: Vec<String> = files
        .iter()
        .map(|file| format!("{title}{}", file.path))
        .collect();
    names.sort();
    let mut tar = Command::new("tar");
    tar.arg("--create")
        .arg("--file")
        .arg(&tarball)
        .arg("--use-compress-program=gzip -9n")
        .arg(format!("--mtime=@{}", release.epoch))
        .args(["--format=gnu", "--owner=0", "--group=0", "--numeric-owner"])
        .arg("--directory")
        .arg(&staged)
        .args(names);
    command::run(&mut tar)
}

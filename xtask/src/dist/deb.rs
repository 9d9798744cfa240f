//! Writes the `.deb` with dpkg-deb.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use super::build::Built;
use super::contents::{self, File, Format, Kind};
use super::release::{DESCRIPTION, NAME, SUMMARY};
use super::{Release, chmod, stage};
use crate::target::Target;
use crate::{command, workspace};

const MAINTAINER: &str = "The Headcount founders <packages@headcount.invalid>";
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

pub(super) fn write(
    target: &Target,
    release: &Release,
    built: &Built,
    folder: &Path,
) -> Result<PathBuf> {
    let files = contents::files(Format::Deb, release, built)?;
    let staged = folder.join("stage").join(target.arch).join("deb");
    workspace::empty(&staged)?;
    chmod(&staged, 0o755)?;
    stage(&files, &staged)?;
    control(target, release, &files, &staged)?;
    let version = release.debian_version();
    let package = folder.join(format!("{NAME}_{version}_{}.deb", target.debian_arch));
    let mut dpkg_deb = Command::new("dpkg-deb");
    dpkg_deb
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .args(["--root-owner-group", "-Zxz", "--build"])
        .args([&staged, &package]);
    command::run(&mut dpkg_deb)?;
    Ok(package)
}

/// Writes the folder with the package's data for dpkg, which it does not install.
fn control(target: &Target, release: &Release, files: &[File], staged: &Path) -> Result<()> {
    let own = workspace::root().join("deploy/debian");
    let folder = staged.join("DEBIAN");
    fs::create_dir(&folder)?;
    chmod(&folder, 0o755)?;
    let template = fs::read_to_string(own.join("control"))?;
    let kibibytes: usize = files
        .iter()
        .map(|file| file.bytes.len().div_ceil(1024))
        .sum();
    let control = template
        .replace("@version@", &release.debian_version())
        .replace("@architecture@", target.debian_arch)
        .replace("@maintainer@", MAINTAINER)
        .replace("@summary@", SUMMARY)
        .replace("@description@", &DESCRIPTION.join("\n "))
        .replace("@size@", &kibibytes.to_string());
    fs::write(folder.join("control"), control)?;
    let configuration = files
        .iter()
        .filter(|file| file.kind == Kind::Configuration)
        .map(|file| format!("{}\n", file.path));
    fs::write(folder.join("conffiles"), configuration.collect::<String>())?;
    fs::write(folder.join("md5sums"), md5sums(files, staged)?)?;
    for script in SCRIPTS {
        let path = folder.join(script);
        fs::copy(own.join(script), &path)?;
        chmod(&path, 0o755)?;
    }
    Ok(())
}

/// Checksums of the files, without configuration files, whose sums dpkg keeps elsewhere.
fn md5sums(files: &[File], staged: &Path) -> Result<String> {
    let fixed = files.iter().filter(|file| file.kind != Kind::Configuration);
    let mut paths: Vec<&str> = fixed
        .map(|file| file.path.trim_start_matches('/'))
        .collect();
    paths.sort_unstable();
    command::read(Command::new("md5sum").current_dir(staged).args(paths))
}

/// The changelog that Debian requires for each version of the package, apart from the changelog of the program.
pub(super) fn changelog(release: &Release) -> Result<String> {
    Ok(format!(
        "{NAME} ({}) unstable; urgency=medium\n\n  * Release {}; changelog.gz lists the changes.\n\n -- {MAINTAINER}  {}\n",
        release.debian_version(),
        release.version,
        release.date("+%a, %d %b %Y %H:%M:%S +0000")?
    ))
}

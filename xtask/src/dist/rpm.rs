//! Writes the `.rpm` with a crate, not with rpm's own tools, so that it also works on Debian machines.

use std::path::Path;

use anyhow::{Context as _, Result};
use rpm::{BuildConfig, CompressionType, Dependency, FileOptions, PackageBuilder};

use super::Release;
use super::build::Built;
use super::contents::{self, File, Format, Kind};
use super::release::{DESCRIPTION, LICENSE, NAME, SUMMARY};
use crate::target::Target;
use crate::workspace;

/// Release number of each version; packages of distributions use higher ones.
const RELEASE: &str = "1";

pub(super) fn write(
    target: &Target,
    release: &Release,
    built: &Built,
    folder: &Path,
) -> Result<()> {
    let name = format!("{NAME}-{}-{RELEASE}.{}.rpm", release.version, target.arch);
    let path = folder.join(name);
    let files = contents::files(Format::Rpm, release, built)?;
    println!("dist: write {}", path.display());
    let package = package(target, release, files)?;
    package
        .write_file(&path)
        .with_context(|| format!("write {}", path.display()))
}

fn package(target: &Target, release: &Release, files: Vec<File>) -> Result<rpm::Package> {
    let config = BuildConfig::v4()
        .compression(CompressionType::Gzip) // what every rpm in use can read
        .source_date(release.epoch);
    let mut package = PackageBuilder::new(NAME, &release.version, LICENSE, target.arch, SUMMARY);
    package
        .using_config(config)
        .release(RELEASE)
        .description(DESCRIPTION.join("\n"))
        .build_host("localhost") // the name of this machine stays private
        .requires(Dependency::any("systemd"))
        .requires(Dependency::script_post("systemd"))
        .requires(Dependency::script_preun("systemd"))
        .requires(Dependency::script_postun("systemd"))
        .post_install_script(script("post")?)
        .pre_uninstall_script(script("preun")?)
        .post_uninstall_script(script("postun")?);
    for folder in contents::FOLDERS {
        package.with_dir_entry(FileOptions::dir(*folder).permissions(0o755))?;
    }
    for file in files {
        let mode = u16::try_from(file.mode()).context("a mode of a file fits 16 bits")?;
        let options = FileOptions::new(file.path).permissions(mode);
        let options = match file.kind {
            Kind::Configuration => options.config().noreplace(),
            Kind::Documentation => options.doc(),
            Kind::Program | Kind::Other => options,
        };
        package.with_file_contents(file.bytes, options)?;
    }
    package.build().context("put the package together")
}

fn script(name: &str) -> Result<String> {
    let path = workspace::root().join("deploy/rpm").join(name);
    Ok(fs_err::read_to_string(path)?)
}

#[cfg(test)]
mod tests {
    use rpm::FileFlags;

    use super::*;

    #[test]
    fn configuration_files_survive_an_upgrade() {
        let file = |path, kind| File {
            path,
            kind,
            bytes: b"text".to_vec(),
        };
        let files = vec![
            file("/etc/x.yml", Kind::Configuration),
            file("/usr/bin/x", Kind::Program),
        ];
        let release = Release::of_test();
        let package = package(crate::target::AMD64, &release, files).expect("a package");
        let entries = package.metadata.get_file_entries().expect("its files");
        let found: Vec<_> = entries
            .iter()
            .filter(|entry| {
                !contents::FOLDERS
                    .iter()
                    .any(|folder| entry.path() == Path::new(folder))
            })
            .map(|entry| (entry.path(), entry.mode().permissions(), entry.flags()))
            .collect();
        let kept = FileFlags::CONFIG | FileFlags::NOREPLACE;
        assert_eq!(
            found,
            [
                ("/etc/x.yml".into(), 0o644, kept),
                ("/usr/bin/x".into(), 0o755, FileFlags::empty())
            ]
        );
    }
}

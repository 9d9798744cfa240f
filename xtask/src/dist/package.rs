//! Writes the packages from `deploy/nfpm.yaml`: the `.deb` and the `.rpm` with nFPM, the tarball with the files of the `.rpm`.
//!
//! The table there has one line for each file. This module adds what nFPM has no rule for: modes, whatever the umask of this
//! checkout is, and the mark of documentation in an `.rpm`, which `rpm --excludedocs` reads.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use fs_err as fs;
use serde_json::{Value, json};
use tar::{Builder, Header};

use super::Release;
use super::release::{MAINTAINER, NAME};
use crate::target::Target;
use crate::{command, python, workspace};

const DOCUMENTATION: &[&str] = &["/usr/share/doc/", "/usr/share/man/"];

/// Writes the package of a format, `deb` or `rpm`, into `folder`; `built` has the files that are not in the repository.
pub(super) fn write(
    format: &str,
    target: &Target,
    release: &Release,
    built: &Path,
    folder: &Path,
) -> Result<()> {
    let config = built.join(format!("{format}.json"));
    fs::write(&config, configuration(format, built)?.to_string())?;
    let mut nfpm = Command::new(python::program("nfpm", "2.48.0")?);
    nfpm.current_dir(workspace::root())
        .env("ARCH", target.debian_arch)
        .env("VERSION", &release.version)
        .env("MAINTAINER", MAINTAINER)
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .args(["package", "--packager", format, "--config"])
        .arg(&config)
        .arg("--target")
        .arg(folder);
    command::run(&mut nfpm)
}

/// Writes the files as on an installed machine, below one folder, and no folders: unpacking onto a machine's root must not change
/// the mode of a folder there.
pub(super) fn tarball(
    target: &Target,
    release: &Release,
    built: &Path,
    folder: &Path,
) -> Result<()> {
    let title = format!("{NAME}-{}", release.version);
    let mut archive = Builder::new(Vec::new());
    for entry in files(&configuration("rpm", built)?) {
        let bytes = fs::read(text(&entry["src"]))?;
        let path = text(&entry["dst"]);
        let mut header = Header::new_gnu();
        header.set_mode(mode(path));
        header.set_mtime(release.epoch.into());
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, format!("{title}{path}"), bytes.as_slice())?;
    }
    let tarball = folder.join(format!("{title}-{}-linux-musl.tar", target.arch));
    fs::write(&tarball, archive.into_inner()?)?;
    command::run(Command::new("gzip").arg("-9nf").arg(&tarball))
}

/// The configuration of nFPM for a format. Paths of sources are absolute.
fn configuration(format: &str, built: &Path) -> Result<Value> {
    let root = workspace::root();
    let yaml = fs::read_to_string(root.join("deploy/nfpm.yaml"))?;
    let mut config: Value = serde_saphyr::from_str(&yaml)?;
    let is_rpm = format == "rpm";
    let description = text(&config["description"]).to_owned();
    if is_rpm && let Some((summary, rest)) = description.split_once('\n') {
        config["rpm"]["summary"] = json!(summary);
        config["description"] = json!(rest);
    }
    let contents = config["contents"].as_array_mut();
    let contents = contents.context("deploy/nfpm.yaml has no contents")?;
    contents.retain(|entry| entry["packager"].is_null() || entry["packager"] == format);
    for entry in contents.iter_mut().filter(|entry| is_file(entry)) {
        let path = text(&entry["dst"]).to_owned();
        let source = Path::new(text(&entry["src"]));
        entry["src"] = json!(match source.strip_prefix("built") {
            Ok(made) => built.join(made),
            Err(_) => root.join(source),
        });
        entry["file_info"] = json!({ "mode": mode(&path) });
        if is_rpm && DOCUMENTATION.iter().any(|&folder| path.starts_with(folder)) {
            entry["type"] = json!("doc");
        }
    }
    Ok(config)
}

fn files(config: &Value) -> impl Iterator<Item = &Value> {
    let contents = config["contents"].as_array();
    contents
        .into_iter()
        .flatten()
        .filter(|&entry| is_file(entry))
}

fn is_file(entry: &Value) -> bool {
    entry["type"] != "dir"
}

fn mode(path: &str) -> u32 {
    if path.starts_with("/usr/bin/") {
        0o755
    } else {
        0o644
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn configurations() -> [Value; 2] {
        ["deb", "rpm"].map(|format| configuration(format, Path::new("/built")).expect("a table"))
    }

    fn texts<'a>(config: &'a Value, key: &str) -> Vec<&'a str> {
        files(config).map(|entry| text(&entry[key])).collect()
    }

    #[test]
    fn files_of_the_table_exist_in_the_repository() {
        for config in configurations() {
            for source in texts(&config, "src") {
                assert!(
                    source.starts_with("/built/") || Path::new(source).is_file(),
                    "{source}"
                );
            }
        }
    }

    #[test]
    fn pages_for_users_are_in_the_packages() {
        for config in configurations() {
            let sources = texts(&config, "src");
            for page in workspace::entries(&workspace::root().join("docs")).expect("pages") {
                let page = page.to_str().expect("a name");
                assert!(!page.ends_with(".md") || sources.contains(&page), "{page}");
            }
        }
    }

    #[test]
    fn paths_in_a_package_are_unique() {
        for config in configurations() {
            let mut seen = BTreeSet::new();
            for path in texts(&config, "dst") {
                assert!(seen.insert(path), "{path}");
            }
        }
    }

    #[test]
    fn folders_of_the_package_have_its_name() {
        for config in configurations() {
            let contents = config["contents"].as_array().expect("contents");
            let folders: Vec<&str> = contents
                .iter()
                .filter(|entry| !is_file(entry))
                .map(|entry| text(&entry["dst"]))
                .collect();
            for path in texts(&config, "dst") {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let ours = folder.split('/').any(|part| part == NAME);
                assert_eq!(folders.contains(&folder), ours, "{path}");
            }
        }
    }

    #[test]
    fn files_below_etc_are_configuration() {
        for entry in configurations().iter().flat_map(files) {
            let is_configuration = entry["type"] == "config|noreplace";
            assert_eq!(
                text(&entry["dst"]).starts_with("/etc/"),
                is_configuration,
                "{entry}"
            );
        }
    }
}

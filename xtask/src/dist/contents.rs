//! The content of a package: one table for all three formats.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use fs_err as fs;

use super::build::Built;
use super::deb;
use super::release::{NAME, Release};
use crate::workspace;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Tarball,
    Deb,
    Rpm,
}

const EVERY: &[Format] = &[Format::Tarball, Format::Deb, Format::Rpm];
const NOT_DEB: &[Format] = &[Format::Tarball, Format::Rpm];
const DEB: &[Format] = &[Format::Deb];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    /// A configuration file: a user's changes survive an upgrade.
    Configuration,
    Documentation,
    Other,
}

#[derive(Debug)]
enum Origin {
    Agent,
    /// A page generated from the flags.
    Page(&'static str),
    /// Notices about the code of others in the binary.
    Notices,
    /// A file of the repository.
    Tree(&'static str),
    /// Debian's changelog of the package.
    DebianChangelog,
}

#[derive(Debug)]
struct Entry {
    /// Path on an installed machine; a file that ends in `.gz` is compressed.
    path: &'static str,
    origin: Origin,
    kind: Kind,
    formats: &'static [Format],
}

const fn entry(
    path: &'static str,
    origin: Origin,
    kind: Kind,
    formats: &'static [Format],
) -> Entry {
    Entry {
        path,
        origin,
        kind,
        formats,
    }
}

use Kind::{Configuration, Documentation, Other, Program};
use Origin::{Agent, DebianChangelog, Notices, Page, Tree};

#[rustfmt::skip]
const CONTENTS: &[Entry] = &[
    entry("/usr/bin/headcount", Agent, Program, EVERY),
    entry("/etc/headcount/headcount.yml", Tree("deploy/headcount.yml"), Configuration, EVERY),
    entry("/etc/default/headcount", Tree("deploy/systemd/headcount.default"), Configuration, EVERY),
    entry("/usr/lib/systemd/system/headcount.service", Tree("deploy/systemd/headcount.service"), Other, EVERY),
    entry("/usr/lib/systemd/system/headcount.socket", Tree("deploy/systemd/headcount.socket"), Other, EVERY),
    entry("/usr/lib/sysusers.d/headcount.conf", Tree("deploy/systemd/headcount.sysusers"), Other, EVERY),
    entry("/usr/share/man/man1/headcount.1.gz", Page("headcount.1"), Documentation, EVERY),
    entry("/usr/share/bash-completion/completions/headcount", Page("headcount.bash"), Other, EVERY),
    entry("/usr/share/fish/vendor_completions.d/headcount.fish", Page("headcount.fish"), Other, EVERY),
    // Debian's zsh reads another folder than zsh by default.
    entry("/usr/share/zsh/site-functions/_headcount", Page("_headcount"), Other, NOT_DEB),
    entry("/usr/share/zsh/vendor-completions/_headcount", Page("_headcount"), Other, DEB),
    entry("/usr/share/doc/headcount/README.md", Tree("README.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/METRICS.md", Tree("METRICS.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/configuration.md", Tree("docs/configuration.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/fan-in.md", Tree("docs/fan-in.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/gunicorn.md", Tree("docs/gunicorn.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/install.md", Tree("docs/install.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/kubernetes.md", Tree("docs/kubernetes.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/limits.md", Tree("docs/limits.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/metrics.md", Tree("docs/metrics.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/migrating-passenger.md", Tree("docs/migrating-passenger.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/migrating.md", Tree("docs/migrating.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/requirements.md", Tree("docs/requirements.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/security.md", Tree("docs/security.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/docs/threats.md", Tree("docs/threats.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/changelog.gz", Tree("CHANGELOG.md"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/changelog.Debian.gz", DebianChangelog, Documentation, DEB),
    entry("/usr/share/doc/headcount/copyright", Tree("deploy/debian/copyright"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/THIRD-PARTY.gz", Notices, Documentation, EVERY),
    entry("/usr/share/doc/headcount/LICENSE-APACHE", Tree("LICENSE-APACHE"), Documentation, NOT_DEB),
    entry("/usr/share/doc/headcount/LICENSE-MIT", Tree("LICENSE-MIT"), Documentation, NOT_DEB),
    entry("/usr/share/doc/headcount/examples/root.conf", Tree("deploy/systemd/root.conf"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/examples/old-kernel.conf", Tree("deploy/systemd/old-kernel.conf"), Documentation, EVERY),
    entry("/usr/share/doc/headcount/examples/broker.conf", Tree("deploy/systemd/broker.conf"), Documentation, EVERY),
    entry("/usr/share/lintian/overrides/headcount", Tree("deploy/debian/lintian-overrides"), Other, DEB),
];

/// The folders of the table that belong to this package only; an rpm must list them.
pub(super) const FOLDERS: &[&str] = &[
    "/etc/headcount",
    "/usr/share/doc/headcount",
    "/usr/share/doc/headcount/docs",
    "/usr/share/doc/headcount/examples",
];

/// A file of a package.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

impl File {
    pub(super) fn mode(&self) -> u32 {
        match self.kind {
            Program => 0o755,
            Configuration | Documentation | Other => 0o644,
        }
    }
}

/// The files of a package, in the order of the table.
pub(super) fn files(format: Format, release: &Release, built: &Built) -> Result<Vec<File>> {
    let entries = CONTENTS
        .iter()
        .filter(|entry| entry.formats.contains(&format));
    entries
        .map(|entry| {
            let bytes = bytes(&entry.origin, release, built)?;
            let bytes = match entry.path.ends_with(".gz") {
                true => compress(&bytes).with_context(|| format!("compress {}", entry.path))?,
                false => bytes,
            };
            Ok(File {
                path: entry.path,
                kind: entry.kind,
                bytes,
            })
        })
        .collect()
}

fn bytes(origin: &Origin, release: &Release, built: &Built) -> Result<Vec<u8>> {
    match origin {
        Agent => Ok(fs::read(&built.agent)?),
        Page(name) => Ok(fs::read(built.pages.join(name))?),
        Notices => Ok(fs::read(&built.notices)?),
        Tree(path) => Ok(fs::read(workspace::root().join(path))?),
        DebianChangelog => deb::changelog(release).map(String::into_bytes),
    }
}

/// Compresses as `gzip -9n` does, without a name and a time stamp.
fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = GzBuilder::new().write(Vec::new(), Compression::best());
    compressor.write_all(bytes)?;
    compressor.finish()
}

/// Name of a package, and of the tarball's folder, with the version.
pub(super) fn title(release: &Release) -> String {
    format!("{NAME}-{}", release.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_table_exist_in_the_repository() {
        for entry in CONTENTS {
            if let Tree(path) = entry.origin {
                assert!(workspace::root().join(path).is_file(), "{path}");
            }
        }
    }

    #[test]
    fn pages_for_users_are_in_the_packages() {
        for page in workspace::root().join("docs").read_dir().unwrap() {
            let page = page.unwrap().file_name().into_string().unwrap();
            let is_there = |entry: &Entry| matches!(entry.origin, Tree(path) if path == format!("docs/{page}"));
            assert!(
                !page.ends_with(".md") || CONTENTS.iter().any(is_there),
                "{page}"
            );
        }
    }

    #[test]
    fn paths_in_a_package_are_unique() {
        for format in EVERY {
            let entries = CONTENTS
                .iter()
                .filter(|entry| entry.formats.contains(format));
            let mut paths: Vec<&str> = entries.map(|entry| entry.path).collect();
            let all = paths.len();
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(paths.len(), all, "{format:?}");
        }
    }

    #[test]
    fn folders_of_the_package_have_its_name() {
        for entry in CONTENTS {
            let folder = entry.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let ours = folder.split('/').any(|part| part == NAME);
            assert_eq!(FOLDERS.contains(&folder), ours, "{}", entry.path);
        }
    }

    #[test]
    fn files_below_etc_are_configuration() {
        for entry in CONTENTS {
            assert_eq!(
                entry.path.starts_with("/etc/"),
                entry.kind == Configuration,
                "{}",
                entry.path
            );
        }
    }
}

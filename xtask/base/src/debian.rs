//! Fetches and unpacks packages of other Debian suites, without installing them.
//!
//! In come a suite and the name of a package; out come its files below a folder of the caller's. A second apt configuration with
//! folders of its own asks the mirror of this machine; the machine's package lists and packages do not change.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;

use crate::{command, workspace};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt that knows one suite and uses only its own folder.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
    architecture: &'static str,
}

impl Apt {
    /// Reads the suite's index for an architecture, by Debian's name of it.
    pub fn prepare(architecture: &'static str, folder: &Path, suite: &str) -> Result<Self> {
        ensure!(
            Path::new(KEYRING).exists(),
            "{KEYRING} is missing: install debian-archive-keyring"
        );
        let mirror = mirror()?;
        for name in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let source = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
        fs::write(folder.join("sources.list"), source)?;
        fs::write(folder.join("status"), "")?;
        let folder = folder.to_owned();
        let apt = Self {
            folder,
            architecture,
        };
        command::read(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// Downloads the package and unpacks it below `root`.
    pub fn unpack(&self, package: &str, root: &Path) -> Result<()> {
        command::read(self.command("apt-get").args(["download", package]))?;
        let folder = self.folder.join("packages");
        let file = find(&folder, &format!("{package}_"), ".deb");
        let file = file.with_context(|| {
            let folder = folder.display();
            format!("apt-get download {package} left no file in {folder}")
        })?;
        command::read(Command::new("dpkg-deb").arg("-x").arg(&file).arg(root))?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        apt.current_dir(self.folder.join("packages"));
        for (option, path) in [
            ("Dir::State", ""),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::sourcelist", "sources.list"),
        ] {
            let path = self.folder.join(path);
            apt.arg("-o").arg(format!("{option}={}", path.display()));
        }
        for option in [
            "Dir::Etc::sourceparts=/dev/null",
            &format!("APT::Architecture={}", self.architecture),
            "APT::Sandbox::User=root", // apt's own user may not enter this folder
            "Acquire::Retries=3",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ] {
            apt.arg("-o").arg(option);
        }
        apt
    }

    /// The package that `package` depends on and whose name starts with `prefix`.
    pub fn dependency(&self, package: &str, prefix: &str) -> Result<Option<String>> {
        let listing = command::read(self.command("apt-cache").args(["depends", package]))?;
        let mut names = listing
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names
            .find(|name| name.starts_with(prefix))
            .map(str::to_owned))
    }
}

/// The path of a file of the last of these packages. They are fetched and unpacked below the folder `root` in `folder`, if that
/// file is not there yet.
pub fn fetch(
    folder: &Path,
    suite: &str,
    packages: &[&str],
    megabytes: u32,
    file: &str,
) -> Result<PathBuf> {
    let root = folder.join("root");
    let file = root.join(file);
    if !file.exists() {
        println!(
            "debian: fetch {} of {suite}, about {megabytes} MB and the suite's index",
            packages.join(", ")
        );
        let apt = Apt::prepare("amd64", &folder.join("apt"), suite)?;
        for package in packages {
            apt.unpack(package, &root)?;
        }
    }
    Ok(file)
}

/// The Debian mirror of this machine.
pub fn mirror() -> Result<String> {
    let mut apt = Command::new("apt-get");
    apt.args("indextargets --format $(REPO_URI)".split(' '));
    let targets = command::read(apt.arg("Created-By: Packages"))?;
    main_archive(&targets).context(
        "apt has no source whose address ends in /debian: the test kernels come from a Debian mirror, and this \
         machine names none",
    )
}

/// The main archive of Debian. The URL of the security archive ends in /debian-security, that of a third party in anything else.
fn main_archive(targets: &str) -> Option<String> {
    let mut addresses = targets.lines().map(|line| line.trim_end_matches('/'));
    addresses
        .find(|line| line.ends_with("/debian"))
        .map(str::to_owned)
}

/// The first entry of `folder` whose name has this start and this end.
pub fn find(folder: &Path, start: &str, end: &str) -> Option<PathBuf> {
    workspace::entries(folder).ok()?.into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_is_the_main_archive() {
        let targets =
            "https://x.example/apt/\nhttp://m.example/debian-security/\nhttp://m.example/debian/\n";
        assert_eq!(
            main_archive(targets).as_deref(),
            Some("http://m.example/debian")
        );
        assert_eq!(main_archive("http://m.example/ubuntu/\n"), None);
    }
}

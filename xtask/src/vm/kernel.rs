//! Debian's kernels for cloud machines: they boot without modules and carry BTF.
//!
//! In: a suite's name. Out: the path of its unpacked kernel below `target/vm`. A second apt configuration with folders of
//! its own asks the mirror of this machine; neither its package lists nor its packages change. What is there is taken as
//! it is: to get a newer one, remove the folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const METAPACKAGE: &str = "linux-image-cloud-amd64";

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    suite: &'static str,
    pub(super) is_default: bool,
}

/// From the oldest that the agent is meant for to the newest that there is. The default has fentry on every function we
/// hook, and the emulator of the same Debian release has never failed on it.
pub(super) const KERNELS: &[Kernel] = &[
    Kernel {
        name: "5.10",
        suite: "bullseye",
        is_default: false,
    },
    Kernel {
        name: "6.1",
        suite: "bookworm",
        is_default: true,
    },
    Kernel {
        name: "6.12",
        suite: "trixie",
        is_default: false,
    },
    Kernel {
        name: "newest",
        suite: "sid",
        is_default: false,
    },
];

/// Fetches and unpacks the kernel, unless that was done before.
pub(super) fn fetch(kernel: &Kernel, folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    if let Some(image) = find_image(&root) {
        return Ok(image);
    }
    let suite = kernel.suite;
    println!(
        "vm: {}: fetch the kernel of Debian's {suite}, about 50 MB",
        kernel.name
    );
    ensure!(
        Path::new(KEYRING).exists(),
        "{KEYRING} is missing: install debian-archive-keyring"
    );
    let apt = Apt::prepare(&folder.join("apt"), &mirror()?, suite)?;
    command::read(apt.command("apt-get").arg("update"))?;
    let image = apt
        .dependency(METAPACKAGE, "linux-image-")?
        .with_context(|| format!("{METAPACKAGE} of {suite} names no linux-image-…"))?;
    // From 7.2 on the image package is empty and names another one that holds the kernel.
    let package = apt.dependency(&image, "linux-binary-")?.unwrap_or(image);
    command::read(apt.command("apt-get").args(["download", &package]))?;
    let file = apt.downloaded(&package)?;
    command::read(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&root))?;
    find_image(&root).with_context(|| format!("{package} holds no vmlinuz"))
}

/// `vmlinuz…` in one of the folders where Debian puts it.
fn find_image(root: &Path) -> Option<PathBuf> {
    let modules = std::fs::read_dir(root.join("usr/lib/modules"));
    let mut folders = vec![root.join("boot")];
    folders.extend(
        modules
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    folders
        .iter()
        .find_map(|folder| find(folder, "vmlinuz", ""))
}

fn find(folder: &Path, start: &str, end: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(end)
    })
}

/// The Debian mirror that this machine uses itself.
fn mirror() -> Result<String> {
    let targets = command::read(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    main_archive(&targets).context(
        "apt has no source whose address ends in /debian: the test kernels come from a Debian mirror, and this \
         machine names none",
    )
}

/// The security archive ends in /debian-security, a third party's in anything else.
fn main_archive(targets: &str) -> Option<String> {
    let mut addresses = targets.lines().map(|line| line.trim_end_matches('/'));
    addresses
        .find(|line| line.ends_with("/debian"))
        .map(str::to_owned)
}

/// An apt that knows one suite and keeps to its own folder.
#[derive(Debug)]
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn prepare(folder: &Path, mirror: &str, suite: &str) -> Result<Self> {
        let write = |name: &str, content: &str| {
            let path = folder.join(name);
            std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))
        };
        for name in ["lists/partial", "cache/archives/partial", "packages"] {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        }
        write(
            "sources.list",
            &format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"),
        )?;
        write("status", "")?;
        let folder = folder.to_owned();
        Ok(Self { folder })
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
            "APT::Architecture=amd64",
            "APT::Sandbox::User=root", // apt's own user may not enter this folder
            "Acquire::Retries=3",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ] {
            apt.arg("-o").arg(option);
        }
        apt
    }

    /// The package that `package` depends on and whose name starts with `prefix`.
    fn dependency(&self, package: &str, prefix: &str) -> Result<Option<String>> {
        let listing = command::read(self.command("apt-cache").args(["depends", package]))?;
        let mut names = listing
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names
            .find(|name| name.starts_with(prefix))
            .map(str::to_owned))
    }

    fn downloaded(&self, package: &str) -> Result<PathBuf> {
        let folder = self.folder.join("packages");
        find(&folder, &format!("{package}_"), ".deb").with_context(|| {
            format!(
                "apt-get download {package} left no file in {}",
                folder.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_main_archive() {
        let targets =
            "https://x.example/apt/\nhttp://m.example/debian-security/\nhttp://m.example/debian/\n";
        assert_eq!(
            main_archive(targets).as_deref(),
            Some("http://m.example/debian")
        );
        assert_eq!(main_archive("http://m.example/ubuntu/\n"), None);
    }

    #[test]
    fn one_kernel_is_the_default() {
        assert_eq!(KERNELS.iter().filter(|kernel| kernel.is_default).count(), 1);
    }
}

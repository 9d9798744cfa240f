//! Fetches Debian's kernels for cloud machines, which boot without modules and contain BTF.
//!
//! In comes the name of a suite; out comes the path of its unpacked kernel below `target/vm`. A kernel that is already there is
//! used as it is: to get a newer one, remove the folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::architecture::{AMD64, AMD64_CX16, ARM64, Architecture};
use crate::debian::{self, Apt};
use crate::workspace;

#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) architecture: &'static Architecture,
    suite: &'static str,
    pub(crate) is_default: bool,
}

/// From the oldest kernel that the agent supports to the newest one. The default has fentry on every function with a hook, and
/// the emulator of the same Debian release has never failed on it. On arm64, fentry exists from 6.4 on.
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel {
        name: "5.10",
        architecture: &AMD64,
        suite: "bullseye",
        is_default: false,
    },
    Kernel {
        name: "6.1",
        architecture: &AMD64,
        suite: "bookworm",
        is_default: true,
    },
    Kernel {
        name: "6.12",
        architecture: &AMD64,
        suite: "trixie",
        is_default: false,
    },
    Kernel {
        name: "newest",
        architecture: &AMD64_CX16,
        suite: "sid",
        is_default: false,
    },
    Kernel {
        name: "6.1-arm64",
        architecture: &ARM64,
        suite: "bookworm",
        is_default: false,
    },
    Kernel {
        name: "6.12-arm64",
        architecture: &ARM64,
        suite: "trixie",
        is_default: false,
    },
];

/// The kernel with this name.
pub(crate) fn find(name: &str) -> Result<&'static Kernel> {
    let found = KERNELS.iter().find(|kernel| kernel.name == name);
    found.with_context(|| unknown(name, KERNELS.iter()))
}

/// The kernels in `arguments` for which the verb works: names, `all`, or none for the default.
pub(crate) fn choose(
    arguments: &[String],
    is_meant: fn(&Kernel) -> bool,
) -> Result<Vec<&'static Kernel>> {
    let meant = || KERNELS.iter().filter(|kernel| is_meant(kernel));
    let by_name = |name: &String| {
        let found = meant().find(|kernel| kernel.name == name);
        found.with_context(|| unknown(name, meant()))
    };
    match arguments {
        [] => Ok(meant().filter(|kernel| kernel.is_default).collect()),
        [all] if all == "all" => Ok(meant().collect()),
        names => names.iter().map(by_name).collect(),
    }
}

fn unknown(name: &str, known: impl Iterator<Item = &'static Kernel>) -> String {
    let names: Vec<&str> = known.map(|kernel| kernel.name).collect();
    format!("unknown kernel {name:?}: expected {}", names.join(", "))
}

/// The folder of a kernel.
pub(crate) fn folder(kernel: &Kernel) -> PathBuf {
    workspace::target_dir().join("vm").join(kernel.name)
}

/// Fetches and unpacks the kernel, unless it is already there.
pub(crate) fn fetch(kernel: &Kernel) -> Result<PathBuf> {
    let folder = folder(kernel);
    let root = folder.join("root");
    if let Some(image) = find_image(&root) {
        return Ok(image);
    }
    let suite = kernel.suite;
    println!(
        "vm: {}: fetch the kernel of Debian's {suite}, about 50 MB",
        kernel.name
    );
    let Architecture {
        debian,
        metapackage,
        ..
    } = kernel.architecture;
    let apt = Apt::prepare_for(debian, &folder.join("apt"), suite)?;
    let image = apt
        .dependency(metapackage, "linux-image-")?
        .with_context(|| format!("{metapackage} of {suite} names no linux-image-…"))?;
    // From 7.2 on the image package is empty and depends on another one, which contains the kernel.
    let package = apt.dependency(&image, "linux-binary-")?.unwrap_or(image);
    apt.unpack(&package, &root)?;
    find_image(&root).with_context(|| format!("{package} holds no vmlinuz"))
}

/// Finds `vmlinuz…` in one of the folders where Debian puts it.
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
        .find_map(|folder| debian::find(folder, "vmlinuz", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kernel_is_the_default() {
        assert_eq!(KERNELS.iter().filter(|kernel| kernel.is_default).count(), 1);
    }

    #[test]
    fn kernels_are_chosen_by_name() {
        let names = |arguments: &[&str]| -> Result<Vec<&str>> {
            let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
            let chosen = choose(&arguments, |_| true)?;
            Ok(chosen.iter().map(|kernel| kernel.name).collect())
        };
        assert_eq!(names(&[]).expect("there is a default").len(), 1);
        assert_eq!(names(&["all"]).expect("all is known").len(), KERNELS.len());
        assert_eq!(
            names(&["5.10", "6.1"]).expect("both are known"),
            ["5.10", "6.1"]
        );
        let error = names(&["2.4"]).expect_err("2.4 is unknown").to_string();
        assert!(error.contains("2.4") && error.contains("6.12"), "{error}");
    }
}

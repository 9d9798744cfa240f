//! Fetches Debian's kernels for cloud machines, which boot without modules and contain BTF.
//!
//! In comes the name of a suite; out comes the path of its unpacked kernel below `target/vm`. A kernel that is already there is
//! used as it is: to get a newer one, remove the folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;

use super::architecture::{AMD64, AMD64_CX16, ARM64, Architecture};
use crate::debian::{self, Apt};
use crate::workspace;

#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) architecture: &'static Architecture,
    suite: &'static str,
}

/// From the oldest kernel that the agent supports to the newest one.
pub(super) static V5_10: Kernel = kernel("5.10", &AMD64, "bullseye");
pub(super) static V6_1: Kernel = kernel("6.1", &AMD64, "bookworm");
pub(super) static V6_12: Kernel = kernel("6.12", &AMD64, "trixie");
pub(super) static NEWEST: Kernel = kernel("newest", &AMD64_CX16, "sid");
/// On arm64, fentry exists from 6.4 on.
pub(super) static V6_1_ARM64: Kernel = kernel("6.1-arm64", &ARM64, "bookworm");
pub(super) static V6_12_ARM64: Kernel = kernel("6.12-arm64", &ARM64, "trixie");

const OF_AMD64: [&Kernel; 4] = [&V5_10, &V6_1, &V6_12, &NEWEST];

const fn kernel(
    name: &'static str,
    architecture: &'static Architecture,
    suite: &'static str,
) -> Kernel {
    Kernel {
        name,
        architecture,
        suite,
    }
}

/// The names that [`choose`] knows.
pub(crate) fn names() -> PossibleValuesParser {
    let names = OF_AMD64.iter().map(|kernel| kernel.name);
    PossibleValuesParser::new(names.chain(["all"]))
}

/// The kernels for amd64 with these names, or all of them.
pub(crate) fn choose(names: &[String]) -> Vec<&'static Kernel> {
    let mut chosen = OF_AMD64.to_vec();
    chosen.retain(|kernel| {
        names
            .iter()
            .any(|name| name == "all" || name == kernel.name)
    });
    chosen
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
    let Kernel {
        name,
        architecture,
        suite,
    } = kernel;
    println!("vm: {name}: fetch the kernel of Debian's {suite}, about 50 MB");
    let metapackage = architecture.metapackage;
    let apt = Apt::prepare(architecture.debian, &folder.join("apt"), suite)?;
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
    let mut folders = workspace::entries(&root.join("usr/lib/modules")).unwrap_or_default();
    folders.push(root.join("boot"));
    folders
        .iter()
        .find_map(|folder| debian::find(folder, "vmlinuz", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name() {
        let names = |arguments: &[&str]| -> Vec<&str> {
            let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
            choose(&arguments)
                .iter()
                .map(|kernel| kernel.name)
                .collect()
        };
        assert_eq!(names(&["all"]), ["5.10", "6.1", "6.12", "newest"]);
        assert_eq!(names(&["5.10", "6.1"]), ["5.10", "6.1"]);
    }
}

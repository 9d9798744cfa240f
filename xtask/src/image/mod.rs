//! `cargo xtask image [--run] [--target TRIPLE]...`: builds the container image without a daemon.
//!
//! In come target triples from [`TARGETS`]; without one, the first. Out comes `target/image/headcount.tar`, an archive in OCI's
//! layout with one image or, for several targets, an index of them; `podman load`, `ctr image import` and `skopeo copy
//! oci-archive:` accept it. It contains only the static binary and the licences. The same binaries give the same bytes. With
//! `--run` the image also runs as the DaemonSet's manifest describes, and its counts are checked ([`trial`]).

mod container;
mod layout;
mod passenger;
mod trial;
mod workload;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use layout::Image;

use crate::setup::{self, Requirement};
use crate::{command, workspace};

/// An architecture of images.
#[derive(Debug)]
struct Target {
    triple: &'static str,
    /// OCI's name of the architecture.
    architecture: &'static str,
    requirements: &'static [&'static Requirement],
}

const TARGETS: &[Target] = &[
    Target {
        triple: setup::STATIC_TARGET,
        architecture: "amd64",
        requirements: setup::IMAGE,
    },
    Target {
        triple: setup::STATIC_ARM_TARGET,
        architecture: "arm64",
        requirements: setup::ARM_IMAGE,
    },
];

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (targets, is_run) = chosen(arguments)?;
    for target in &targets {
        setup::ensure(target.requirements)?;
    }
    let archive = workspace::target_dir().join("image/headcount.tar");
    write(&targets, &archive)?;
    if is_run {
        trial::run(&archive)?;
    }
    Ok(())
}

fn chosen(arguments: &[String]) -> Result<(Vec<&'static Target>, bool)> {
    let mut words = arguments.iter();
    let (mut targets, mut is_run) = (Vec::new(), false);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--run" => is_run = true,
            "--target" => {
                let triple = words.next().context("--target wants a triple")?;
                let known = TARGETS.iter().find(|target| target.triple == triple);
                targets.push(known.with_context(|| {
                    let all: Vec<&str> = TARGETS.iter().map(|target| target.triple).collect();
                    format!("unknown target {triple:?}: expected {}", all.join(" or "))
                })?);
            }
            _ => bail!("unknown argument {word:?}: expected --run or --target TRIPLE"),
        }
    }
    if targets.is_empty() {
        targets.extend(TARGETS.first());
    }
    Ok((targets, is_run))
}

fn write(targets: &[&Target], archive: &Path) -> Result<()> {
    let mut images = Vec::new();
    for target in targets {
        command::run(workspace::cargo_with_ebpf().args([
            "build",
            "--release",
            "--package",
            "headcount",
            "--target",
            target.triple,
        ]))?;
        let built = workspace::target_dir().join(target.triple);
        images.push(Image {
            architecture: target.architecture,
            files: files(&built.join("release/headcount"))?,
        });
    }
    let bytes = layout::archive(&images, env!("CARGO_PKG_VERSION"))?;
    let folder = archive.parent().unwrap_or(archive);
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    std::fs::write(archive, &bytes).with_context(|| format!("write {}", archive.display()))?;
    let kilobytes = bytes.len() / 1000;
    println!("image: {}, {kilobytes} kB", archive.display());
    Ok(())
}

/// Path in the image, mode and content.
type File = (&'static str, u32, Vec<u8>);

fn files(binary: &Path) -> Result<Vec<File>> {
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("read {}", path.display()));
    let licence = |name: &str| read(&workspace::root().join(name));
    Ok(vec![
        ("headcount", 0o755, read(binary)?),
        ("licenses/LICENSE-APACHE", 0o644, licence("LICENSE-APACHE")?),
        ("licenses/LICENSE-MIT", 0o644, licence("LICENSE-MIT")?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_choose_targets_and_trial() {
        let chosen = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let (targets, is_run) = chosen(&words).ok()?;
            let names = targets.iter().map(|target| target.architecture);
            Some((names.collect::<Vec<_>>().join(" "), is_run))
        };
        assert_eq!(chosen(&[]), Some(("amd64".to_owned(), false)));
        assert_eq!(chosen(&["--run"]), Some(("amd64".to_owned(), true)));
        let both = TARGETS
            .iter()
            .flat_map(|target| ["--target", target.triple]);
        let both: Vec<&str> = both.collect();
        assert_eq!(chosen(&both), Some(("amd64 arm64".to_owned(), false)));
        for bad in [&["--target"][..], &["--target", "x"], &["run"]] {
            assert_eq!(chosen(bad), None, "{bad:?}");
        }
    }
}

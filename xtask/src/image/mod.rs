//! `cargo xtask image [--run] [--target TRIPLE]...`: builds the container image without a daemon.
//!
//! In come target triples. Out comes `target/image/headcount.tar`, an archive in OCI's
//! layout with one image or, for several targets, an index of them; `podman load`, `ctr image import` and `skopeo copy
//! oci-archive:` accept it. It contains only the static binary and the licences. The same binaries give the same bytes. With
//! `--run` the image also runs as the DaemonSet's manifest describes, and its counts are checked ([`trial`]).

mod container;
mod layout;
mod passenger;
mod trial;
mod workload;

use std::path::Path;

use anyhow::Result;
use fs_err as fs;
use layout::Image;

use crate::target::{self, Target};
use crate::{setup, workspace};

pub(crate) fn main(run: bool, targets: &[&Target]) -> Result<()> {
    for target in targets {
        setup::ensure(target.requirements)?;
    }
    let archive = workspace::target_dir().join("image/headcount.tar");
    write(targets, &archive)?;
    if run {
        trial::run(&archive)?;
    }
    Ok(())
}

fn write(targets: &[&Target], archive: &Path) -> Result<()> {
    let image = |target: &&Target| {
        Ok(Image {
            architecture: target.debian_arch,
            files: files(&target::build(target.triple)?)?,
        })
    };
    let images: Vec<Image> = targets.iter().map(image).collect::<Result<_>>()?;
    let bytes = layout::archive(&images, env!("CARGO_PKG_VERSION"))?;
    fs::create_dir_all(archive.parent().unwrap_or(archive))?;
    fs::write(archive, &bytes)?;
    let kilobytes = bytes.len() / 1000;
    println!("image: {}, {kilobytes} kB", archive.display());
    Ok(())
}

/// Path in the image, mode and content. The path of a folder ends with a slash.
type File = (&'static str, u32, Vec<u8>);

fn files(binary: &Path) -> Result<Vec<File>> {
    let licence = |name: &str| fs::read(workspace::root().join(name));
    Ok(vec![
        ("headcount", 0o755, fs::read(binary)?),
        ("licenses/", 0o755, Vec::new()),
        ("licenses/LICENSE-APACHE", 0o644, licence("LICENSE-APACHE")?),
        ("licenses/LICENSE-MIT", 0o644, licence("LICENSE-MIT")?),
    ])
}

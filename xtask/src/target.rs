//! The architectures of packages and images.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::setup::{self, Requirement};
use crate::{command, workspace};

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// Name of the architecture in the names of tarballs and `.rpm`s.
    pub(crate) arch: &'static str,
    /// Debian's name of the architecture, which is also OCI's.
    pub(crate) debian_arch: &'static str,
    /// Requirements of a static binary.
    pub(crate) requirements: &'static [&'static Requirement],
}

pub(crate) const AMD64: &Target = &Target {
    triple: setup::STATIC_TARGET,
    arch: "x86_64",
    debian_arch: "amd64",
    requirements: setup::STATIC_BINARY,
};

const ARM64: &Target = &Target {
    triple: setup::STATIC_ARM_TARGET,
    arch: "aarch64",
    debian_arch: "arm64",
    requirements: setup::STATIC_ARM_BINARY,
};

/// Builds the agent for a triple as users get it, and returns its path.
pub(crate) fn build(triple: &str) -> Result<PathBuf> {
    let mut cargo = workspace::cargo_with_ebpf();
    cargo.args(["build", "--release", "--package", "headcount"]);
    command::run(cargo.args(["--target", triple]))?;
    let built = workspace::target_dir().join(triple);
    Ok(built.join("release/headcount"))
}

#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// A machine, once or several times
    #[arg(long = "target", value_name = "TRIPLE", default_value = AMD64.triple, value_parser = by_triple)]
    pub(crate) targets: Vec<&'static Target>,
}

fn by_triple(triple: &str) -> Result<&'static Target> {
    let known = [AMD64, ARM64]
        .into_iter()
        .find(|target| target.triple == triple);
    known.with_context(|| format!("expected {} or {}", AMD64.triple, ARM64.triple))
}

//! `cargo xtask check`: the checks to run before a commit.
//!
//! In: the tree. Out: every finding of every check, and failure if there is one. It changes nothing; `cargo fmt` and
//! the author do.

mod dashboards;
mod documents;
mod imports;
mod names;
mod order;
mod paths;
mod sizes;
mod sources;
mod table;
mod units;

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use fs_err as fs;
use sources::Source;

use crate::{command, setup, workspace};

pub(crate) fn main() -> Result<()> {
    setup::ensure(setup::LINTS)?;
    let mut steps = vec![
        format(),
        lints(&["--all-targets"]),
        lints(&["--test", "*"]), // `live` too, which is not tested by default and so is none of "all"
        docs(),
        documents::spelling()?,
        documents::links(workspace::root())?,
    ];
    if setup::is_complete(setup::KERNEL_PROGRAMS)? {
        steps.push(kernel_lints());
        for step in &mut steps {
            step.env("HEADCOUNT_EBPF", "require");
        }
    } else {
        println!("check: LEFT OUT: the kernel programs and what embeds them: cargo xtask setup");
    }

    let mut findings = tree()?;
    findings.extend(units::check(
        workspace::root(),
        &workspace::target_dir().join("units"),
    )?);
    for step in &mut steps {
        if let Err(error) = command::run(step) {
            findings.push(format!("{error:#}"));
        }
    }
    if findings.is_empty() {
        println!("check: nothing found");
        return Ok(());
    }
    bail!("{} found\n{}", findings.len(), findings.join("\n"))
}

/// The checks of our own, which read the sources and the documents.
fn tree() -> Result<Vec<String>> {
    let sources = Source::read_all(workspace::root())?;
    let (modules, mut findings) = paths::modules(&sources);
    let document = fs::read_to_string(workspace::root().join(table::DOCUMENT))
        .with_context(|| format!("read {}", table::DOCUMENT))?;
    findings.extend(imports::check(&modules, &document));
    findings.extend(order::check(&modules));
    findings.extend(names::check(&sources));
    findings.extend(sizes::check(&sources));
    findings.extend(dashboards::check(workspace::root())?);
    Ok(findings)
}

fn format() -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["fmt", "--all", "--check"]);
    cargo
}

fn lints(targets: &[&str]) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["clippy", "--quiet"]).args(targets);
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

/// The kernel crate compiles for its own target only; same flags as in agent/build.rs, without a linker.
fn kernel_lints() -> Command {
    let arch = std::env::consts::ARCH;
    let mut cargo = workspace::cargo();
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("--cfg=bpf_target_arch=\"{arch}\""),
        )
        .args(["clippy", "--quiet", "--package", "agent-ebpf", "--release"])
        .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(workspace::target_dir().join("ebpf/clippy"))
        .args(["--", "-D", "warnings"]);
    cargo
}

fn docs() -> Command {
    let mut cargo = workspace::cargo();
    cargo.env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--quiet",
        "--no-deps",
        "--document-private-items",
    ]);
    cargo
}

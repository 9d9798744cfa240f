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

use anyhow::{Result, bail};
use fs_err as fs;
use sources::Source;

use crate::{command, setup, workspace};

pub(crate) fn main() -> Result<()> {
    setup::ensure(setup::LINTS)?;
    let mut docs = cargo("doc --quiet --no-deps --document-private-items");
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let mut steps = vec![
        cargo("fmt --all --check"),
        cargo("clippy --quiet --all-targets -- -D warnings"),
        // `live` too, which is not tested by default and so is none of "all".
        cargo("clippy --quiet --test * -- -D warnings"),
        docs,
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
    let folder = workspace::target_dir().join("units");
    findings.extend(units::check(workspace::root(), &folder)?);
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
    let document = fs::read_to_string(workspace::root().join(table::DOCUMENT))?;
    findings.extend(imports::check(&modules, &document));
    findings.extend(order::check(&modules));
    findings.extend(names::check(&sources));
    findings.extend(sizes::check(&sources));
    findings.extend(dashboards::check(workspace::root())?);
    Ok(findings)
}

fn cargo(arguments: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(arguments.split(' '));
    cargo
}

/// The kernel crate compiles for its own target only; same flags as in agent/build.rs, without a linker.
fn kernel_lints() -> Command {
    let arch = std::env::consts::ARCH;
    let flags = format!("--cfg=bpf_target_arch=\"{arch}\"");
    let mut cargo = cargo("clippy --quiet --package agent-ebpf --release");
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .args("--target bpfel-unknown-none -Z build-std=core --target-dir".split(' '))
        .arg(workspace::target_dir().join("ebpf/clippy"))
        .args(["--", "-D", "warnings"]);
    cargo
}

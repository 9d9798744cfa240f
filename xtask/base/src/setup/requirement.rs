//! A requirement: how the set-up tests it and installs it.

use std::process::Command;

use super::machine::Machine;
use super::step::Step;
use crate::{command, workspace};

/// The newest version that the crates of the aya release in use work with; a feature chooses its LLVM.
const BPF_LINKER: &str = "0.13.0";

/// The static target of amd64, which runs in the test machines and in images.
pub const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";
/// The static target of arm64, the other architecture of packages.
pub const STATIC_ARM_TARGET: &str = "aarch64-unknown-linux-musl";

#[derive(Debug)]
pub struct Requirement {
    pub(super) name: &'static str,
    /// The purpose, for the user who waits for the installation.
    pub(super) purpose: &'static str,
    test: Test,
    source: Source,
    /// The user's choice if the installation fails.
    pub(super) remedy: &'static str,
}

/// A quick test, which succeeds only if the tool works.
#[derive(Debug)]
enum Test {
    /// A command of a shell.
    Shell(&'static str),
    /// A file in the toolchain.
    Toolchain(&'static str),
    Other(fn() -> bool),
}

#[derive(Debug)]
enum Source {
    /// Packages of Debian.
    Debian(&'static [&'static str]),
    Rustup(&'static [&'static str]),
    Other(fn(&Machine) -> Vec<Step>),
}

impl Requirement {
    pub(super) fn is_met(&self, machine: &Machine) -> bool {
        match self.test {
            Test::Shell(line) => command::works(Command::new("sh").args(["-c", line])),
            Test::Toolchain(path) => machine.sysroot.join(path).exists(),
            Test::Other(works) => works(),
        }
    }

    pub(super) fn steps(&self, machine: &Machine) -> Vec<Step> {
        let apt = |package: &&str| Step::Apt((*package).to_owned());
        match self.source {
            Source::Debian(packages) => packages.iter().map(apt).collect(),
            Source::Rustup(arguments) => vec![Step::Rustup(arguments)],
            Source::Other(steps) => steps(machine),
        }
    }

    pub(super) const fn or(mut self, remedy: &'static str) -> Self {
        self.remedy = remedy;
        self
    }
}

/// A program in packages of Debian, with a line for a shell that tests it.
pub(super) const fn debian(
    name: &'static str,
    purpose: &'static str,
    test: &'static str,
    packages: &'static [&'static str],
) -> Requirement {
    Requirement {
        name,
        purpose,
        test: Test::Shell(test),
        source: Source::Debian(packages),
        remedy: "install Debian's package by hand",
    }
}

/// A part of the toolchain, with a file of it.
pub(super) const fn rustup(
    name: &'static str,
    purpose: &'static str,
    file: &'static str,
    arguments: &'static [&'static str],
) -> Requirement {
    Requirement {
        name,
        purpose,
        test: Test::Toolchain(file),
        source: Source::Rustup(arguments),
        remedy: "is the network there? without rustup, install your distribution's package that belongs to its rustc",
    }
}

/// The only requirement whose version is pinned, and that is built here.
pub(super) const LINKER: Requirement = Requirement {
    name: "bpf-linker",
    purpose: "links the kernel programs",
    test: Test::Other(has_linker),
    source: Source::Other(linker),
    remedy: "it needs the development files of the LLVM that rustc has (`rustc -vV`): from Debian's security suite, your \
         distribution, or the LLVM project; LLVM_PREFIX says where they are",
};

fn has_linker() -> bool {
    // On PATH only the pinned version counts; the project's own is the pinned one, but its LLVM may have been removed.
    let ours = workspace::tools().join("bin/bpf-linker");
    command::works(Command::new(ours).arg("--version"))
        || command::read(Command::new("bpf-linker").arg("--version"))
            .is_ok_and(|version| version.trim().ends_with(BPF_LINKER))
}

fn linker(machine: &Machine) -> Vec<Step> {
    let llvm = machine.llvm;
    let prefix = &machine.llvm_prefix;
    let mut steps = Vec::new();
    if !prefix.join("bin/llvm-config").exists() || !prefix.join("include/llvm-c").exists() {
        steps.push(Step::Apt(format!("llvm-{llvm}-dev")));
    }
    let mut install = Command::new("cargo");
    // LLVM does the work of this linker and comes compiled: optimizing the rest takes minutes and saves a tenth of a second.
    install
        .env("LLVM_PREFIX", prefix)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .args(["install", "bpf-linker", "--locked", "--force"])
        .args(["--version", BPF_LINKER])
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{llvm}"))
        .arg("--root")
        .arg(workspace::tools())
        .current_dir(workspace::root());
    steps.push(Step::Plain(
        "build bpf-linker, less than a minute",
        Box::new(install),
    ));
    steps
}

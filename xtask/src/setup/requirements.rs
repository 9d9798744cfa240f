//! Everything a verb may need and cargo does not bring: one table, read by set-up and by nobody else.

use std::process::Command;

use super::machine::Machine;
use super::step::Step;
use crate::{command, workspace};

/// The newest that the crates of our aya release work with; its LLVM is chosen by a feature.
const BPF_LINKER: &str = "0.13.0";

/// The static target: what runs in the test machines and in images.
pub(crate) const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

#[derive(Debug)]
pub(crate) struct Requirement {
    pub(super) name: &'static str,
    /// What it is good for, for the person who waits for it.
    pub(super) purpose: &'static str,
    /// Quick, and true only if the thing works.
    pub(super) is_met: fn(&Machine) -> bool,
    pub(super) steps: fn(&Machine) -> Vec<Step>,
    /// What to do when the installation fails.
    pub(super) remedy: &'static str,
}

/// What the kernel programs are built with.
pub(crate) const KERNEL_PROGRAMS: &[&Requirement] = &[&RUST_SRC, &LINKER];
/// What `check` calls.
pub(crate) const LINTS: &[&Requirement] = &[&RUSTFMT, &CLIPPY];
/// What the tests need that touch no kernel: the agent is still built whole.
pub(crate) const WITHOUT_KERNEL: &[&Requirement] = &[&RUSTFMT, &CLIPPY, &RUST_SRC, &LINKER];
/// What the comparison with process-exporter and the real clients need.
pub(crate) const PARITY: &[&Requirement] = &[&RUSTFMT, &CLIPPY, &RUST_SRC, &LINKER, &CURL];
/// What the test machines are made of.
pub(crate) const MACHINES: &[&Requirement] = &[&RUST_SRC, &LINKER, &STATIC_STD, &QEMU];
/// What the tests on this machine and on other kernels need.
pub(crate) const EVERYTHING: &[&Requirement] = &[
    &RUSTFMT,
    &CLIPPY,
    &RUST_SRC,
    &LINKER,
    &STATIC_STD,
    &QEMU,
    &CURL,
];

const RUSTUP_REMEDY: &str = "is the network there? without rustup, install your distribution's \
     package that belongs to its rustc";

const RUSTFMT: Requirement = Requirement {
    name: "rustfmt",
    purpose: "the format check",
    is_met: |machine| machine.sysroot.join("bin/cargo-fmt").exists(),
    steps: |_| vec![Step::rustup(&["component", "add", "rustfmt"])],
    remedy: RUSTUP_REMEDY,
};

const CLIPPY: Requirement = Requirement {
    name: "clippy",
    purpose: "the lints",
    is_met: |machine| machine.sysroot.join("bin/cargo-clippy").exists(),
    steps: |_| vec![Step::rustup(&["component", "add", "clippy"])],
    remedy: RUSTUP_REMEDY,
};

const RUST_SRC: Requirement = Requirement {
    name: "rust-src",
    purpose: "kernel programs are linked with a `core` of their own",
    is_met: |machine| {
        let source = machine.sysroot.join("lib/rustlib/src/rust/library");
        source.join("Cargo.lock").exists()
    },
    steps: |_| vec![Step::rustup(&["component", "add", "rust-src"])],
    remedy: RUSTUP_REMEDY,
};

const STATIC_STD: Requirement = Requirement {
    name: "the static target",
    purpose: "a binary that runs on any Linux, in the test machines for one",
    is_met: |machine| {
        let libraries = machine.sysroot.join("lib/rustlib").join(STATIC_TARGET);
        libraries.join("lib").exists()
    },
    steps: |_| vec![Step::rustup(&["target", "add", STATIC_TARGET])],
    remedy: RUSTUP_REMEDY,
};

const LINKER: Requirement = Requirement {
    name: "bpf-linker",
    purpose: "links the kernel programs",
    is_met: |_| {
        // On PATH only the pinned version counts; ours is the pinned one, but may have lost its LLVM.
        let ours = workspace::tools().join("bin/bpf-linker");
        command::works(Command::new(ours).arg("--version"))
            || command::read(Command::new("bpf-linker").arg("--version"))
                .is_ok_and(|version| version.trim().ends_with(BPF_LINKER))
    },
    steps: |machine| {
        let llvm = machine.llvm;
        let prefix = &machine.llvm_prefix;
        let mut steps = Vec::new();
        if !prefix.join("bin/llvm-config").exists() || !prefix.join("include/llvm-c").exists() {
            steps.push(Step::apt(&format!("llvm-{llvm}-dev")));
        }
        let mut install = Command::new("cargo");
        install
            .env("LLVM_PREFIX", prefix)
            .args(["install", "bpf-linker", "--locked", "--force"])
            .args(["--version", BPF_LINKER])
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{llvm}"))
            .arg("--root")
            .arg(workspace::tools())
            .current_dir(workspace::root());
        steps.push(Step::plain("build bpf-linker, one or two minutes", install));
        steps
    },
    remedy: "it needs the development files of the LLVM that rustc has (`rustc -vV`): from Debian's \
             security suite, your distribution, or the LLVM project; LLVM_PREFIX says where they are",
};

const QEMU: Requirement = Requirement {
    name: "qemu",
    purpose: "the same tests on another kernel",
    is_met: |_| command::works(Command::new("qemu-system-x86_64").arg("--version")),
    steps: |_| vec![Step::apt("qemu-system-x86")],
    remedy: "install a qemu-system-x86_64 of 7.2 or newer",
};

const CURL: Requirement = Requirement {
    name: "curl",
    purpose: "a client that is not ours",
    is_met: |_| command::works(Command::new("curl").arg("--version")),
    steps: |_| vec![Step::apt("curl")],
    remedy: "install any curl that speaks TLS 1.2 and 1.3",
};

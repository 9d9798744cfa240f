//! What differs between the machines that are emulated.
//!
//! In: nothing. Out: one constant each, named in the rows of the table of kernels.

use crate::setup::{self, Requirement};

#[derive(Debug)]
pub(crate) struct Architecture {
    /// Debian's name of it.
    pub(crate) debian: &'static str,
    /// Its kernel for cloud machines, which boots without modules and carries BTF.
    pub(super) metapackage: &'static str,
    /// What the agent and the tests are built for.
    pub(super) triple: &'static str,
    pub(super) requirements: &'static [&'static Requirement],
    pub(super) emulator: &'static str,
    /// What sort of machine it emulates.
    pub(super) model: &'static [&'static str],
    /// What the kernel calls the serial port that the emulator shows.
    pub(super) console: &'static str,
    /// What the kernel must be told in emulation.
    pub(super) words: &'static str,
}

/// On one emulation thread. Without cx16: in QEMU 7.2 an interrupt right behind cmpxchg16b loads the flags with garbage, and
/// 6.12, whose allocator uses it on every path, dies of that under load.
pub(crate) const AMD64: Architecture = Architecture {
    debian: "amd64",
    metapackage: "linux-image-cloud-amd64",
    triple: setup::STATIC_TARGET,
    requirements: setup::MACHINES,
    emulator: "qemu-system-x86_64",
    model: &["-accel", "tcg,thread=single", "-cpu", "max,-cx16"],
    console: "ttyS0",
    // On a machine with much to do an emulated timer can be so late that the kernel takes it for broken.
    words: "no_timer_check",
};

/// The processor is that of the first arm64 machines that clouds rented out in numbers; newer ones sign pointers, which takes
/// most of the emulator's time.
pub(crate) const ARM64: Architecture = Architecture {
    debian: "arm64",
    metapackage: "linux-image-cloud-arm64",
    triple: setup::STATIC_ARM_TARGET,
    requirements: setup::ARM_MACHINES,
    emulator: "qemu-system-aarch64",
    model: &[
        "-machine",
        "virt",
        "-accel",
        "tcg,thread=single",
        "-cpu",
        "neoverse-n1",
    ],
    console: "ttyAMA0",
    words: "",
};

//! Differences between the emulated architectures: one constant each, which the rows of the table of kernels name.

use crate::setup::{self, Requirement};

#[derive(Debug)]
pub(crate) struct Architecture {
    /// Debian's name of the architecture.
    pub(crate) debian: &'static str,
    /// Its kernel package for cloud machines, which boots without modules and contains BTF.
    pub(super) metapackage: &'static str,
    /// Target triple of the agent and the tests.
    pub(super) triple: &'static str,
    pub(super) requirements: &'static [&'static Requirement],
    pub(super) emulator: &'static str,
    /// Options that select the emulated machine.
    pub(super) model: &'static str,
    /// The kernel's name of the serial port of the emulator.
    pub(super) console: &'static str,
    /// Kernel parameters that the emulation needs.
    pub(super) words: &'static str,
}

/// One emulation thread. Without cx16: in QEMU 7.2 an interrupt right after cmpxchg16b loads wrong flags, and 6.12, whose
/// allocator uses this instruction on every path, crashes under load.
pub(crate) const AMD64: Architecture = Architecture {
    debian: "amd64",
    metapackage: "linux-image-cloud-amd64",
    triple: setup::STATIC_TARGET,
    requirements: setup::MACHINES,
    emulator: "qemu-system-x86_64",
    model: "-accel tcg,thread=single -cpu max,-cx16",
    console: "ttyS0",
    // On a busy machine an emulated timer can be so late that the kernel takes it for broken.
    words: "no_timer_check",
};

/// With cx16: without this instruction, Linux 7.2 allocates no storage for sockets (`kmalloc_nolock`), and it does not crash with
/// it. Real processors have it.
pub(crate) const AMD64_CX16: Architecture = Architecture {
    model: "-accel tcg,thread=single -cpu max",
    ..AMD64
};

/// The processor of the first arm64 machines that clouds offered in numbers; newer ones sign pointers, which takes most of the
/// emulator's time.
pub(crate) const ARM64: Architecture = Architecture {
    debian: "arm64",
    metapackage: "linux-image-cloud-arm64",
    triple: setup::STATIC_ARM_TARGET,
    requirements: setup::ARM_MACHINES,
    emulator: "qemu-system-aarch64",
    model: "-machine virt -accel tcg,thread=single -cpu neoverse-n1",
    console: "ttyAMA0",
    words: "",
};

//! The requirements of all verbs beyond what cargo installs, in one table; only the set-up reads it.

use std::path::Path;
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
    /// Whether it is met: a quick test, true only if the tool works.
    pub(super) is_met: fn(&Machine) -> bool,
    pub(super) steps: fn(&Machine) -> Vec<Step>,
    /// What the user can do if the installation fails.
    pub(super) remedy: &'static str,
}

/// For building the kernel programs.
pub const KERNEL_PROGRAMS: &[&Requirement] = &[&RUST_SRC, &LINKER];
/// For `check`.
pub const LINTS: &[&Requirement] = &[&RUSTFMT, &CLIPPY, &SYSTEMD, &PYTHON];
/// For the tests without kernel programs; they still build the whole agent.
pub const WITHOUT_KERNEL: &[&Requirement] = &[
    &RUSTFMT, &CLIPPY, &SYSTEMD, &PYTHON, &DPKG, &RUST_SRC, &LINKER, &CXX,
];
/// For the comparison with process-exporter and for the real clients.
pub const PARITY: &[&Requirement] = &[&RUST_SRC, &LINKER, &CURL, &WSGI_PYTHON];
/// For the test machines of amd64.
pub const MACHINES: &[&Requirement] = &[&RUST_SRC, &LINKER, &STATIC_STD, &QEMU];
/// For the test machines of arm64.
pub const ARM_MACHINES: &[&Requirement] = &[
    &RUST_SRC,
    &LINKER,
    &STATIC_ARM_STD,
    &ARM_COMPILER,
    &ARM_QEMU,
];
/// For packages.
pub const PACKAGES: &[&Requirement] = &[&DPKG];
/// For the machine that tests the packages.
pub const SYSTEMD_MACHINES: &[&Requirement] = &[&QEMU, &DEBOOTSTRAP, &CPIO, &LINTIAN];
/// For building the fuzz targets.
pub const FUZZING: &[&Requirement] = &[&CXX];
/// For the tests of the page.
pub const BROWSER: &[&Requirement] = &[&RUST_SRC, &LINKER, &CHROMIUM];
/// For the tests beside the real Passenger.
pub const PASSENGER: &[&Requirement] =
    &[&RUST_SRC, &LINKER, &PASSENGER_SERVERS, &NODE, &WSGI_PYTHON];
/// For the network accounting beside real programs.
pub const NETWORK: &[&Requirement] = &[
    &RUST_SRC,
    &LINKER,
    &CURL,
    &NGINX,
    &AB,
    &IPERF3,
    &POSTGRESQL,
    &IPROUTE2,
];
/// For measuring what requests cost.
pub const HTTP_BENCH: &[&Requirement] = &[&PYTHON, &NGINX, &WRK];
/// For requests to real servers.
pub const HTTP_SERVERS: &[&Requirement] = &[
    &RUST_SRC,
    &LINKER,
    &PYTHON,
    &DEBIAN_GUNICORN,
    &PUMA,
    &NGINX,
    &TRACERS,
];
/// For the tests on this machine and on other kernels.
pub const EVERYTHING: &[&Requirement] = &[
    &RUSTFMT,
    &CLIPPY,
    &SYSTEMD,
    &RUST_SRC,
    &LINKER,
    &STATIC_STD,
    &QEMU,
    &CHROMIUM,
    &CURL,
    &CXX,
    &PASSENGER_SERVERS,
    &NODE,
    &WSGI_PYTHON,
    &PYTHON,
    &DEBIAN_GUNICORN,
    &PUMA,
    &NGINX,
    &TRACERS,
];

/// For a static binary of amd64.
pub const STATIC_BINARY: &[&Requirement] = &[&RUST_SRC, &LINKER, &STATIC_STD];
/// For a static binary of arm64.
pub const STATIC_ARM_BINARY: &[&Requirement] =
    &[&RUST_SRC, &LINKER, &STATIC_ARM_STD, &ARM_COMPILER];
/// For counting instructions.
pub const BENCH: &[&Requirement] = &[&VALGRIND];
/// For checking the manifests.
pub const MANIFESTS: &[&Requirement] = &[&PYTHON];

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

const SYSTEMD: Requirement = Requirement {
    name: "systemd",
    purpose: "judges the unit files",
    is_met: |_| command::works(Command::new("systemd-analyze").arg("--version")),
    steps: |_| vec![Step::apt("systemd")],
    remedy: "install a systemd of 252 or newer; it need not run",
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

const STATIC_ARM_STD: Requirement = Requirement {
    name: "the static target for arm64",
    purpose: "packages for arm64",
    is_met: |machine| {
        let libraries = machine.sysroot.join("lib/rustlib").join(STATIC_ARM_TARGET);
        libraries.join("lib").exists()
    },
    steps: |_| vec![Step::rustup(&["target", "add", STATIC_ARM_TARGET])],
    remedy: RUSTUP_REMEDY,
};

/// The C code of ring needs the headers of some libc, too.
const ARM_COMPILER: Requirement = Requirement {
    name: "a C compiler for arm64",
    purpose: "the C in the cryptography of packages for arm64",
    is_met: |_| {
        let compile = "echo '#include <stdint.h>' | aarch64-linux-gnu-gcc -E -";
        command::works(Command::new("sh").args(["-c", compile]))
    },
    steps: |_| {
        vec![
            Step::apt("gcc-aarch64-linux-gnu"),
            Step::apt("libc6-dev-arm64-cross"),
        ]
    },
    remedy: "install an aarch64-linux-gnu-gcc with its libc's headers",
};

const DPKG: Requirement = Requirement {
    name: "dpkg-deb",
    purpose: "writes the .deb",
    is_met: |_| command::works(Command::new("dpkg-deb").arg("--version")),
    steps: |_| vec![Step::apt("dpkg")],
    remedy: "install dpkg; other distributions than Debian have it, too",
};

const LINKER: Requirement = Requirement {
    name: "bpf-linker",
    purpose: "links the kernel programs",
    is_met: |_| {
        // On PATH only the pinned version counts; the project's own is the pinned one, but its LLVM may have been removed.
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
        steps.push(Step::plain("build bpf-linker, less than a minute", install));
        steps
    },
    remedy: "it needs the development files of the LLVM that rustc has (`rustc -vV`): from Debian's \
             security suite, your distribution, or the LLVM project; LLVM_PREFIX says where they are",
};

const DEBOOTSTRAP: Requirement = Requirement {
    name: "debootstrap",
    purpose: "a small Debian to install packages on",
    is_met: |_| command::works(Command::new("debootstrap").arg("--version")),
    steps: |_| vec![Step::apt("debootstrap")],
    remedy: "install debootstrap; other distributions than Debian have it, too",
};

const LINTIAN: Requirement = Requirement {
    name: "lintian",
    purpose: "judges the .deb",
    is_met: |_| command::works(Command::new("lintian").arg("--version")),
    steps: |_| vec![Step::apt("lintian")],
    remedy: "install lintian; only Debian and its like have it",
};

const CPIO: Requirement = Requirement {
    name: "cpio",
    purpose: "hands that Debian to the emulated machine",
    is_met: |_| command::works(Command::new("cpio").arg("--version")),
    steps: |_| vec![Step::apt("cpio")],
    remedy: "install GNU cpio",
};

const PYTHON: Requirement = Requirement {
    name: "python",
    purpose: "the spelling check, the schemas of Kubernetes and servers of HTTP are Python packages, which get folders of their own",
    is_met: |_| command::works(Command::new("python3").args(["-c", "import venv, ensurepip"])),
    steps: |_| vec![Step::apt("python3-venv")],
    remedy: "install Python 3 with its module venv",
};

const QEMU: Requirement = Requirement {
    name: "qemu",
    purpose: "the same tests on another kernel",
    is_met: |_| command::works(Command::new("qemu-system-x86_64").arg("--version")),
    steps: |_| vec![Step::apt("qemu-system-x86")],
    remedy: "install a qemu-system-x86_64 of 7.2 or newer",
};

const ARM_QEMU: Requirement = Requirement {
    name: "qemu for arm64",
    purpose: "the same tests on a kernel for arm64",
    is_met: |_| command::works(Command::new("qemu-system-aarch64").arg("--version")),
    steps: |_| vec![Step::apt("qemu-system-arm")],
    remedy: "install a qemu-system-aarch64 of 7.2 or newer",
};

const CHROMIUM: Requirement = Requirement {
    name: "chromium",
    purpose: "the page as a person sees it",
    is_met: |_| {
        let works = |program| command::works(Command::new(program).arg("--version"));
        works("chromium") && works("chromedriver")
    },
    // This package also installs the browser of the same version.
    steps: |_| vec![Step::apt("chromium-driver")],
    remedy: "install a chromium and the chromedriver of the same version",
};

/// Apache comes as `apache2-bin`, on which the module depends: that package has no service, so the installation starts no server,
/// on a machine with systemd either. The package `apache2` would start one on all interfaces.
const PASSENGER_SERVERS: Requirement = Requirement {
    name: "passenger",
    purpose: "the real program that the agent asks for its applications",
    is_met: |_| {
        let apache =
            "test -x /usr/sbin/apache2 && test -e /usr/lib/apache2/modules/mod_passenger.so";
        command::works(Command::new("passenger").arg("--version"))
            && command::works(Command::new("ruby").args(["-e", "require 'rack'"]))
            && command::works(Command::new("sh").args(["-c", apache]))
    },
    // Both depend on packages that are not recommended but needed: ruby, ruby-rack, apache2-bin.
    steps: |_| {
        vec![
            Step::apt("passenger"),
            Step::apt("libapache2-mod-passenger"),
        ]
    },
    remedy: "install Debian's passenger, ruby-rack and libapache2-mod-passenger",
};

/// With the worker classes that the tests use, and with titles.
const DEBIAN_GUNICORN: Requirement = Requirement {
    name: "gunicorn",
    purpose: "a server of Python that is years old",
    is_met: |_| {
        let modules = "import gunicorn, gevent, uvicorn, setproctitle";
        command::works(Command::new("/usr/bin/python3").args(["-c", modules]))
    },
    steps: |_| {
        let names = ["gunicorn", "gevent", "uvicorn", "setproctitle"];
        let packages = names.map(|name| Step::apt(&format!("python3-{name}")));
        packages.into()
    },
    remedy: "install Debian's python3-gunicorn, python3-gevent, python3-uvicorn and python3-setproctitle",
};

const PUMA: Requirement = Requirement {
    name: "puma",
    purpose: "a server of Ruby with processes and threads",
    is_met: |_| command::works(Command::new("/usr/bin/puma").arg("--version")),
    steps: |_| vec![Step::apt("puma"), Step::apt("ruby-rack")],
    remedy: "install Debian's puma and ruby-rack",
};

const TRACERS: Requirement = Requirement {
    name: "strace and tcpdump",
    purpose: "other tools on the sockets that the agent sees",
    is_met: |_| {
        ["/usr/bin/strace", "/usr/bin/tcpdump"]
            .iter()
            .all(|path| Path::new(path).exists())
    },
    steps: |_| vec![Step::apt("strace"), Step::apt("tcpdump")],
    remedy: "install Debian's strace and tcpdump",
};

const WRK: Requirement = Requirement {
    name: "wrk",
    purpose: "requests as fast as a server takes them",
    is_met: |_| Path::new("/usr/bin/wrk").exists(),
    steps: |_| vec![Step::apt("wrk")],
    remedy: "install Debian's wrk",
};

const NGINX: Requirement = Requirement {
    name: "nginx",
    purpose: "a server that logs the bytes of each request",
    is_met: |_| command::works(Command::new("/usr/sbin/nginx").arg("-v")),
    steps: |_| vec![Step::apt("nginx")],
    remedy: "install Debian's nginx",
};

const AB: Requirement = Requirement {
    name: "ab",
    purpose: "200,000 connections in a minute",
    is_met: |_| command::works(Command::new("/usr/bin/ab").arg("-V")),
    steps: |_| vec![Step::apt("apache2-utils")],
    remedy: "install Debian's apache2-utils",
};

const IPERF3: Requirement = Requirement {
    name: "iperf3",
    purpose: "bulk transfers that report their bytes",
    is_met: |_| command::works(Command::new("/usr/bin/iperf3").arg("--version")),
    steps: |_| vec![Step::apt("iperf3")],
    remedy: "install Debian's iperf3",
};

/// The package also brings pgbench, and makes a cluster that the tests do not use.
const POSTGRESQL: Requirement = Requirement {
    name: "postgresql",
    purpose: "transactions whose messages have known lengths",
    is_met: |_| {
        let both = "set -- /usr/lib/postgresql/*/bin/pgbench && test -x \"$1\" \
                    && set -- /usr/lib/postgresql/*/bin/initdb && test -x \"$1\"";
        command::works(Command::new("sh").args(["-c", both]))
    },
    steps: |_| vec![Step::apt("postgresql")],
    remedy: "install Debian's postgresql",
};

const IPROUTE2: Requirement = Requirement {
    name: "ip",
    purpose: "network namespaces with a cable between them",
    is_met: |_| command::works(Command::new("ip").arg("-V")),
    steps: |_| vec![Step::apt("iproute2")],
    remedy: "install iproute2",
};

const NODE: Requirement = Requirement {
    name: "node",
    purpose: "an application of Passenger in Node.js",
    is_met: |_| command::works(Command::new("node").arg("--version")),
    steps: |_| vec![Step::apt("nodejs")],
    remedy: "install a node of 18 or newer",
};

/// The tests name this path, because a `python3` in a user's home cannot be run by other users.
const WSGI_PYTHON: Requirement = Requirement {
    name: "/usr/bin/python3",
    purpose: "applications in Python",
    is_met: |_| command::works(Command::new("/usr/bin/python3").arg("--version")),
    steps: |_| vec![Step::apt("python3")],
    remedy: "install Debian's python3",
};

/// The package also installs the headers of the standard library.
const CXX: Requirement = Requirement {
    name: "a C++ compiler",
    purpose: "the engine that makes inputs for fuzzing",
    is_met: |_| {
        let compile = "echo '#include <cstdint>' | c++ -x c++ -E -";
        command::works(Command::new("sh").args(["-c", compile]))
    },
    steps: |_| vec![Step::apt("g++")],
    remedy: "install g++ or clang++, so that c++ is one of them",
};

const CURL: Requirement = Requirement {
    name: "curl",
    purpose: "a client that is not ours",
    is_met: |_| command::works(Command::new("curl").arg("--version")),
    steps: |_| vec![Step::apt("curl")],
    remedy: "install any curl that speaks TLS 1.2 and 1.3",
};

const VALGRIND: Requirement = Requirement {
    name: "valgrind",
    purpose: "counts the instructions of a scrape, the same on every run",
    is_met: |_| command::works(Command::new("valgrind").arg("--version")),
    steps: |_| vec![Step::apt("valgrind")],
    remedy: "install a valgrind of 3.19 or newer, with callgrind_annotate",
};

//! The requirements of all verbs beyond what cargo installs: lists by purpose, then one row each. rustfmt skips this file.

use super::requirement::{LINKER, Requirement, STATIC_ARM_TARGET, STATIC_TARGET, debian, rustup};

/// For building the kernel programs.
pub const KERNEL_PROGRAMS: &[&Requirement] = &[&RUST_SRC, &LINKER];
/// For `check`.
pub const LINTS: &[&Requirement] = &[&RUSTFMT, &CLIPPY, &SYSTEMD, &PYTHON];
/// For the tests without kernel programs; they still build the whole agent.
pub const WITHOUT_KERNEL: &[&Requirement] = &[&RUSTFMT, &CLIPPY, &SYSTEMD, &PYTHON, &RUST_SRC, &LINKER, &CXX];
/// For the comparison with process-exporter and for the real clients.
pub const PARITY: &[&Requirement] = &[&RUST_SRC, &LINKER, &CURL, &WSGI_PYTHON];
/// For the test machines of amd64.
pub const MACHINES: &[&Requirement] = &[&RUST_SRC, &LINKER, &STATIC_STD, &QEMU];
/// For the test machines of arm64.
pub const ARM_MACHINES: &[&Requirement] = &[&RUST_SRC, &LINKER, &STATIC_ARM_STD, &ARM_COMPILER, &ARM_QEMU];
/// For packages.
pub const PACKAGES: &[&Requirement] = &[&PYTHON];
/// For the machine that tests the packages.
pub const SYSTEMD_MACHINES: &[&Requirement] = &[&QEMU, &DEBOOTSTRAP, &CPIO, &LINTIAN];
/// For building the fuzz targets.
pub const FUZZING: &[&Requirement] = &[&CXX];
/// For the tests of the page.
pub const BROWSER: &[&Requirement] = &[&RUST_SRC, &LINKER, &CHROMIUM];
/// For the tests beside the real Passenger.
pub const PASSENGER: &[&Requirement] = &[&RUST_SRC, &LINKER, &PASSENGER_SERVERS, &NODE, &WSGI_PYTHON];
/// For the network accounting beside real programs.
pub const NETWORK: &[&Requirement] = &[&RUST_SRC, &LINKER, &CURL, &NGINX, &AB, &IPERF3, &POSTGRESQL, &IPROUTE2];
/// For measuring what requests cost.
pub const HTTP_BENCH: &[&Requirement] = &[&PYTHON, &NGINX, &WRK];
/// For requests to real servers.
pub const HTTP_SERVERS: &[&Requirement] = &[&RUST_SRC, &LINKER, &PYTHON, &DEBIAN_GUNICORN, &PUMA, &NGINX, &TRACERS];
/// For the tests on this machine and on other kernels.
pub const EVERYTHING: &[&Requirement] = &[
    &RUSTFMT, &CLIPPY, &SYSTEMD, &RUST_SRC, &LINKER, &STATIC_STD, &QEMU, &CHROMIUM, &CURL, &CXX, &PASSENGER_SERVERS, &NODE,
    &WSGI_PYTHON, &PYTHON, &DEBIAN_GUNICORN, &PUMA, &NGINX, &TRACERS,
];

/// For a static binary of amd64.
pub const STATIC_BINARY: &[&Requirement] = &[&RUST_SRC, &LINKER, &STATIC_STD];
/// For a static binary of arm64.
pub const STATIC_ARM_BINARY: &[&Requirement] = &[&RUST_SRC, &LINKER, &STATIC_ARM_STD, &ARM_COMPILER];
/// For counting instructions.
pub const BENCH: &[&Requirement] = &[&VALGRIND];
/// For checking the manifests.
pub const MANIFESTS: &[&Requirement] = &[&PYTHON];

const RUSTFMT: Requirement =
    rustup("rustfmt", "the format check", "bin/cargo-fmt", &["component", "add", "rustfmt"]);
const CLIPPY: Requirement =
    rustup("clippy", "the lints", "bin/cargo-clippy", &["component", "add", "clippy"]);
const RUST_SRC: Requirement =
    rustup("rust-src", "kernel programs are linked with a `core` of their own",
        "lib/rustlib/src/rust/library/Cargo.lock", &["component", "add", "rust-src"]);
const STATIC_STD: Requirement =
    rustup("the static target", "a binary that runs on any Linux, in the test machines for one",
        "lib/rustlib/x86_64-unknown-linux-musl/lib", &["target", "add", STATIC_TARGET]);
const STATIC_ARM_STD: Requirement =
    rustup("the static target for arm64", "packages for arm64",
        "lib/rustlib/aarch64-unknown-linux-musl/lib", &["target", "add", STATIC_ARM_TARGET]);

const SYSTEMD: Requirement =
    debian("systemd", "judges the unit files", "systemd-analyze --version", &["systemd"])
        .or("install a systemd of 252 or newer; it need not run");
/// The C code of ring needs the headers of some libc, too.
const ARM_COMPILER: Requirement =
    debian("a C compiler for arm64", "the C in the cryptography of packages for arm64",
        "echo '#include <stdint.h>' | aarch64-linux-gnu-gcc -E -", &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"])
        .or("install an aarch64-linux-gnu-gcc with its libc's headers");
/// The package also installs the headers of the standard library.
const CXX: Requirement =
    debian("a C++ compiler", "the engine that makes inputs for fuzzing",
        "echo '#include <cstdint>' | c++ -x c++ -E -", &["g++"])
        .or("install g++ or clang++, so that c++ is one of them");
const DEBOOTSTRAP: Requirement =
    debian("debootstrap", "a small Debian to install packages on", "debootstrap --version", &["debootstrap"])
        .or("install debootstrap; other distributions than Debian have it, too");
const LINTIAN: Requirement =
    debian("lintian", "judges the .deb", "lintian --version", &["lintian"])
        .or("install lintian; only Debian and its like have it");
const CPIO: Requirement =
    debian("cpio", "hands that Debian to the emulated machine", "cpio --version", &["cpio"]);
const PYTHON: Requirement =
    debian("python", "nFPM, the checks of documents, the schemas of Kubernetes and servers of HTTP are Python packages",
        "python3 -c 'import venv, ensurepip'", &["python3-venv"])
        .or("install Python 3 with its module venv");
const QEMU: Requirement =
    debian("qemu", "the same tests on another kernel", "qemu-system-x86_64 --version", &["qemu-system-x86"])
        .or("install a qemu-system-x86_64 of 7.2 or newer");
const ARM_QEMU: Requirement =
    debian("qemu for arm64", "the same tests on a kernel for arm64", "qemu-system-aarch64 --version", &["qemu-system-arm"])
        .or("install a qemu-system-aarch64 of 7.2 or newer");
/// The package also installs the browser of the same version.
const CHROMIUM: Requirement =
    debian("chromium", "the page in a real browser", "chromium --version && chromedriver --version", &["chromium-driver"])
        .or("install a chromium and the chromedriver of the same version");
/// Both packages depend on others that are needed: ruby, ruby-rack, apache2-bin. Apache comes as `apache2-bin`, which has no
/// service, so the installation starts no server, on a machine with systemd either. The package `apache2` would start one on
/// all interfaces.
const PASSENGER_SERVERS: Requirement =
    debian("passenger", "the real program that the agent asks for its applications",
        "passenger --version && ruby -e \"require 'rack'\" && test -x /usr/sbin/apache2 \
         && test -e /usr/lib/apache2/modules/mod_passenger.so", &["passenger", "libapache2-mod-passenger"])
        .or("install Debian's passenger, ruby-rack and libapache2-mod-passenger");
/// With the worker classes that the tests use, and with titles.
const DEBIAN_GUNICORN: Requirement =
    debian("gunicorn", "a server of Python that is years old",
        "/usr/bin/python3 -c 'import gunicorn, gevent, uvicorn, setproctitle'",
        &["python3-gunicorn", "python3-gevent", "python3-uvicorn", "python3-setproctitle"]);
const PUMA: Requirement =
    debian("puma", "a server of Ruby with processes and threads", "/usr/bin/puma --version", &["puma", "ruby-rack"]);
const TRACERS: Requirement =
    debian("strace and tcpdump", "other tools on the sockets that the agent sees",
        "test -e /usr/bin/strace && test -e /usr/bin/tcpdump", &["strace", "tcpdump"]);
const WRK: Requirement =
    debian("wrk", "requests as fast as a server takes them", "test -e /usr/bin/wrk", &["wrk"]);
const NGINX: Requirement =
    debian("nginx", "a server that logs the bytes of each request", "/usr/sbin/nginx -v", &["nginx"]);
const AB: Requirement =
    debian("ab", "200,000 connections in a minute", "/usr/bin/ab -V", &["apache2-utils"]);
const IPERF3: Requirement =
    debian("iperf3", "bulk transfers that report their bytes", "/usr/bin/iperf3 --version", &["iperf3"]);
/// The package also brings pgbench, and makes a cluster that the tests do not use.
const POSTGRESQL: Requirement =
    debian("postgresql", "transactions whose messages have known lengths",
        "set -- /usr/lib/postgresql/*/bin/pgbench && test -x \"$1\" && set -- /usr/lib/postgresql/*/bin/initdb && test -x \"$1\"",
        &["postgresql"]);
const IPROUTE2: Requirement =
    debian("ip", "network namespaces with a cable between them", "ip -V", &["iproute2"]);
const NODE: Requirement =
    debian("node", "an application of Passenger in Node.js", "node --version", &["nodejs"])
        .or("install a node of 18 or newer");
/// The tests name this path, because a `python3` in a user's home cannot be run by other users.
const WSGI_PYTHON: Requirement =
    debian("/usr/bin/python3", "applications in Python", "/usr/bin/python3 --version", &["python3"]);
const CURL: Requirement =
    debian("curl", "a client that is not ours", "curl --version", &["curl"])
        .or("install any curl that speaks TLS 1.2 and 1.3");
const VALGRIND: Requirement =
    debian("valgrind", "counts the instructions of a scrape, the same on every run", "valgrind --version", &["valgrind"])
        .or("install a valgrind of 3.19 or newer, with callgrind_annotate");

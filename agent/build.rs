//! Builds the kernel programs, and embeds their object files in the agent.
//!
//! In: the crate `agent-ebpf`, the component `rust-src`, a `bpf-linker` of the same LLVM version as rustc, and the
//! variable `HEADCOUNT_EBPF` (`auto`, the default; `skip`; `require`).
//! Out: `$OUT_DIR/headcount-ebpf`, `headcount-network` and `headcount-requests`, and the cfg `has_ebpf`. If a tool is missing,
//! `auto` makes none of them and prints a warning with the commands that install it; the agent then counts through `/proc` only. With
//! `require` a missing tool is an error.
//! A tool that is present and fails is an error with both, so that a broken program is not mistaken for a missing tool.
//! This script installs nothing; `cargo xtask setup` does.
//!
//! The crate aya-build does nearly the same, but needs `RUSTC_BOOTSTRAP` and the linker's folder in the environment of the
//! outer cargo, which would rebuild every dependency. It also builds `core` anew for each profile, and adds 15 crates.
#![allow(clippy::print_stdout, reason = "the way a build script talks to cargo")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

const BINARIES: [&str; 4] = [
    "headcount-ebpf",
    "headcount-network",
    "headcount-network-hash",
    "headcount-requests",
];
const TARGET: &str = "bpfel-unknown-none";
/// Versions and commands are only in xtask's list of requirements, so they are not repeated here.
const SETUP: &str =
    "cargo xtask setup (installs what is missing; where it may not, it prints the commands)";

fn main() {
    identify();
    println!("cargo::rustc-check-cfg=cfg(has_ebpf)");
    println!("cargo::rerun-if-env-changed=HEADCOUNT_EBPF");
    let wish = env::var("HEADCOUNT_EBPF").unwrap_or_else(|_| "auto".to_owned());
    if wish == "skip" {
        return;
    }
    if wish != "auto" && wish != "require" {
        fail(&format!(
            "HEADCOUNT_EBPF is {wish:?}, expected auto, skip or require"
        ));
    }

    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    let target_dir = workspace.join(env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into()));
    let tools = target_dir.join("tools/bin");
    watch(&workspace, &tools);

    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(arch.as_str(), "x86_64" | "aarch64") {
        missing(
            &wish,
            &format!("there are none for {arch}"),
            "build for x86_64 or aarch64",
        );
        return;
    }
    if !has_rust_src() {
        missing(&wish, "rust-src is not installed", SETUP);
        return;
    }
    let Some(linker) = find_linker(&tools) else {
        let what = "bpf-linker is neither in target/tools/bin nor on PATH";
        missing(&wish, what, SETUP);
        return;
    };

    let built = build(&workspace, &target_dir, &linker, &arch);
    let out_dir = PathBuf::from(variable("OUT_DIR"));
    for binary in BINARIES {
        embed(&built.join(binary), &out_dir.join(binary));
    }
    println!("cargo::rustc-cfg=has_ebpf");
}

/// Sets the values of `headcount_build_info`. The revision is `unknown` in a build outside a git checkout.
fn identify() {
    let first_line = |program: OsString, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.lines().next().map(str::to_owned)
    };
    let revision = first_line("git".into(), &["rev-parse", "--short=12", "HEAD"]);
    let rustc = first_line(variable("RUSTC"), &["--version"]);
    let rustc = rustc
        .as_deref()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap_or("unknown");
    println!(
        "cargo::rustc-env=HEADCOUNT_REVISION={}",
        revision.as_deref().unwrap_or("unknown")
    );
    println!("cargo::rustc-env=HEADCOUNT_RUSTC={rustc}");
    println!(
        "cargo::rustc-env=HEADCOUNT_TARGET={}",
        env::var("TARGET").unwrap_or_default()
    );
    let head = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../.git/logs/HEAD");
    if head.exists() {
        println!("cargo::rerun-if-changed={}", head.display());
    }
}

/// Makes cargo run this script again when a source of the programs changes, or when the linker is installed.
fn watch(workspace: &Path, tools: &Path) {
    for path in [
        "agent-ebpf/src",
        "agent-ebpf/Cargo.toml",
        "agent-common/src",
        "agent-common/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
        "agent/build.rs",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    // cargo treats a watched path that does not exist as changed at every build, so the folder is created. Failure does no
    // harm.
    let _ = fs::create_dir_all(tools);
    println!("cargo::rerun-if-changed={}", tools.display());
}

/// Builds the kernel programs in a target folder of their own, because the outer cargo holds the lock of the usual one. All
/// profiles of the agent for one architecture share this folder. Returns the folder of the object files.
fn build(workspace: &Path, target_dir: &Path, linker: &Path, arch: &str) -> PathBuf {
    let nested = target_dir.join("ebpf").join(arch);
    let mut rustflags = vec![
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        "-Cdebuginfo=2".to_owned(),
    ];
    rustflags.extend(without_paths(workspace));
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(workspace)
        .args(["build", "--quiet", "--locked", "--release"])
        .args(["--package", "agent-ebpf"])
        .args(BINARIES.map(|binary| format!("--bin={binary}")))
        .args(["--target", TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(&nested)
        .env("RUSTC_BOOTSTRAP", "1") // the pinned stable compiler, with -Z for this crate only
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"))
        .env_remove("RUSTC_WORKSPACE_WRAPPER") // under clippy this is clippy's driver
        .env_remove("CARGO_BUILD_TARGET");
    match cargo.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => fail(&format!(
            "the kernel programs do not build ({}); HEADCOUNT_EBPF=skip builds the agent without them\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => fail(&format!("start {cargo:?}: {error}")),
    }
    nested.join(TARGET).join("release")
}

/// Flags that replace the paths of this machine by fixed names, because BTF contains the paths of sources.
fn without_paths(workspace: &Path) -> Vec<String> {
    let sources = sysroot().map(|sysroot| sysroot.join("lib/rustlib/src/rust"));
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = env::var_os("HOME")?;
        Some(Path::new(&home).join(".cargo"))
    });
    let folders = [
        (fs::canonicalize(workspace).ok(), "/headcount"),
        (cargo, "/cargo"),
        (sources, "/rust"),
    ];
    folders
        .into_iter()
        .filter_map(|(folder, name)| {
            Some(format!("--remap-path-prefix={}={name}", folder?.display()))
        })
        .collect()
}

/// Copies the object without its DWARF, which is two thirds of it. BTF has been made from the DWARF, and the kernel uses only
/// BTF.
fn embed(built: &Path, embedded: &Path) {
    let host = variable("HOST").to_string_lossy().into_owned();
    let objcopy = sysroot().map(|sysroot| {
        let tools = sysroot.join("lib/rustlib").join(host);
        tools.join("bin/rust-objcopy")
    });
    let mut objcopy = Command::new(objcopy.unwrap_or_default());
    objcopy.arg("--strip-debug").args([built, embedded]);
    if objcopy.output().is_ok_and(|output| output.status.success()) {
        return;
    }
    // Without `rust-objcopy` in the toolchain the agent is larger, but works the same.
    if let Err(error) = fs::copy(built, embedded) {
        fail(&format!("copy {} into OUT_DIR: {error}", built.display()));
    }
}

fn sysroot() -> Option<PathBuf> {
    let mut rustc = Command::new(variable("RUSTC"));
    let output = rustc.args(["--print", "sysroot"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(path.trim()))
}

fn has_rust_src() -> bool {
    let lock = "lib/rustlib/src/rust/library/Cargo.lock";
    sysroot().is_some_and(|sysroot| sysroot.join(lock).exists())
}

fn find_linker(tools: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(tools.to_owned())
        .chain(env::split_paths(&path))
        .map(|folder| folder.join("bpf-linker"))
        .find(|linker| linker.is_file())
}

/// Handles a missing tool: an error with `require`, a warning with `auto`.
fn missing(wish: &str, what: &str, remedy: &str) {
    if wish == "require" {
        fail(&format!("kernel programs: {what}\nto get them: {remedy}"));
    }
    println!("cargo::warning=built without kernel programs, counts through /proc only: {what}");
    println!("cargo::warning=to get them: {remedy}");
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| fail(&format!("{name} is not set: run this through cargo")))
}

fn fail(message: &str) -> ! {
    for line in message.lines() {
        println!("cargo::error={line}");
    }
    exit(1)
}

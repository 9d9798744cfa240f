//! `cargo xtask vm [kernel]... [-- WORD...]`: the live tests on other kernels, in emulated machines.
//!
//! In: names from [`KERNELS`], or `all`; without one the kernel where every kind of hook works. Behind two dashes words of which
//! a test's name must hold one. Out: each machine's console on
//! the terminal and in `target/vm/<kernel>/console.log`, and success only if each reported passed tests and no failed one.
//!
//! A machine has a Debian kernel and, as everything else, two static binaries of ours: the agent, and the live tests as its
//! init. As process 1 those mount what they need, run, print the line that starts with [`RESULT`], and power off.
//! Plain emulation, because /dev/kvm is often missing or broken where tests run.

pub(crate) mod architecture;
pub(crate) mod cpio;
pub(crate) mod kernel;
pub(crate) mod machine;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{command, setup, workspace};
use kernel::{KERNELS, Kernel};
use machine::Outcome;

/// How the line starts that the tests end with: `HEADCOUNT-VM-RESULT: 12 passed, 0 failed`.
const RESULT: &str = "HEADCOUNT-VM-RESULT: ";

/// Where the agent is in a machine. The tests learn it from the variable `HEADCOUNT_BIN`, because the path that cargo gave
/// them is one of this machine.
const AGENT: &str = "/bin/headcount";

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (names, words) = match arguments.iter().position(|word| word == "--") {
        Some(at) => (&arguments[..at], arguments[at..].join(" ")),
        None => (arguments, String::new()),
    };
    let chosen = choose(names, |_| true)?;
    ensure!(
        std::env::consts::ARCH == "x86_64",
        "the tools that build for the test machines are those of x86_64, and so must this machine be"
    );
    for kernel in &chosen {
        setup::ensure(kernel.architecture.requirements)?;
    }

    let mut failures = Vec::new();
    for kernel in chosen {
        // Where nothing has changed, cargo is done at once.
        match build(kernel.architecture.triple).and_then(|guest| run(kernel, &guest, &words)) {
            Ok(Outcome { passed, .. }) => println!("vm: {}: {passed} passed", kernel.name),
            Err(error) => failures.push(format!("{}: {error:#}", kernel.name)),
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Of the kernels that the verb is for.
pub(crate) fn choose(
    arguments: &[String],
    is_meant: fn(&Kernel) -> bool,
) -> Result<Vec<&'static Kernel>> {
    let known = || KERNELS.iter().filter(|kernel| is_meant(kernel));
    let by_name = |name: &str| {
        let found = known().find(|kernel| kernel.name == name);
        found.with_context(|| {
            let names: Vec<&str> = known().map(|kernel| kernel.name).collect();
            format!(
                "unknown kernel {name:?}: expected {} or all",
                names.join(", ")
            )
        })
    };
    match arguments {
        [] => Ok(known().filter(|kernel| kernel.is_default).collect()),
        [all] if all == "all" => Ok(known().collect()),
        names => names.iter().map(|name| by_name(name)).collect(),
    }
}

/// The two binaries of a machine.
#[derive(Debug)]
struct Guest {
    tests: PathBuf,
    agent: PathBuf,
}

/// Builds both in one go, optimized: emulation is slow enough.
fn build(triple: &str) -> Result<Guest> {
    let mut cargo = workspace::cargo_with_ebpf();
    cargo
        .args(["test", "--no-run", "--release", "--target", triple])
        .args(["--package", "headcount", "--test", "live"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    println!("+ {}", command::show(&cargo));
    let messages = command::read(&mut cargo)?;
    let tests = messages
        .lines()
        .filter(|line| line.contains(r#""kind":["test"]"#))
        .find_map(|line| quoted_after(line, r#""executable":""#))
        .context("cargo names no executable for the test target `live`")?;
    let built = workspace::target_dir().join(triple);
    Ok(Guest {
        tests: PathBuf::from(tests),
        agent: built.join("release/headcount"),
    })
}

/// What stands between `key` and the next quote. Paths with a quote or a backslash are not worth a JSON parser.
fn quoted_after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, tail) = line.split_once(key)?;
    tail.split_once('"').map(|(value, _)| value)
}

/// Where a kernel is kept, and what its machines leave.
pub(crate) fn folder(kernel: &Kernel) -> PathBuf {
    workspace::target_dir().join("vm").join(kernel.name)
}

/// What stands behind two dashes is for init.
fn run(kernel: &Kernel, guest: &Guest, words: &str) -> Result<Outcome> {
    let folder = folder(kernel);
    let image = kernel::fetch(kernel, &folder)?;
    let initramfs = folder.join("initramfs.cpio");
    std::fs::write(&initramfs, archive(guest)?)
        .with_context(|| format!("write {}", initramfs.display()))?;
    let log = folder.join("console.log");
    let words = format!("HEADCOUNT_BIN={AGENT} {words}");
    let outcome = machine::boot(kernel.architecture, &image, &initramfs, &words, &log)
        .with_context(|| format!("the console is in {}", log.display()))?;
    if outcome.failed > 0 || outcome.passed == 0 {
        let Outcome { passed, failed } = outcome;
        bail!("{passed} passed, {failed} failed; see {}", log.display());
    }
    Ok(outcome)
}

fn archive(guest: &Guest) -> Result<Vec<u8>> {
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("read {}", path.display()));
    let mut archive = cpio::Archive::default();
    for folder in ["dev", "proc", "sys", "tmp", "run", "etc"] {
        archive.folder(folder);
    }
    archive.console("dev/console"); // init's output goes there, before anybody mounts /dev
    archive.file("etc/passwd", b"root:x:0:0::/:/init\n");
    archive.file("init", &read(&guest.tests)?);
    archive.folder("bin");
    archive.file(AGENT.trim_start_matches('/'), &read(&guest.agent)?);
    Ok(archive.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name() {
        let names = |arguments: &[&str]| -> Result<Vec<&str>> {
            let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
            Ok(choose(&arguments, |_| true)?
                .iter()
                .map(|kernel| kernel.name)
                .collect())
        };
        assert_eq!(names(&[]).expect("there is a default").len(), 1);
        assert_eq!(names(&["all"]).expect("all is known").len(), KERNELS.len());
        assert_eq!(
            names(&["5.10", "6.1"]).expect("both are known"),
            ["5.10", "6.1"]
        );
        let error = names(&["2.4"]).expect_err("2.4 is unknown").to_string();
        assert!(error.contains("2.4") && error.contains("6.12"), "{error}");
    }

    #[test]
    fn the_executable_is_found_in_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","target":{"kind":["test"]},"executable":"/a/live-1","fresh":true}"#;
        assert_eq!(quoted_after(line, r#""executable":""#), Some("/a/live-1"));
        assert_eq!(
            quoted_after(r#"{"executable":null}"#, r#""executable":""#),
            None
        );
    }
}

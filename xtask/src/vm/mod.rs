//! `cargo xtask vm [machine]... [-- WORD...]`: the live tests on other kernels, in emulated machines.
//!
//! In: names from [`MACHINES`](machines::MACHINES), or `all`; without one the short form, which is part of `cargo xtask test`.
//! `--table` boots nothing and writes the kept results into docs/requirements.md, which `all` does at its end. `--build` boots
//! nothing either: it builds and fetches binaries and kernels of the short form. Words behind two dashes pick the tests whose
//! names contain one of them. Out: each machine's console on the terminal and in `target/vm/<machine>.log`, a table, and success
//! only if each machine reported passed tests and no failed one.
//!
//! A machine has a Debian kernel and, as everything else, two static binaries of ours: the agent, and the live tests as its
//! init. As process 1 the tests mount file systems, make sure that the machine is as its name says, run, print the lines that
//! start with [`FOUND`] and [`RESULT`], and power off.
//! Plain emulation, because /dev/kvm is often missing or broken where tests run.

pub(crate) mod architecture;
pub(crate) mod cpio;
pub(crate) mod kernel;
pub(crate) mod machine;
mod machines;
mod results;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use fs_err as fs;
use machine::Outcome;
use machines::Machine;
use results::Finding;
use serde_json::Value;

use crate::{command, setup, side_by_side, target, workspace};

/// How the line starts that the tests end with: `HEADCOUNT-VM-RESULT: 12 passed, 0 failed`.
const RESULT: &str = "HEADCOUNT-VM-RESULT: ";

/// How the line starts that they begin with: `HEADCOUNT-VM-FOUND: 6.1.0-50-cloud-amd64 iterator release`, or `procfs none`.
const FOUND: &str = "HEADCOUNT-VM-FOUND: ";

/// Where the agent is in a machine. The tests learn it from the variable `HEADCOUNT_BIN`, because the path that cargo gave
/// them is one of this machine.
const AGENT: &str = "/bin/headcount";

/// Machines that run at a time: each is emulated by one thread.
const SIDE_BY_SIDE: usize = 2;

#[derive(Debug, Default, Args)]
pub(crate) struct Arguments {
    /// Machines; without one, the short form, which is part of `test`
    #[arg(value_parser = machines::names())]
    machines: Vec<String>,
    /// Run only tests whose names contain one of these words
    #[arg(last = true)]
    words: Vec<String>,
    /// Build and fetch all parts of the short form; boot nothing
    #[arg(long, exclusive = true)]
    build: bool,
    /// Write the kept results into docs/requirements.md; boot nothing
    #[arg(long, exclusive = true)]
    table: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    if arguments.table {
        return results::write_document();
    }
    // Each machine with words, of which a test's name must contain one to run on it; without words all run.
    let mut jobs: Vec<(&Machine, &[&str])> = machines::choose(&arguments.machines);
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    if !words.is_empty() {
        jobs.iter_mut().for_each(|(_, tests)| *tests = &words);
    }
    ensure!(
        std::env::consts::ARCH == "x86_64",
        "the tools that build for the test machines are those of x86_64, and so must this machine be"
    );
    let guests = prepare(&jobs)?;
    if arguments.build {
        return Ok(());
    }
    let runs = side_by_side::map(jobs, SIDE_BY_SIDE, |(machine, tests)| {
        (machine, run(machine, tests, &guests))
    });
    print!("{}", results::summary(&runs));
    let is_good = |run: &Result<Finding>| run.as_ref().is_ok_and(Finding::is_good);
    let failed = runs.iter().filter(|(_, run)| !is_good(run));
    let failed: Vec<&str> = failed.map(|(machine, _)| machine.name).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    if arguments.machines == ["all"] && arguments.words.is_empty() {
        results::write_document()?;
    }
    Ok(())
}

/// Builds what runs in the machines, and fetches their kernels.
fn prepare(jobs: &[(&Machine, &[&str])]) -> Result<Guests> {
    let mut guests = Guests::new();
    for (machine, _) in jobs {
        let triple = machine.kernel.architecture.triple;
        if !guests.contains_key(triple) {
            setup::ensure(machine.kernel.architecture.requirements)?;
            guests.insert(triple, build(triple)?);
        }
        // One after the other: they share the package lists.
        kernel::fetch(machine.kernel)?;
    }
    Ok(guests)
}

/// The two binaries of a machine.
#[derive(Debug)]
struct Guest {
    tests: PathBuf,
    agent: PathBuf,
    /// Their commit, as git calls it.
    commit: String,
}

/// By target triple.
type Guests = HashMap<&'static str, Guest>;

/// Builds both. The tests have a profile of their own: optimizing all that they are linked with takes longer than it saves.
fn build(triple: &str) -> Result<Guest> {
    // The tests may end after another commit.
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude=*"]);
    let commit = command::read(git.current_dir(workspace::root()));
    let commit = commit.map_or("unknown".to_owned(), |commit| commit.trim().to_owned());
    let agent = target::build(triple)?;
    let mut cargo = workspace::cargo_with_ebpf();
    cargo
        .args(["test", "--no-run", "--profile", "guest", "--target", triple])
        .args(["--package", "headcount", "--test", "live"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    println!("+ {}", command::show(&cargo));
    let messages = command::read(&mut cargo)?;
    let tests =
        executable(&messages).context("cargo names no executable for the test target `live`")?;
    Ok(Guest {
        tests,
        agent,
        commit,
    })
}

/// The test binary in the messages of cargo.
fn executable(messages: &str) -> Option<PathBuf> {
    let mut messages = messages.lines().flat_map(serde_json::from_str::<Value>);
    messages.find_map(|message| {
        let path = message["executable"].as_str()?;
        (message["target"]["kind"][0] == "test").then(|| PathBuf::from(path))
    })
}

fn run(machine: &Machine, tests: &[&str], guests: &Guests) -> Result<Finding> {
    let begun = Instant::now();
    let architecture = machine.kernel.architecture;
    let guest = guests.get(architecture.triple);
    let guest = guest.context("it was not built")?;
    let image = kernel::fetch(machine.kernel)?;
    let folder = workspace::target_dir().join("vm");
    let initramfs = folder.join(format!("{}.cpio", machine.name));
    fs::write(&initramfs, archive(guest)?)?;
    let log = folder.join(format!("{}.log", machine.name));
    let is_whole = tests == machine.tests;
    if is_whole {
        results::forget(machine)?;
    }
    // The kernel's command line, which is also the environment of init.
    let mut words = format!("HEADCOUNT_BIN={AGENT} {}", machine.words);
    if !tests.is_empty() {
        words.push_str(&format!(" HEADCOUNT_TESTS={}", tests.join(",")));
    }
    let outcome = machine::boot(architecture, machine.name, &image, &initramfs, &words, &log);
    // It is made anew each time, and there are many of them.
    let _ = fs::remove_file(&initramfs);
    let Outcome {
        passed,
        failed,
        found,
    } = outcome.with_context(|| format!("the console is in {}", log.display()))?;
    let unknown = || format!("no line begins with {FOUND:?}; see {}", log.display());
    let found: Vec<String> = found.split(' ').map(str::to_owned).collect();
    let finding = Finding {
        found: found.try_into().ok().with_context(unknown)?,
        passed,
        failed,
        seconds: begun.elapsed().as_secs(),
        commit: guest.commit.clone(),
    };
    if is_whole {
        results::keep(machine, &finding)?;
    }
    Ok(finding)
}

fn archive(guest: &Guest) -> Result<Vec<u8>> {
    let mut archive = cpio::Archive::default();
    for folder in ["dev", "proc", "sys", "tmp", "run", "etc"] {
        archive.folder(folder)?;
    }
    archive.console("dev/console")?; // init's output goes there, before anything mounts /dev
    archive.file("etc/passwd", b"root:x:0:0::/:/init\n")?;
    archive.file("init", &fs::read(&guest.tests)?)?;
    archive.folder("bin")?;
    archive.file(AGENT.trim_start_matches('/'), &fs::read(&guest.agent)?)?;
    Ok(archive.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_is_found_in_messages_of_cargo() {
        let test = r#"{"reason":"compiler-artifact","target":{"kind":["test"]},"executable":"/a/live-1","fresh":true}"#;
        let other = r#"{"target":{"kind":["lib"]},"executable":null}"#;
        let found = executable(&format!("{other}\n{test}\n"));
        assert_eq!(found, Some(PathBuf::from("/a/live-1")));
        assert_eq!(executable(other), None);
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }
}

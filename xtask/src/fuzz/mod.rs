//! `cargo xtask fuzz [TARGET]... [--seconds N]`: runs the targets of `agent/fuzz`, first on their corpora, then on inputs that
//! libFuzzer makes from them.
//!
//! In come targets (all, if none is named) and the seconds that they share. Without `--seconds`, as in CI, libFuzzer always has
//! the same seed and makes no more inputs on a faster machine: so a fault that was in the tree yesterday does not appear today in
//! the run of an unrelated change. Out come what each target has tried, and every finding: its input, how to repeat it, and
//! failure. With `--seconds`, new inputs that reach new code stay in `target/fuzz/corpus`; findings are in
//! `agent/fuzz/artifacts`.
//!
//! The folder has the layout of cargo-fuzz, which is not used here: its installation takes longer than building the targets, and
//! its only work is to pass some flags. No sanitizer is used: the parsers are safe Rust, in which there is nothing for one to
//! find. Without one, no unstable option is needed, and twice as many inputs run in the same time.

mod finding;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use fs_err as fs;

use crate::{command, setup, side_by_side, workspace};

/// Time in CI for all targets together, seconds.
const SECONDS: u64 = 60;
/// Largest number of inputs that a target makes in CI: as many as most of them run in that time.
const RUNS: u32 = 30_000;
/// Longest input, bytes: enough for each kind of file to be valid several times over.
const MAX_LEN: u32 = 4096;
/// Longest time of one input, seconds, on a busy machine.
const HANG: u32 = 20;
/// Memory limit of a target, MiB. A target starts with 50.
const MEMORY: u32 = 1024;

/// Flags for the counters that show libFuzzer which code an input reached.
const FLAGS: &[&str] = &[
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

#[derive(Debug, Default, Args)]
pub(crate) struct Arguments {
    /// Targets; without one, all
    #[arg(value_parser = target)]
    targets: Vec<String>,
    /// Time that the targets share. Without it, as in CI, the inputs are the same in each run
    #[arg(long)]
    seconds: Option<u64>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let seconds = arguments.seconds;
    let targets = match arguments.targets.as_slice() {
        [] => targets()?,
        chosen => chosen.to_vec(),
    };
    setup::ensure(setup::FUZZING)?;
    let binaries = build()?;
    let mut findings = run_all(&binaries, &targets, None)?;
    let each = seconds.unwrap_or(SECONDS) / targets.len() as u64;
    let making = Making {
        seconds: each.max(1),
        is_repeated: seconds.is_none(),
    };
    let count = findings.len();
    println!(
        "fuzz: {count} findings in the corpora; now {} s for each target",
        making.seconds
    );
    findings.extend(run_all(&binaries, &targets, Some(making))?);
    for finding in &findings {
        println!("{finding}");
    }
    let count = findings.len();
    ensure!(count == 0, "{count} findings, see above");
    Ok(())
}

/// How new inputs are made.
#[derive(Debug, Clone, Copy)]
struct Making {
    seconds: u64,
    /// Whether the inputs are the same in each run, as far as hashes in the target allow it.
    is_repeated: bool,
}

fn folder() -> PathBuf {
    workspace::root().join("agent/fuzz")
}

fn target(name: &str) -> Result<String> {
    let known = targets()?;
    let is_known = known.iter().any(|target| target == name);
    ensure!(is_known, "expected one of {}", known.join(", "));
    Ok(name.to_owned())
}

/// The targets, one file each.
fn targets() -> Result<Vec<String>> {
    let files = folder().join("fuzz_targets");
    let stem = |path: &PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    let paths = workspace::entries(&files)?;
    Ok(paths.iter().filter_map(stem).collect())
}

/// Builds all targets together, without the kernel programs. Returns the folder of the binaries.
fn build() -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    let version = command::read(rustc.arg("-vV").current_dir(workspace::root()))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.with_context(|| format!("rustc -vV names no host:\n{version}"))?;
    let target_dir = workspace::target_dir().join("fuzz");
    let mut cargo = workspace::cargo();
    cargo
        .env("HEADCOUNT_EBPF", "skip")
        .env("RUSTFLAGS", FLAGS.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args(["build", "--quiet", "--locked", "--release", "--bins"])
        .args(["--manifest-path", "agent/fuzz/Cargo.toml"])
        // With `--target`, build scripts and macros are built without the flags.
        .args(["--target", host])
        .arg("--target-dir")
        .arg(&target_dir);
    command::run(&mut cargo).context(
        "where agent/fuzz/Cargo.lock is out of date: cp Cargo.lock agent/fuzz/ && cargo update --workspace --manifest-path \
         agent/fuzz/Cargo.toml",
    )?;
    Ok(target_dir.join(host).join("release"))
}

/// Runs the targets, one on each core: each is a process with folders of its own.
fn run_all(binaries: &Path, targets: &[String], making: Option<Making>) -> Result<Vec<String>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = |target: &String| run(binaries, target, making);
    let ended = side_by_side::map(targets.iter().collect(), cores, work);
    ended.into_iter().filter_map(Result::transpose).collect()
}

/// Runs a target on its corpus, and then, if `making` is given, on inputs of its own.
fn run(binaries: &Path, target: &str, making: Option<Making>) -> Result<Option<String>> {
    let found = workspace::target_dir().join("fuzz/corpus").join(target);
    let artifacts = folder().join("artifacts").join(target);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder)?;
    }
    let binary = binaries.join(target);
    let mut fuzzer = Command::new(&binary);
    fuzzer
        .current_dir(workspace::root())
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-timeout={HANG}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-max_len={MAX_LEN}"));
    let dictionary = folder().join(format!("dictionaries/{target}.dict"));
    if dictionary.exists() {
        fuzzer.arg(format!("-dict={}", dictionary.display()));
    }
    match making {
        Some(making) => {
            let is_repeated = making.is_repeated;
            fuzzer.arg(format!("-max_total_time={}", making.seconds));
            if is_repeated {
                fuzzer.args(["-seed=1", &format!("-runs={RUNS}")]);
            }
            let made = workspace::target_dir().join("fuzz/made").join(target);
            // Its content when a target starts would change the inputs that the target makes.
            workspace::empty(&made)?;
            fuzzer.arg(if is_repeated { made } else { found })
        }
        None => fuzzer.arg("-runs=0"),
    };
    fuzzer.arg(folder().join("corpus").join(target));
    let output = fuzzer
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", command::show(&fuzzer)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        let done = said.lines().rfind(|line| line.starts_with("Done "));
        println!("  {target:18} {}", done.unwrap_or("done"));
        return Ok(None);
    }
    println!("  {target:18} FINDING");
    finding::describe(&binary, target, &said).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_corpus() {
        for target in targets().expect("the folder") {
            assert!(folder().join("corpus").join(&target).is_dir(), "{target}");
        }
    }
}

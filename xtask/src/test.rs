//! `cargo xtask test`: all tests of the product that this machine can run.
//!
//! In comes `--without-kernel`, which leaves out the tests that need root and BPF. Out come each stage in turn and a summary; it
//! succeeds only if nothing failed. A stage that cannot run here counts as failed: a skipped test has not passed.
//!
//! The binaries of the last stages take minutes to build, most of them on one core. So they are built in the background, in the
//! time that the first stages leave. Nothing depends on that: the last stages build missing binaries.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use crate::background::Background;
use crate::{check, command, fuzz, image, manifests, real, setup, target, vm, workspace};

/// Its name, what it needs, and its function.
type Stage = (&'static str, Needs, fn() -> Result<()>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Nothing,
    /// Root, and a kernel with BPF.
    Kernel,
    /// The same, and that nothing is built beside it.
    KernelAlone,
}

use Needs::{Kernel, KernelAlone, Nothing};

const STAGES: &[Stage] = &[
    ("check", Nothing, check::main),
    ("unit and integration tests", Nothing, units),
    ("beside process-exporter", Nothing, || real::parity(&[])),
    ("the page in a browser", Nothing, real::browser),
    ("manifests", Nothing, manifests::main),
    ("a minute of fuzzing", Nothing, || {
        fuzz::main(&fuzz::Arguments::default())
    }),
    // Of the kernel only root: Passenger changes users.
    ("beside the real Passenger", Kernel, || real::passenger(&[])),
    ("requests to real servers", Kernel, || real::http(true, &[])),
    // Its agents see each end of a compiler. Where a test lets records be lost, the agent accounts for such an end a minute
    // later, and the test waits until the node's books balance.
    ("this kernel", KernelAlone, this_kernel),
    ("other kernels", KernelAlone, || {
        vm::main(&vm::Arguments::default())
    }),
    // After the stage above, because that one builds the static binary.
    ("the image, run as the DaemonSet would", KernelAlone, || {
        image::main(true, &[target::AMD64])
    }),
];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Leave out what needs root and BPF
    #[arg(long)]
    without_kernel: bool,
}

pub(crate) fn main(&Arguments { without_kernel }: &Arguments) -> Result<()> {
    setup::ensure(match without_kernel {
        true => setup::WITHOUT_KERNEL,
        false => setup::EVERYTHING,
    })?;
    let mut builds = match without_kernel {
        true => None,
        false => Some(Background::start(&["vm", "--build"])?),
    };
    let mut lines = Vec::new();
    let mut failed = 0;
    for (n, &(name, needs, main)) in STAGES.iter().enumerate() {
        if without_kernel && needs >= Kernel {
            lines.push(format!("  left out  {} (--without-kernel)", name));
            continue;
        }
        if needs == KernelAlone
            && let Some(builds) = builds.take()
        {
            builds.finish();
        }
        println!("test: stage {}/{}: {}", n + 1, STAGES.len(), name);
        let start = Instant::now();
        let result = main();
        lines.push(summarize(name, start.elapsed(), &result));
        failed += usize::from(result.is_err());
    }
    println!("test: summary\n{}", lines.join("\n"));
    ensure!(failed == 0, "{failed} of {} stages failed", STAGES.len());
    Ok(())
}

fn summarize(stage: &str, took: Duration, result: &Result<()>) -> String {
    let seconds = took.as_secs();
    match result {
        Ok(()) => format!("  passed    {stage} ({seconds} s)"),
        Err(error) => format!("  FAILED    {stage} ({seconds} s): {error:#}"),
    }
}

/// Unit tests. The target `live` is no default test target, so it does not run here.
fn units() -> Result<()> {
    command::run(workspace::cargo_with_ebpf().arg("test"))
}

fn this_kernel() -> Result<()> {
    ensure!(
        setup::is_root(),
        "could not run: loading kernel programs needs root (--without-kernel leaves it out)"
    );
    ensure!(
        Path::new("/sys/kernel/btf/vmlinux").exists(),
        "could not run: this kernel carries no BTF (--without-kernel leaves it out)"
    );
    command::run(&mut workspace::cargo_test("live"))
}

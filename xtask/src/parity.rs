//! `cargo xtask parity`: runs the agent beside the real process-exporter, and lets a real Prometheus scrape it, which answers the
//! queries of the dashboards, evaluates the rules of `deploy/prometheus` and relabels as in `deploy/SCALE.md`.
//!
//! It takes no arguments. Its output is that of the test binary `parity`, which receives the path of process-exporter in
//! `HEADCOUNT_PEER` and the folder of Prometheus in `HEADCOUNT_PROMETHEUS`.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::debian::Apt;
use crate::{command, peer, setup, workspace};

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    ensure!(
        arguments.is_empty(),
        "unknown arguments {arguments:?}: expected none"
    );
    setup::ensure(setup::PARITY)?;
    let peer = peer::fetch(
        &peer::PROCESS_EXPORTER,
        &workspace::target_dir().join("peer"),
    )?;
    let prometheus = prometheus()?;
    let mut cargo = workspace::cargo_test("parity");
    cargo
        .env("HEADCOUNT_PEER", &peer.binary)
        .env("HEADCOUNT_PROMETHEUS", prometheus)
        .args(["--", "--nocapture"]);
    command::run(&mut cargo)
}

/// The folder of `prometheus` and `promtool`, from the newest suite that has both in one package.
fn prometheus() -> Result<PathBuf> {
    let folder = workspace::target_dir().join("prometheus");
    let root = folder.join("root");
    let programs = root.join("usr/bin");
    if !programs.join("promtool").exists() {
        println!(
            "parity: fetch prometheus of Debian's bookworm, about 40 MB and the suite's index"
        );
        Apt::prepare(&folder.join("apt"), "bookworm")?.unpack("prometheus", &root)?;
    }
    Ok(programs)
}

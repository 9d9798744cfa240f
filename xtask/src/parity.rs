//! `cargo xtask parity [WORD...]`: runs the agent beside the real process-exporter, and lets a real Prometheus scrape it, which
//! answers the queries of the dashboards, evaluates the rules of `deploy/prometheus` and relabels as in `deploy/SCALE.md`.
//!
//! In come words that pick tests by name; none picks all. Its output is that of the test binary `parity`, which receives the path
//! of process-exporter in `HEADCOUNT_PEER`, the folder of Prometheus in `HEADCOUNT_PROMETHEUS`, the path of nats-server in
//! `HEADCOUNT_NATS`, the path of node_exporter in `HEADCOUNT_NODE_EXPORTER` and the folder of Python's prometheus_client in
//! `HEADCOUNT_PYTHON_CLIENT`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::debian::Apt;
use crate::{command, peer, setup, workspace};

pub(crate) fn main(words: &[String]) -> Result<()> {
    setup::ensure(setup::PARITY)?;
    let peer = peer::fetch(
        &peer::PROCESS_EXPORTER,
        &workspace::target_dir().join("peer"),
    )?;
    let prometheus = unpacked("prometheus", 40, "usr/bin/promtool")?;
    let node_exporter = peer::fetch(
        &peer::NODE_EXPORTER,
        &workspace::target_dir().join("peer/node_exporter"),
    )?;
    let mut cargo = workspace::cargo_test("parity");
    cargo
        .env("HEADCOUNT_PEER", &peer.binary)
        .env("HEADCOUNT_PROMETHEUS", prometheus)
        .env("HEADCOUNT_NATS", nats_server()?)
        .env("HEADCOUNT_NODE_EXPORTER", node_exporter.binary)
        .env("HEADCOUNT_PYTHON_CLIENT", python_client()?)
        .args(["--", "--nocapture"])
        .args(words);
    command::run(&mut cargo)
}

/// The path of Debian's nats-server.
pub(crate) fn nats_server() -> Result<PathBuf> {
    Ok(unpacked("nats-server", 4, "usr/sbin/nats-server")?.join("nats-server"))
}

/// The folder of a program, from a package of Debian's oldest suite, whose builds run on newer ones, too.
fn unpacked(package: &str, megabytes: u32, program: &str) -> Result<PathBuf> {
    let folder = workspace::target_dir().join(package);
    let root = folder.join("root");
    let program = root.join(program);
    if !program.exists() {
        println!(
            "parity: fetch {package} of Debian's bookworm, about {megabytes} MB and the suite's index"
        );
        Apt::prepare(&folder.join("apt"), "bookworm")?.unpack(package, &root)?;
    }
    let programs = program.parent().context("a program in a folder")?;
    Ok(programs.to_owned())
}

/// The folder of prometheus_client and of the package that it needs, for the Python of bookworm and of newer suites.
fn python_client() -> Result<PathBuf> {
    let folder = workspace::target_dir().join("prometheus_client");
    let root = folder.join("root");
    let packages = root.join("usr/lib/python3/dist-packages");
    if !packages.join("prometheus_client").exists() {
        println!(
            "parity: fetch prometheus_client of Debian's bookworm, less than 1 MB and the suite's index"
        );
        let apt = Apt::prepare(&folder.join("apt"), "bookworm")?;
        apt.unpack("python3-decorator", &root)?;
        apt.unpack("python3-prometheus-client", &root)?;
    }
    Ok(packages)
}

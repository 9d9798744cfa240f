//! `cargo xtask parity [WORD...]`: runs the agent beside the real process-exporter, and lets a real Prometheus scrape it, which
//! answers the queries of the dashboards, evaluates the rules of `deploy/prometheus` and relabels as in `deploy/SCALE.md`.
//!
//! In come words that pick tests by name; none picks all. Its output is that of the test binary `parity`, which receives the path
//! of process-exporter in `HEADCOUNT_PEER`, the folder of Prometheus in `HEADCOUNT_PROMETHEUS`, the path of nats-server in
//! `HEADCOUNT_NATS`, the path of node_exporter in `HEADCOUNT_NODE_EXPORTER` and the folder of Python's prometheus_client in
//! `HEADCOUNT_PYTHON_CLIENT`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{command, debian, peer, setup, workspace};

pub(crate) fn main(words: &[String]) -> Result<()> {
    setup::ensure(setup::PARITY)?;
    let peer = peer::fetch(
        &peer::PROCESS_EXPORTER,
        &workspace::target_dir().join("peer"),
    )?;
    let promtool = unpacked(&["prometheus"], 40, "usr/bin/promtool")?;
    // For the Python of bookworm and of newer suites.
    let client = unpacked(
        &["python3-decorator", "python3-prometheus-client"],
        1,
        "usr/lib/python3/dist-packages/prometheus_client",
    )?;
    let node_exporter = peer::fetch(
        &peer::NODE_EXPORTER,
        &workspace::target_dir().join("peer/node_exporter"),
    )?;
    let mut cargo = workspace::cargo_test("parity");
    cargo
        .env("HEADCOUNT_PEER", &peer.binary)
        .env("HEADCOUNT_PROMETHEUS", folder(&promtool)?)
        .env("HEADCOUNT_NATS", nats_server()?)
        .env("HEADCOUNT_NODE_EXPORTER", node_exporter.binary)
        .env("HEADCOUNT_PYTHON_CLIENT", folder(&client)?)
        .args(["--", "--nocapture"])
        .args(words);
    command::run(&mut cargo)
}

/// The path of Debian's nats-server.
pub(crate) fn nats_server() -> Result<PathBuf> {
    unpacked(&["nats-server"], 4, "usr/sbin/nats-server")
}

/// The path of a file of the last of these packages of Debian's oldest suite, whose builds run on newer ones, too.
fn unpacked(packages: &[&str], megabytes: u32, file: &str) -> Result<PathBuf> {
    let folder = workspace::target_dir().join(packages.join("-"));
    debian::fetch(&folder, "bookworm", packages, megabytes, file)
}

fn folder(file: &Path) -> Result<&Path> {
    file.parent().context("a file in a folder")
}

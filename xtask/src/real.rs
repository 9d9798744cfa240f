//! The verbs that test the agent beside real programs: `parity`, `browser`, `passenger`, `network`, `http` and `fan-in`.
//!
//! In come, except for `browser` and `fan-in`, words that pick tests by name; none picks all. Out comes the output of the test
//! binary, which starts its servers on the loopback interface or in network namespaces of its own, and ends all that it started.
//! It receives paths and numbers in variables. All programs come from Debian, except the Python packages of `http`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::setup::{self, Requirement};
use crate::{command, debian, peer, python, workspace};

/// One test at a time, because each is a load; a user runs it for the figures.
const FIGURES: &[&str] = &["--test-threads=1", "--nocapture"];
/// So that all servers of `http` together send more than 100,000 responses.
const ROUNDS: &str = "8";

/// `cargo xtask parity [WORD...]`: runs the agent beside the real process-exporter, and lets a real Prometheus scrape it, which
/// answers the queries of the dashboards, evaluates the rules of `deploy/prometheus` and relabels as in `deploy/SCALE.md`.
pub(crate) fn parity(words: &[String]) -> Result<()> {
    let mut cargo = test("parity", setup::PARITY)?;
    let folder = workspace::target_dir().join("peer");
    let node_exporter = peer::fetch(&peer::NODE_EXPORTER, &folder.join("node_exporter"))?.binary;
    let peer = peer::fetch(&peer::PROCESS_EXPORTER, &folder)?.binary;
    let promtool = unpacked(&["prometheus"], 40, "usr/bin/promtool")?;
    // For the Python of bookworm and of newer suites.
    let client = unpacked(
        &["python3-decorator", "python3-prometheus-client"],
        1,
        "usr/lib/python3/dist-packages/prometheus_client",
    )?;
    cargo
        .env("HEADCOUNT_PEER", peer)
        .env("HEADCOUNT_PROMETHEUS", folder_of(&promtool)?)
        .env("HEADCOUNT_NATS", nats_server()?)
        .env("HEADCOUNT_NODE_EXPORTER", node_exporter)
        .env("HEADCOUNT_PYTHON_CLIENT", folder_of(&client)?);
    run(cargo, &["--nocapture"], words)
}

/// `cargo xtask browser`: tests the agent's page in a headless Chromium.
pub(crate) fn browser() -> Result<()> {
    // One browser at a time, because each has ten processes.
    run(test("browser", setup::BROWSER)?, &["--test-threads=1"], &[])
}

/// `cargo xtask passenger [WORD...]`: tests the agent beside Passenger's standalone server and its Apache module.
pub(crate) fn passenger(words: &[String]) -> Result<()> {
    needs_root("starting Passenger as other users and in other mount namespaces")?;
    // One test at a time: an agent sees the instances of all tests, and each has servers in three languages.
    let cargo = test("passenger", setup::PASSENGER)?;
    run(cargo, &["--test-threads=1"], words)
}

/// `cargo xtask network [WORD...]`: tests the network accounting beside curl and nginx, ab, iperf3, pgbench and PostgreSQL.
pub(crate) fn network(words: &[String]) -> Result<()> {
    needs_root("loading kernel programs and making network namespaces")?;
    run(test("network", setup::NETWORK)?, FIGURES, words)
}

/// `cargo xtask http [--short] [WORD...]`: tests the counting of HTTP requests beside real servers.
pub(crate) fn http(short: bool, words: &[String]) -> Result<()> {
    needs_root("loading kernel programs")?;
    let mut cargo = test("requests", setup::HTTP_SERVERS)?;
    cargo.env("HEADCOUNT_PYTHON", python::servers()?);
    cargo.env("HEADCOUNT_ROUNDS", if short { "1" } else { ROUNDS });
    run(cargo, FIGURES, words)
}

/// `cargo xtask fan-in [--seconds N] [--seed N]`: kills the sources and instances of the fan-in with -9 while it is scraped, and
/// shows the victims and the findings. `cargo test` runs its short form, without nats-server.
pub(crate) fn fan_in(seconds: u64, seed: u64) -> Result<()> {
    let mut cargo = test("fan_in", setup::KERNEL_PROGRAMS)?;
    cargo
        .env("HEADCOUNT_SECONDS", seconds.to_string())
        .env("HEADCOUNT_SEED", seed.to_string())
        .env("HEADCOUNT_NATS", nats_server()?);
    run(cargo, &["--nocapture", "kills::"], &[])
}

fn needs_root(what: &str) -> Result<()> {
    ensure!(setup::is_root(), "could not run: {what} needs root");
    Ok(())
}

/// A test binary whose requirements are met.
fn test(binary: &str, requirements: &[&Requirement]) -> Result<Command> {
    setup::ensure(requirements)?;
    Ok(workspace::cargo_test(binary))
}

fn run(mut cargo: Command, arguments: &[&str], words: &[String]) -> Result<()> {
    command::run(cargo.arg("--").args(arguments).args(words))
}

fn nats_server() -> Result<PathBuf> {
    unpacked(&["nats-server"], 4, "usr/sbin/nats-server")
}

/// The path of a file of the last of these packages of Debian's oldest suite, whose builds run on newer ones, too.
fn unpacked(packages: &[&str], megabytes: u32, file: &str) -> Result<PathBuf> {
    let folder = workspace::target_dir().join(packages.join("-"));
    debian::fetch(&folder, "bookworm", packages, megabytes, file)
}

fn folder_of(file: &Path) -> Result<&Path> {
    file.parent().context("a file in a folder")
}

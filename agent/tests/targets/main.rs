//! The real binary beside fake instances of Passenger that answer, hang, refuse, lie, flood, or belong to other users.
//!
//! Instances of other users and agents without rights need root. The registry is a directory of the tree of files, and no other
//! place is looked at, so instances of this machine do not disturb.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod deadline;
mod failures;
mod fake;
mod flags;
mod histories;
mod hostile;
mod still;
#[path = "../support/mod.rs"]
mod support;
mod whole;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use support::agent::{Agent, Launch};
use support::fake_proc::FakeProc;
use support::passenger::FakePassenger;
use support::scrape::Scrape;

/// When the host of the tree booted, seconds since the epoch.
const BOOTED: u64 = 1_795_235_000;
/// The group of the tree's first process.
const GROUP: &str = "fake";

/// A tree with one process and an instance registry directory.
struct Node {
    tree: FakeProc,
}

impl Node {
    fn new() -> Self {
        let tree = FakeProc::new(BOOTED);
        tree.process(5).write();
        let node = Self { tree };
        fs::create_dir(node.registry()).unwrap();
        // Every user reaches it.
        fs::set_permissions(node.tree.rootfs(), Permissions::from_mode(0o755)).unwrap();
        node
    }

    fn registry(&self) -> PathBuf {
        self.tree.rootfs().join("registry")
    }

    /// An instance in the registry, of the test's own user.
    fn instance(&self, name: &str) -> FakePassenger {
        FakePassenger::new(&self.registry(), name)
    }

    /// An agent that looks for instances in the registry only.
    fn launch(&self) -> Launch {
        Launch::on(&self.tree)
            .arg("-accounting=procfs")
            .env("PASSENGER_INSTANCE_REGISTRY_DIR", "/registry")
    }
}

/// A scrape by a client that waits this long.
fn scrape_within(agent: &Agent, seconds: f64) -> Scrape {
    let header = format!("X-Prometheus-Scrape-Timeout-Seconds: {seconds}\r\n");
    let answer = agent.begin("/metrics", &header).answer();
    assert_eq!(answer.code, 200, "{answer:?}");
    Scrape::parse(answer.body)
}

/// `headcount_target_up` of an instance; `None` if it was not found.
fn up(scrape: &Scrape, target: &str) -> Option<f64> {
    let labels = [("kind", "passenger"), ("target", target)];
    scrape.value("headcount_target_up", &labels)
}

/// Failures of all instances for this reason so far.
fn failures(scrape: &Scrape, reason: &str) -> f64 {
    let labels = [("kind", "passenger"), ("reason", reason)];
    let count = scrape.value("headcount_target_failures_total", &labels);
    count.unwrap_or(0.0)
}

/// A sample with only the label of the instance.
fn of_instance(scrape: &Scrape, family: &str, instance: &str) -> Option<f64> {
    scrape.value(family, &[("passenger_instance", instance)])
}

/// Number of samples of a family.
fn count(scrape: &Scrape, family: &str) -> usize {
    let start = format!("{family}{{");
    scrape
        .body
        .lines()
        .filter(|line| line.starts_with(&start))
        .count()
}

//! Asks the real binary for the merged metrics of an application, whose instances are real HTTP servers of this test: good ones,
//! and ones that refuse, lie, hang, flood or redirect.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod broker;
mod callers;
mod deadline;
mod exporters;
mod failures;
mod instance;
mod kills;
mod kinds;
mod merged;
mod mortal;
mod names;
mod nats;
mod node;
mod paths;
mod room;
mod secured;
mod sources;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use support::agent::{Agent, Answer, Launch};
use support::fake_proc::FakeProc;
use support::scrape::Scrape;

/// The id of the application of the tests.
const ID: &str = "11111111-1111-1111-1111-111111111101";
/// The path of its metrics.
const PATH: &str = "/v1/apps/myorg/dev/app/metrics";

/// A tree of `/proc` with one process, and a file of routes.
struct Site {
    tree: FakeProc,
    folder: tempfile::TempDir,
}

impl Site {
    /// The application of these instances, in their order.
    fn of(instances: &[SocketAddr]) -> Self {
        let tree = FakeProc::new(1_795_235_000);
        tree.process(5).write();
        let site = Self {
            tree,
            folder: tempfile::tempdir().unwrap(),
        };
        site.write(instances);
        site
    }

    /// Replaces the file of routes.
    fn write(&self, instances: &[SocketAddr]) {
        let endpoints = instances.iter().enumerate();
        self.write_all(
            &endpoints
                .map(|(index, address)| endpoint(*address, index))
                .collect::<Vec<Value>>(),
        );
    }

    fn write_all(&self, endpoints: &[Value]) {
        let routes = json!({ "app.example.com": endpoints });
        let new = self.folder.path().join("routes.json.new");
        fs::write(&new, routes.to_string()).unwrap();
        fs::rename(new, self.routes()).unwrap();
    }

    fn routes(&self) -> PathBuf {
        self.folder.path().join("routes.json")
    }

    /// An agent with these further lines in the section `fan_in`.
    fn launch(&self, lines: &str) -> Launch {
        let routes = self.routes();
        let routes = routes.display();
        let yaml =
            format!("process_names: [{{comm: [x]}}]\nfan_in:\n  routes_file: {routes}\n{lines}");
        self.plain().config(&yaml)
    }

    /// An agent without the section.
    fn plain(&self) -> Launch {
        Launch::on(&self.tree).args(&["-accounting=procfs", "--no-collector.passenger"])
    }
}

fn endpoint(address: SocketAddr, index: usize) -> Value {
    json!({
        "address": address.to_string(),
        "tls": false,
        "ttl": 0,
        "tags": {
            "process_type": "web",
            "instance_id": index.to_string(),
            "app_id": ID,
            "app_name": "app",
            "space_id": "space-guid",
            "space_name": "dev",
            "organization_id": "org-guid",
            "organization_name": "myorg",
        },
    })
}

/// The path of the metrics of another application, which has this instance.
const OTHER_PATH: &str = "/v1/apps/myorg/dev/other/metrics";

fn endpoint_of_other(address: SocketAddr) -> Value {
    let mut endpoint = endpoint(address, 0);
    endpoint["tags"]["app_name"] = json!("other");
    endpoint["tags"]["app_id"] = json!("11111111-1111-1111-1111-111111111102");
    endpoint
}

/// The labels of an instance, as written in a series.
fn labels(address: SocketAddr, index: usize) -> String {
    format!(
        "organization_id=\"org-guid\",space_id=\"space-guid\",app_id=\"{ID}\",organization_name=\"myorg\",space_name=\"dev\",\
         app_name=\"app\",index=\"{index}\",instance_id=\"{index}\",instance=\"{address}\""
    )
}

/// The answer to a request that must succeed.
fn merged(agent: &Agent, path: &str) -> Scrape {
    scrape(agent.ask(path))
}

fn scrape(answer: Answer) -> Scrape {
    assert_eq!(answer.code, 200, "{answer:?}");
    let is_text = answer
        .head
        .contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n");
    assert!(is_text, "{answer:?}");
    Scrape::parse(answer.body)
}

/// `headcount_target_up` of an instance.
fn up(scrape: &Scrape, address: SocketAddr) -> Option<f64> {
    let labels = [("kind", "fan_in"), ("target", &address.to_string())];
    scrape.value("headcount_target_up", &labels)
}

/// The value of `error` of an instance's error series.
fn error(scrape: &Scrape, address: SocketAddr) -> Option<String> {
    let instance = format!("instance=\"{address}\"");
    let mut lines = scrape.body.lines();
    let line = lines
        .find(|line| line.starts_with("promfetcher_scrape_error{") && line.contains(&instance))?;
    let (_, error) = line.split_once("error=\"")?;
    Some(error.split_once('"')?.0.to_owned())
}

/// A total in `/metrics`.
fn total(agent: &Agent, family: &str, labels: &[(&str, &str)]) -> f64 {
    let scrape = agent.scrape();
    let total = scrape.value(family, labels);
    total.unwrap_or_else(|| panic!("no {family} {labels:?}: {}", scrape.body))
}

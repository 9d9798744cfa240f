//! The dashboards of `deploy/grafana`: every query and every variable returns data of a real agent from a real Prometheus with
//! our rules, and the labels that legends and links need.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, thread};

use serde_json::Value;

use super::server::{Prometheus, Series, deployed};
use super::support::agent::{Agent, Launch, PATIENCE};
use super::support::passenger::FakePassenger;
use super::support::passenger::documents::{FakeApplication, FakeCounts, FakePool, FakeWorker};

const DASHBOARDS: [&str; 4] = ["fleet", "node", "group", "gunicorn"];

/// Queries without data where all is well, by a part of them.
const QUIET: &[(&str, &str)] = &[
    (r#"up{job=~"headcount"} == 0"#, "no agent is down"),
    (r#"tier="procfs""#, "this agent has kernel programs"),
    ("ALERTS{", "nothing fires"),
    ("_udp_", "no process of the groups uses UDP"),
    (
        "headcount_program_run_seconds_total",
        "kernel.bpf_stats_enabled is 0 by default",
    ),
];

/// Families of the kernel programs, by a part of their names: an agent without them leaves them out.
const OF_THE_KERNEL: &[&str] = &[
    "_forks",
    "_execs",
    "_exits",
    "_oom_kills",
    "_run_queue_wait_",
    "_tcp_",
    "namegroup_http_",
    "headcount_events_",
    "headcount_kernel_",
    "headcount_map_",
    "gunicorn_",
];

/// A query as Prometheus gets it.
#[derive(Debug)]
struct Query {
    /// Where it stands.
    panel: String,
    expr: String,
    /// Labels that its series must have.
    labels: BTreeSet<String>,
}

/// An instance with an application, whose only worker is a child of the test.
struct BusyInstance {
    worker: Child,
    _instance: FakePassenger,
}

impl BusyInstance {
    fn start(registry: &Path) -> Self {
        let process = Command::new("sleep").arg("3600").spawn().unwrap();
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let mut worker = FakeWorker::new(process.id());
        worker.sessions = 1;
        worker.spawned_us = u64::try_from(now).unwrap();
        let instance = FakePassenger::new(registry, "AbCdEfGh");
        let pool = FakePool::new().with(FakeApplication::new("/srv/blog").with([worker]));
        instance.show(&pool, FakeCounts::default());
        Self {
            worker: process,
            _instance: instance,
        }
    }
}

impl Drop for BusyInstance {
    fn drop(&mut self) {
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

/// Processes with the titles of an arbiter and its worker.
fn start_gunicorn() -> Titled {
    let worker = "exec -a 'gunicorn: worker [shop]' bash -c 'read -r' <&3";
    let script = format!("exec 3<&0; ({worker}) & wait");
    let mut arbiter = Command::new("bash");
    arbiter
        .arg0("gunicorn: master [shop]")
        .args(["-c", &script])
        .stdin(Stdio::piped());
    Titled(arbiter.spawn().unwrap())
}

/// A process with a title of its own, which ends with its standard input.
struct Titled(Child);

impl Drop for Titled {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn every_query_of_our_dashboards_returns_data() {
    let registry = tempfile::tempdir().unwrap();
    let _instance = BusyInstance::start(registry.path());
    let _gunicorn = start_gunicorn();
    // The agent itself serves HTTP: Prometheus scrapes it.
    let agent = Launch::new()
        .args(&["--collector.http", "--collector.network.udp"])
        .env("PASSENGER_INSTANCE_REGISTRY_DIR", registry.path())
        .start();
    let yaml = fs::read_to_string(deployed("prometheus/prometheus.yml")).unwrap();
    let prometheus = Prometheus::start(
        &yaml
            .replace("localhost:9256", &agent.address.to_string())
            .replace("30s", "1s"),
    );
    let mut queries = Vec::new();
    let mut variables = Vec::new();
    for name in DASHBOARDS {
        let text = fs::read_to_string(deployed(&format!("grafana/{name}.json"))).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        queries.extend(queries_of(&dashboard, &agent));
        variables.extend(variables_of(&dashboard, &agent));
    }
    assert!(queries.len() > 80 && variables.len() == 10);
    for (part, _) in QUIET {
        let is_there = queries.iter().any(|query| query.expr.contains(part));
        assert!(is_there, "no query has {part}");
    }
    let has_programs = !agent.scrape().body.contains(r#"tier="procfs""#);
    let (quiet, queries): (Vec<Query>, Vec<Query>) = queries.into_iter().partition(|query| {
        let has = |part: &&str| query.expr.contains(part);
        QUIET.iter().any(|(part, _)| has(part)) || !has_programs && OF_THE_KERNEL.iter().any(has)
    });
    let complaints = complaints(&prometheus, queries);
    assert!(complaints.is_empty(), "{complaints:#?}");
    for (label, selector) in variables {
        let values = prometheus.label_values(&label, &selector);
        assert!(!values.is_empty(), "no values: {label} of {selector}");
    }
    for query in quiet {
        // Understood at least.
        prometheus.query(&query.expr);
    }
}

/// The faults of queries, when they had time to get data.
fn complaints(prometheus: &Prometheus, mut queries: Vec<Query>) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut complaints = Vec::new();
        queries.retain(|query| {
            let complaint = complaint(query, &prometheus.query(&query.expr));
            let is_wrong = complaint.is_some();
            complaints.extend(complaint);
            is_wrong
        });
        if queries.is_empty() || Instant::now() > deadline {
            return complaints;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn complaint(query: &Query, series: &[Series]) -> Option<String> {
    let Query {
        panel,
        expr,
        labels,
    } = query;
    let Some(first) = series.first() else {
        return Some(format!("{panel}: no data: {expr}"));
    };
    let lacking = labels
        .iter()
        .find(|label| !first.labels.contains_key(*label));
    lacking.map(|label| format!("{panel}: no label {label}: {expr}"))
}

/// As Grafana puts the values of variables into a query.
fn filled(query: &str, agent: &Agent) -> String {
    query
        .replace("$__rate_interval", "10s")
        .replace("$job", "headcount")
        .replace(r#"=~"$instance""#, r#"=~".+""#)
        .replace("$instance", &agent.address.to_string())
        // The agent's own group: it has threads, descriptors and memory that can be read.
        .replace("$groupname", "headcount")
        .replace("$app", "shop")
}

fn queries_of(dashboard: &Value, agent: &Agent) -> Vec<Query> {
    let title = dashboard["title"].as_str().unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let mut queries = Vec::new();
    for panel in panels.filter(|panel| panel["type"] != "row") {
        let links = panel["fieldConfig"]["defaults"]["links"].to_string();
        for target in panel["targets"].as_array().unwrap() {
            let legend = target["legendFormat"].as_str().unwrap();
            let labels =
                between(legend, "{{", "}}").chain(between(&links, "{__field.labels.", "}"));
            // Else there would always be data.
            let expr = target["expr"]
                .as_str()
                .unwrap()
                .replace(" or vector(0)", "");
            queries.push(Query {
                panel: format!("{title}: {}", panel["title"]),
                expr: filled(&expr, agent),
                labels: labels.map(str::to_owned).collect(),
            });
        }
    }
    queries
}

/// Label and selector of each variable that Prometheus is asked for.
fn variables_of(dashboard: &Value, agent: &Agent) -> Vec<(String, String)> {
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let queries = variables.filter(|variable| variable["type"] == "query");
    queries
        .map(|variable| {
            let query = filled(variable["query"]["query"].as_str().unwrap(), agent);
            let inner = query.strip_prefix("label_values(").unwrap();
            let (selector, label) = inner.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
            (label.to_owned(), selector.to_owned())
        })
        .collect()
}

/// The text between two marks.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open)
        .skip(1)
        .filter_map(move |rest| Some(rest.split_once(close)?.0))
}

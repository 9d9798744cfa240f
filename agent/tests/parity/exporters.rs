//! The merged metrics of real exporters: node_exporter, Prometheus, an application with Python's prometheus_client, the agent.
//!
//! Each value of the merged answer must be that of the exporter itself, asked before and after; and a real Prometheus must store
//! the same series by either way. `promtool` must find no problem in the merged body that it does not find in the exporters' own
//! bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::prometheus::said_of_metrics;
use super::server::{Prometheus, free_port, get};
use super::support::agent::{Agent, Launch, until};
use super::support::fake_proc::FakeProc;

const PATH: &str = "/v1/apps/myorg/dev/app/metrics";
/// The two API versions, with the formats that the agent asks instances for.
const WAYS: [(&str, &str); 2] = [
    (
        PATH,
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n",
    ),
    (
        "/v2/apps/myorg/dev/app/metrics",
        "Accept: text/plain;version=0.0.4\r\n",
    ),
];
const TAGS: [(&str, &str); 7] = [
    ("process_type", "web"),
    ("organization_id", "org-guid"),
    ("space_id", "space-guid"),
    ("app_id", "app-guid"),
    ("organization_name", "myorg"),
    ("space_name", "dev"),
    ("app_name", "app"),
];
/// Series about the transport from an exporter to the answer, not of the exporter.
const OF_THE_WAY: [&str; 4] = [
    "headcount_target_",
    "promfetcher_scrape_error",
    "scrape_",
    "up",
];
/// Families whose values do not change while an exporter lives.
const STEADY: [&str; 6] = [
    "shop_",
    "namedprocess_namegroup_num_procs",
    "process_start_time_seconds",
    "node_memory_MemTotal_bytes",
    "prometheus_build_info",
    "python_info",
];

/// Gauges of the whole machine: an agent that asks several exporters at a time has more sockets than a client that asks one.
const OF_THE_ASKING: [&str; 3] = [
    "node_sockstat_",
    "node_netstat_Tcp_CurrEstab",
    "node_filefd_allocated",
];
/// Most comparisons of a value that varies.
const ROUNDS: usize = 100;

/// A program that serves its metrics; killed when this is dropped.
struct Exporter {
    child: Child,
    address: SocketAddr,
}

impl Exporter {
    fn start(name: &str, port: u16, command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let exporter = Self {
            child: child.unwrap_or_else(|error| panic!("{name}: {error}")),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        };
        until(name, || get(exporter.address, "/metrics", "").is_some());
        exporter
    }

    fn node_exporter() -> Self {
        let port = free_port();
        let address = format!("--web.listen-address=127.0.0.1:{port}");
        Self::start(
            "node_exporter",
            port,
            Command::new(variable("HEADCOUNT_NODE_EXPORTER")).arg(address),
        )
    }

    fn python_application() -> Self {
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/exporter.py");
        let mut python = Command::new("/usr/bin/python3");
        python
            .arg(script)
            .arg(port.to_string())
            .env("PYTHONPATH", variable("HEADCOUNT_PYTHON_CLIENT"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Self::start("the application", port, &mut python)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn variable(name: &str) -> std::ffi::OsString {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set; `cargo xtask parity` sets it"))
}

/// An application whose instances are real exporters, and the agent that merges them.
struct Application {
    /// The addresses of the instances, in the order of the index.
    addresses: Vec<SocketAddr>,
    agent: Agent,
    _exporters: [Exporter; 2],
    _prometheus: Prometheus,
    _headcount: (FakeProc, Agent),
    _folder: tempfile::TempDir,
}

impl Application {
    fn start() -> Self {
        let exporters = [Exporter::node_exporter(), Exporter::python_application()];
        let prometheus = Prometheus::start("global: {scrape_interval: 1s}\n");
        let tree = FakeProc::new(1_795_235_000);
        (5..25).for_each(|pid| tree.process(pid).write());
        let on_tree =
            || Launch::on(&tree).args(&["-accounting=procfs", "--no-collector.passenger"]);
        let headcount = on_tree().start();
        let mut addresses: Vec<_> = exporters.iter().map(|one| one.address).collect();
        addresses.extend([prometheus.address(), headcount.address]);

        let endpoints = addresses.iter().enumerate().map(|(index, address)| {
            let mut tags: BTreeMap<&str, String> = BTreeMap::new();
            tags.extend(TAGS.map(|(name, value)| (name, value.to_owned())));
            tags.insert("instance_id", index.to_string());
            serde_json::json!({"address": address.to_string(), "tags": tags})
        });
        let table =
            serde_json::json!({"app.example.com": endpoints.collect::<serde_json::Value>()});
        let folder = tempfile::tempdir().unwrap();
        let routes = folder.path().join("routes.json");
        std::fs::write(&routes, table.to_string()).unwrap();
        let yaml = format!(
            "process_names: [{{comm: [x]}}]\nfan_in: {{routes_file: {}}}\n",
            routes.display()
        );
        Self {
            agent: on_tree().config(&yaml).start(),
            addresses,
            _exporters: exporters,
            _prometheus: prometheus,
            _headcount: (tree, headcount),
            _folder: folder,
        }
    }

    /// The body of each instance, asked directly.
    fn direct(&self, headers: &str) -> Vec<String> {
        let asked = self
            .addresses
            .iter()
            .map(|address| get(*address, "/metrics", headers));
        asked.collect::<Option<_>>().unwrap()
    }

    /// The series of all instances as a merged answer must have them.
    fn expected(&self, bodies: &[String]) -> BTreeMap<String, f64> {
        let instances = bodies.iter().zip(&self.addresses).zip(0..);
        let all = instances.flat_map(|((body, address), index): (_, u32)| {
            let tags = TAGS.iter().skip(1);
            let labels = tags.map(|(name, value)| format!("{name}=\"{value}\""));
            let labels: Vec<_> = labels.collect();
            let labels = format!(
                "{},index=\"{index}\",instance_id=\"{index}\",instance=\"{address}\"",
                labels.join(",")
            );
            samples(body).map(move |(series, value)| match series.strip_suffix('}') {
                Some(own) => (format!("{own},{labels}}}"), value),
                None => (format!("{series}{{{labels}}}"), value),
            })
        });
        all.collect()
    }
}

/// The series of a body in either format, and their values, without those about the transport.
fn samples(body: &str) -> impl Iterator<Item = (&str, f64)> {
    let lines = body
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (sample, _exemplar) = line.split_once(" # {").unwrap_or((line, ""));
        let (series, value) = sample.rsplit_once(' ').unwrap();
        (series, value.parse().unwrap())
    });
    samples.filter(|(series, _)| !OF_THE_WAY.iter().any(|name| series.starts_with(name)))
}

fn types(body: &str) -> BTreeSet<&str> {
    let lines = body.lines().filter(|line| line.starts_with("# TYPE "));
    lines
        .filter(|line| {
            !OF_THE_WAY
                .iter()
                .any(|name| line["# TYPE ".len()..].starts_with(name))
        })
        .collect()
}

fn is_between(value: f64, one: f64, other: f64) -> bool {
    (value.is_nan() && one.is_nan() && other.is_nan())
        || (one.min(other)..=one.max(other)).contains(&value)
}

/// Fails if a series belongs to no instance, is missing, or is a counter whose value is not between those of two direct answers.
/// Returns the other series whose values are not between.
fn outside(
    before: &BTreeMap<String, f64>,
    merged: &BTreeMap<&str, f64>,
    after: &BTreeMap<String, f64>,
) -> BTreeSet<String> {
    for series in merged.keys() {
        let is_known = before.contains_key(*series) || after.contains_key(*series);
        assert!(is_known, "of no instance: {series}");
    }
    let both = before
        .iter()
        .filter_map(|(series, one)| Some((series, *one, *after.get(series)?)));
    let outside = both.filter(|(series, one, other)| {
        let value = merged.get(series.as_str());
        let value = *value.unwrap_or_else(|| panic!("missing: {series}"));
        let is_between = is_between(value, *one, *other);
        let is_counter = series.contains("_total{");
        assert!(
            is_between || !is_counter,
            "{series}: {value} is not in {one}..{other}"
        );
        let is_changed = OF_THE_ASKING.iter().any(|name| series.starts_with(name));
        !is_between && !is_changed
    });
    outside.map(|(series, ..)| series.clone()).collect()
}

/// Gauges may leave the range of two direct answers and return, so it is enough that each is in that range once.
#[test]
fn merged_values_of_real_exporters_are_their_own() {
    let application = Application::start();
    for (path, headers) in WAYS {
        let mut never: Option<BTreeSet<String>> = None;
        for _ in 0..ROUNDS {
            let before = application.expected(&application.direct(headers));
            let answer = application.agent.ask(path);
            let after = application.expected(&application.direct(headers));
            assert!(before.len() > 800, "{}", before.len());
            let now = outside(&before, &samples(&answer.body).collect(), &after);
            never = Some(never.map_or_else(|| now.clone(), |never| &never & &now));
            if never.as_ref().is_some_and(BTreeSet::is_empty) {
                break;
            }
        }
        let never = never.unwrap_or_default();
        assert!(never.is_empty(), "{path}: {never:#?}");
    }
}

#[test]
fn merged_body_of_real_exporters_has_their_types_and_no_new_problem_for_promtool() {
    let application = Application::start();
    let (path, headers) = WAYS[1];
    let direct = application.direct(headers);
    let expected: BTreeSet<&str> = direct.iter().flat_map(|body| types(body)).collect();
    let merged = application.agent.ask(path).body;
    assert_eq!(types(&merged), expected);

    let said = |body: &str| -> BTreeSet<String> {
        said_of_metrics(body).lines().map(str::to_owned).collect()
    };
    let known: BTreeSet<String> = direct.iter().flat_map(|body| said(body)).collect();
    for (path, _) in WAYS {
        let new = &said(&application.agent.ask(path).body) - &known;
        assert!(new.is_empty(), "{path}: {new:#?}");
    }
}

/// The series of a job by their labels, without those about the transport; `origin`: the label that names the instance.
fn stored(prometheus: &Prometheus, job: &str, origin: &str) -> BTreeMap<String, f64> {
    let all = prometheus.query(&format!("{{job=\"{job}\"}}")).into_iter();
    let own = all.filter_map(|mut one| {
        let name = one.labels["__name__"].clone();
        if OF_THE_WAY.iter().any(|prefix| name.starts_with(prefix)) {
            return None;
        }
        let address = one.labels.remove(origin)?;
        let of_the_way = |label: &str| TAGS.iter().any(|(name, _)| *name == label);
        one.labels.retain(|label, _| {
            !of_the_way(label)
                && !matches!(label.as_str(), "job" | "instance" | "index" | "instance_id")
        });
        Some((format!("{name} {address} {:?}", one.labels), one.value))
    });
    own.collect()
}

#[test]
fn prometheus_stores_the_series_of_real_exporters_by_either_way() {
    let application = Application::start();
    let merged = application.agent.address;
    let targets: Vec<String> = application
        .addresses
        .iter()
        .map(|address| format!("'{address}'"))
        .collect();
    let prometheus = Prometheus::scraping(&format!(
        "{{job_name: direct, static_configs: [{{targets: [{}]}}]}},\
         {{job_name: honored, honor_labels: true, metrics_path: {PATH}, static_configs: [{{targets: ['{merged}']}}]}},\
         {{job_name: renamed, metrics_path: {PATH}, static_configs: [{{targets: ['{merged}']}}]}}",
        targets.join(",")
    ));
    let ways = || {
        let honored = stored(&prometheus, "honored", "instance");
        let renamed = stored(&prometheus, "renamed", "exported_instance");
        (
            stored(&prometheus, "direct", "instance"),
            [honored, renamed],
        )
    };
    // Prometheus stores a series that an exporter creates when it is scraped earlier from one job than from the other.
    until("the same series", || {
        let (direct, merged) = ways();
        direct.len() > 800 && merged.iter().all(|one| one.keys().eq(direct.keys()))
    });
    let steady = |all: &BTreeMap<String, f64>| -> BTreeMap<String, String> {
        let is_steady = |series: &str| STEADY.iter().any(|name| series.starts_with(name));
        let steady = all.iter().filter(|(series, _)| is_steady(series));
        steady
            .map(|(series, value)| (series.clone(), value.to_string()))
            .collect()
    };
    let (direct, merged) = ways();
    let direct = steady(&direct);
    for family in STEADY {
        assert!(
            direct.keys().any(|series| series.starts_with(family)),
            "{family}"
        );
    }
    for one in merged {
        assert_eq!(steady(&one), direct);
    }
}

//! A real Prometheus scrapes the agent: every query of the dashboards that process-exporter's users have (section 8 of the
//! contract) must return data, and `promtool` must have nothing to say but of names that compatibility forces.
//!
//! In: the folder of both programs, in `HEADCOUNT_PROMETHEUS`.

use super::support::agent::{Agent, Launch, until};
use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Grafana 249 (named processes), 8378 (system processes), and alerts that are in the wild.
const QUERIES: &[&str] = &[
    r#"sum(namedprocess_namegroup_num_procs{groupname=~".+"}) without (mode)"#,
    r#"sum(rate(namedprocess_namegroup_cpu_seconds_total{groupname=~".+"}[10s])) without (mode)"#,
    r#"rate(namedprocess_namegroup_read_bytes_total{groupname=~".+"}[10s])"#,
    r#"rate(namedprocess_namegroup_write_bytes_total{groupname=~".+"}[10s])"#,
    r#"sum(namedprocess_namegroup_memory_bytes{groupname=~".+", memtype="resident"}) without (mode)"#,
    r#"sum(namedprocess_namegroup_memory_bytes{groupname=~".+", memtype="virtual"}) without (mode)"#,
    r#"topk(5, rate(namedprocess_namegroup_cpu_seconds_total{mode="user", groupname=~".+"}[10s]))"#,
    r#"topk(5, rate(namedprocess_namegroup_cpu_seconds_total{mode="system", groupname=~".+"}[10s]))"#,
    r#"topk(5, namedprocess_namegroup_memory_bytes{memtype="resident"} + ignoring (memtype) namedprocess_namegroup_memory_bytes{memtype="swapped"})"#,
    r#"namedprocess_namegroup_states{state="Zombie"} >= 0"#,
    r#"time() - namedprocess_namegroup_oldest_start_time_seconds > 0"#,
    r#"namedprocess_namegroup_worst_fd_ratio < 0.65"#,
    r#"rate(namedprocess_namegroup_context_switches_total{ctxswitchtype="nonvoluntary"}[10s])"#,
    r#"rate(namedprocess_namegroup_major_page_faults_total[10s])"#,
    r#"namedprocess_namegroup_open_filedesc"#,
    r#"namedprocess_namegroup_num_threads"#,
    r#"sum by (groupname, wchan) (namedprocess_namegroup_threads_wchan)"#,
    r#"rate(namedprocess_namegroup_thread_cpu_seconds_total{mode="user"}[10s])"#,
];

/// process-exporter's names: counters without `_total`, and a gauge called a count.
const FORCED: &[&str] = &[
    "namedprocess_namegroup_thread_count",
    "namedprocess_scrape_errors",
    "namedprocess_scrape_procread_errors",
    "namedprocess_scrape_partial_errors",
];

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("HEADCOUNT_PROMETHEUS")
        .expect("HEADCOUNT_PROMETHEUS names no folder; `cargo xtask parity` fetches one");
    PathBuf::from(folder).join(name)
}

#[test]
fn every_query_of_the_dashboards_returns_data() {
    let agent = Launch::new().start();
    let prometheus = Prometheus::start(&agent);
    until("three scrapes", || {
        prometheus.results("count_over_time(namedprocess_namegroup_num_procs[10s]) >= 3") > 0
    });
    for query in QUERIES {
        assert!(prometheus.results(query) > 0, "no data: {query}");
    }
    let path = "/api/v1/label/groupname/values?match[]=namedprocess_namegroup_cpu_seconds_total";
    assert!(prometheus.values(path) > 0, "the variable of 249");
}

#[test]
fn promtool_has_nothing_to_say_but_of_the_old_names() {
    check_metrics(&Launch::new().start().scrape().body);
}

/// Fails on all that `promtool` says of an exposition but of the old names.
pub(super) fn check_metrics(body: &str) {
    let mut promtool = Command::new(program("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let unknown: Vec<&str> = said
        .lines()
        .filter(|line| !FORCED.iter().any(|name| line.starts_with(name)))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(
        said.lines().count() >= 3,
        "it has not read the exposition: {said}"
    );
}

/// A running one; killed when this is dropped.
pub(super) struct Prometheus {
    child: Child,
    port: u16,
    _files: tempfile::TempDir,
}

impl Prometheus {
    fn start(agent: &Agent) -> Self {
        let target = agent.address;
        Self::scraping(&format!(
            "{{job_name: headcount, static_configs: [{{targets: ['{target}']}}]}}"
        ))
    }

    /// One that scrapes `jobs`, the elements of `scrape_configs`.
    pub(super) fn scraping(jobs: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("prometheus.yml");
        let yaml = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: [{jobs}]\n"
        );
        std::fs::write(&path, yaml).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", path.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                files.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self {
            child,
            port,
            _files: files,
        };
        until("Prometheus", || prometheus.get("/-/ready").is_some());
        prometheus
    }

    /// Series that an instant query returns.
    pub(super) fn results(&self, query: &str) -> usize {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02x}").unwrap();
        }
        let body = self
            .get(&path)
            .unwrap_or_else(|| panic!("refused: {query}"));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        json["data"]["result"].as_array().unwrap().len()
    }

    /// Values of a label.
    fn values(&self, path: &str) -> usize {
        let body = self.get(path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        json["data"].as_array().unwrap().len()
    }

    /// The body of an answer of 200.
    pub(super) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines()
            .next()?
            .contains(" 200 ")
            .then(|| body.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

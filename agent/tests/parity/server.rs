//! A real Prometheus, and the programs that come with it.
//!
//! In: the folder of both, in `HEADCOUNT_PROMETHEUS`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::support::agent::until;

/// One of them.
pub(super) fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("HEADCOUNT_PROMETHEUS")
        .expect("HEADCOUNT_PROMETHEUS names no folder; `cargo xtask parity` fetches one");
    PathBuf::from(folder).join(name)
}

/// A file of `deploy`.
pub(super) fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(path)
}

/// One series and its value now.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// A running one; killed when this is dropped.
pub(super) struct Prometheus {
    child: Child,
    port: u16,
    _files: tempfile::TempDir,
}

impl Prometheus {
    /// With this configuration; files that it names are those of `deploy/prometheus`.
    pub(super) fn start(yaml: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("prometheus.yml");
        std::fs::write(&path, yaml).unwrap();
        let rules = deployed("prometheus/rules.yml");
        std::fs::copy(rules, files.path().join("rules.yml")).unwrap();
        let port = free_port();
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

    /// One that scrapes `jobs`, the elements of `scrape_configs`, each second.
    pub(super) fn scraping(jobs: &str) -> Self {
        Self::start(&format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: [{jobs}]\n"
        ))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The result of an instant query. Fails if Prometheus does not understand the query.
    pub(super) fn query(&self, query: &str) -> Vec<Series> {
        let path = format!("/api/v1/query?query={}", escaped(query));
        let answer = self.get(&path);
        let body = answer.unwrap_or_else(|| panic!("refused: {query}"));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        let series = json["data"]["result"].as_array().unwrap().iter();
        series
            .map(|one| Series {
                labels: serde_json::from_value(one["metric"].clone()).unwrap(),
                value: one["value"][1].as_str().unwrap().parse().unwrap(),
            })
            .collect()
    }

    /// Values that a label has in the series of `selector`.
    pub(super) fn label_values(&self, label: &str, selector: &str) -> Vec<String> {
        let selector = escaped(selector);
        self.values(&format!("/api/v1/label/{label}/values?match[]={selector}"))
    }

    /// The answer of a path that lists values.
    pub(super) fn values(&self, path: &str) -> Vec<String> {
        let body = self.get(path).unwrap_or_else(|| panic!("refused: {path}"));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        serde_json::from_value(json["data"].clone()).unwrap()
    }

    /// The body of an answer of 200.
    pub(super) fn get(&self, path: &str) -> Option<String> {
        get(self.address(), path, "")
    }
}

/// The body of an answer of 200 to a GET with further header lines, each with its line break. The request is HTTP/1.0, so the body
/// is not in chunks.
pub(super) fn get(address: SocketAddr, path: &str, headers: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines()
        .next()?
        .contains(" 200 ")
        .then(|| body.to_owned())
}

/// A port of the loopback interface that was free a moment ago.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The Prometheus jobs and alerts of `docs/fan-in.md`: `promtool` accepts them, and in a real Prometheus they give the series and
//! labels that the page promises.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use super::server::{Prometheus, program};
use super::support::agent::{Launch, until};
use super::support::fake_proc::FakeProc;

const PAGE: &str = include_str!("../../../docs/fan-in.md");
const JOBS: &str = "scrape_configs:\n";
const ALERTS: &str = "groups:\n";

/// The code blocks of the page that begin with `begin`.
fn blocks(begin: &str) -> Vec<&'static str> {
    let blocks = PAGE.split("\n```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| Some(rest.split_once("\n```\n")?.0));
    blocks.filter(|block| block.starts_with(begin)).collect()
}

/// The only block of jobs with this text, as elements of `scrape_configs`.
fn job(text: &str) -> &'static str {
    let mut found = blocks(JOBS).into_iter().filter(|job| job.contains(text));
    let job = found.next().unwrap();
    assert!(found.next().is_none(), "{text} is in several jobs");
    &job[JOBS.len()..]
}

/// The expression of an alert of the page.
fn alert(name: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("- alert: {name}\n")).unwrap();
    let expression = rest.lines().next().unwrap().trim();
    expression.strip_prefix("expr: ").unwrap()
}

#[test]
fn promtool_accepts_the_jobs_and_alerts_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let check = |what: &str, text: &str| {
        let path = folder.path().join("file.yml");
        fs::write(&path, text).unwrap();
        let mut promtool = Command::new(program("promtool"));
        let output = promtool.args(["check", what]).arg(&path).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}: {said}");
    };
    let (jobs, alerts) = (blocks(JOBS), blocks(ALERTS));
    assert!(
        jobs.len() >= 5 && alerts.len() == 1,
        "{jobs:#?} {alerts:#?}"
    );
    jobs.iter().for_each(|job| check("config", job));
    alerts.iter().for_each(|alert| check("rules", alert));
}

/// An instance with this body; it ends with the test process.
fn instance(body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            // The request is one segment; its content does not matter.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn jobs_of_the_page_give_the_stated_labels() {
    // The two series of `b` differ by a label that the agent replaces.
    let body = "a{job=\"own\",instance=\"own\"} 1\nb{instance=\"x\"} 1\nb{instance=\"y\"} 2\n";
    let address = instance(body).to_string();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let tags = serde_json::json!({
        "process_type": "web",
        "app_name": "myapp",
        "space_name": "dev",
        "organization_name": "myorg",
    });
    let routes = serde_json::json!({"app.example.com": [{"address": address, "tags": tags}]});
    let routes = write("routes.json", routes.to_string());
    let yaml = format!("process_names: [{{comm: [x]}}]\nfan_in: {{routes_file: {routes}}}\n");
    let tree = FakeProc::new(1_795_235_000);
    tree.process(5).write();
    let agent = Launch::on(&tree)
        .args(&["-accounting=procfs", "--no-collector.passenger"])
        .config(&yaml)
        .start();
    let list = "[{\"targets\": [\"myorg/dev/myapp\", \"nowhere\"]}]";
    let list = write("applications.json", list.to_owned());
    let honored = job("job_name: myapp\n    honor_labels");
    let jobs = [
        honored.replace("    scrape_timeout: 10s\n", ""),
        job("metric_relabel_configs").replace("job_name: myapp", "job_name: taken-back"),
        job("file_sd_configs").replace("applications.yml", &list),
    ];
    let jobs = jobs
        .join("\n")
        .replace("node:9256", &agent.address.to_string());
    let prometheus = Prometheus::start(&format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n{JOBS}{jobs}"
    ));
    let agent = agent.address;
    for query in [
        // With honor_labels, the label of the instance counts.
        format!("count(a{{job=\"own\",instance=\"{address}\",app_name=\"myapp\"}}) == 1"),
        format!("a{{job=\"taken-back\",exported_job=\"own\",instance=\"{address}\"}}"),
        format!(
            "headcount_target_up{{job=\"taken-back\",target=\"{address}\",instance=\"{agent}\"}} == 1"
        ),
        format!(
            "headcount_target_up{{job=\"applications\",target=\"{address}\",instance=\"myorg/dev/myapp\"}} == 1"
        ),
        "up{job=\"applications\",instance=\"myorg/dev/myapp\"} == 1".to_owned(),
        "up{job=\"applications\",instance=\"nowhere\"} == 0".to_owned(),
        alert("AnswerIncomplete").to_owned(),
    ] {
        until(&query, || !prometheus.query(&query).is_empty());
    }
    for query in ["{exported_instance!=\"\"}", "a{job!~\"own|taken-back\"}"] {
        assert!(prometheus.query(query).is_empty(), "{query}");
    }
}

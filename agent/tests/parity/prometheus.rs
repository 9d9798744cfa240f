//! A real Prometheus scrapes the agent: every query of the dashboards that process-exporter's users have (section 7 of
//! docs/dev/compatibility.md) must return data, and `promtool` must have nothing to say but of names that compatibility forces.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::server::{Prometheus, program};
use super::support::agent::{Launch, until};

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

#[test]
fn every_query_of_the_dashboards_returns_data() {
    let agent = Launch::new().start();
    let prometheus = Prometheus::start(&format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: headcount, static_configs: [{{targets: ['{}']}}]}}]\n",
        agent.address
    ));
    until("three scrapes", || {
        !prometheus
            .query("count_over_time(namedprocess_namegroup_num_procs[10s]) >= 3")
            .is_empty()
    });
    for query in QUERIES {
        assert!(!prometheus.query(query).is_empty(), "no data: {query}");
    }
    let path = "/api/v1/label/groupname/values?match[]=namedprocess_namegroup_cpu_seconds_total";
    assert!(!prometheus.values(path).is_empty(), "the variable of 249");
}

#[test]
fn promtool_reports_only_the_old_names() {
    check_metrics(&Launch::new().start().scrape().body);
}

/// Fails on all that `promtool` says of an exposition but of the old names.
pub(super) fn check_metrics(body: &str) {
    let said = said_of_metrics(body);
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

/// The complaints of `promtool` about an exposition.
pub(super) fn said_of_metrics(body: &str) -> String {
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
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

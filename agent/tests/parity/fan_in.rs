//! A real Prometheus scrapes the merged metrics of real instances, which are agents, and each of the instances, too.

use std::collections::BTreeMap;

use super::prometheus::said_of_metrics;
use super::server::Prometheus;
use super::support::agent::{Agent, Launch, until};
use super::support::fake_proc::FakeProc;

const PATH: &str = "/v1/apps/myorg/dev/app/metrics";
/// Series whose values differ between the instances, and do not change.
const STEADY: &str = "{__name__=~\"namedprocess_namegroup_(num_procs|memory_bytes|states)\"}";

/// An agent over a tree with this number of processes.
fn instance(processes: u32) -> (FakeProc, Agent) {
    let tree = FakeProc::new(1_795_235_000);
    (5..5 + processes).for_each(|pid| tree.process(pid).write());
    let launch = Launch::on(&tree).args(&["-accounting=procfs", "--no-collector.passenger"]);
    let agent = launch.start();
    (tree, agent)
}

/// The steady series of a job, by instance: name and labels without those about the transport.
fn steady(prometheus: &Prometheus, job: &str, instance: &str) -> BTreeMap<String, Vec<String>> {
    let selector = STEADY.replacen('{', &format!("{{job=\"{job}\","), 1);
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mut series in prometheus.query(&selector) {
        let address = series.labels.remove(instance).unwrap();
        let own = |label: &str| matches!(label, "__name__" | "groupname" | "memtype" | "state");
        series.labels.retain(|label, _| own(label));
        let line = format!("{:?} {}", series.labels, series.value);
        all.entry(address).or_default().push(line);
    }
    all.values_mut().for_each(|lines| lines.sort());
    all
}

#[test]
fn merged_values_are_those_of_the_instances() {
    let instances = [instance(1), instance(3)];
    let addresses = instances.each_ref().map(|(_, agent)| agent.address);
    let endpoints = addresses.iter().zip(0..).map(|(address, index): (_, u32)| {
        serde_json::json!({
            "address": address.to_string(),
            "tags": {
                "process_type": "web",
                "instance_id": index.to_string(),
                "app_name": "app",
                "space_name": "dev",
                "organization_name": "myorg",
            },
        })
    });
    let endpoints: Vec<_> = endpoints.collect();
    let folder = tempfile::tempdir().unwrap();
    let routes = folder.path().join("routes.json");
    let table = serde_json::json!({ "app.example.com": endpoints });
    std::fs::write(&routes, table.to_string()).unwrap();
    let yaml = format!(
        "process_names: [{{comm: [x]}}]\nfan_in: {{routes_file: {}}}\n",
        routes.display()
    );
    let agent = Launch::on(&instances[0].0)
        .args(&["-accounting=procfs", "--no-collector.passenger"])
        .config(&yaml)
        .start();

    let [first, second] = addresses;
    let merged = agent.address;
    let prometheus = Prometheus::scraping(&format!(
        "{{job_name: direct, static_configs: [{{targets: ['{first}', '{second}']}}]}},\
         {{job_name: honored, honor_labels: true, metrics_path: {PATH}, static_configs: [{{targets: ['{merged}']}}]}},\
         {{job_name: renamed, metrics_path: {PATH}, static_configs: [{{targets: ['{merged}']}}]}}"
    ));
    until("a scrape of each", || {
        prometheus.query("up == 1").len() == 4
            && prometheus
                .query("headcount_target_up{kind=\"fan_in\"} == 1")
                .len()
                == 4
    });
    let direct = steady(&prometheus, "direct", "instance");
    assert_eq!(direct.len(), 2, "{direct:?}");
    assert_ne!(direct[&first.to_string()], direct[&second.to_string()]);
    assert_eq!(steady(&prometheus, "honored", "instance"), direct);
    assert_eq!(steady(&prometheus, "renamed", "exported_instance"), direct);

    // promtool finds the same problems in the merged body as in the body of an instance, even if an instance does not answer.
    let [(_tree, living), gone] = instances;
    let own = said_of_metrics(&living.scrape().body);
    let says_nothing_new = || {
        let said = said_of_metrics(&agent.ask(PATH).body);
        let new = said
            .lines()
            .filter(|line| !own.lines().any(|known| known == *line));
        assert_eq!(new.collect::<Vec<_>>(), [""; 0]);
    };
    says_nothing_new();
    drop(gone);
    let body = agent.ask(PATH).body;
    assert!(body.contains("promfetcher_scrape_error{"), "{body}");
    says_nothing_new();
}

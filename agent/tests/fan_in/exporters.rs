//! External exporters: the agent asks them once for each application of an answer, beside its instances.

use std::net::SocketAddr;

use crate::instance::Instance;
use crate::support::agent::Agent;
use crate::support::scrape::Scrape;
use crate::{ID, PATH, Site, endpoint, labels, merged, scrape, total, up};

/// A line of `fan_in` with one exporter, whose parameter is the id of the application.
fn line(name: &str, address: SocketAddr) -> String {
    let exporter =
        format!("{{name: {name}, host: '{address}', params: {{app: ['{{{{.AppID}}}}']}}}}");
    format!("  external_exporters: [{exporter}]\n")
}

/// The labels of an exporter's series.
const APPLICATION: [(&str, &str); 6] = [
    ("organization_id", "org-guid"),
    ("space_id", "space-guid"),
    ("app_id", ID),
    ("organization_name", "myorg"),
    ("space_name", "dev"),
    ("app_name", "app"),
];

fn exporter_up(scrape: &Scrape, name: &str) -> Option<f64> {
    let target = format!("{name}@{ID}");
    scrape.value(
        "headcount_target_up",
        &[("kind", "fan_in"), ("target", &target)],
    )
}

fn has_line(scrape: &Scrape, line: &str) -> bool {
    scrape.body.lines().any(|one| one == line)
}

#[test]
fn exporter_is_asked_once_and_its_series_have_the_labels_of_the_application() {
    let instances = [Instance::text("a 1\n"), Instance::text("a 2\n")];
    let exporter = Instance::text(
        "# TYPE a gauge\na{index=\"7\",instance=\"own\",instance_id=\"7\",app_id=\"own\",part=\"x\"} 3\n\
         promfetcher_scrape_external_exporter_error{error=\"x\"} 1\n",
    );
    let site = Site::of(&instances.each_ref().map(|one| one.address));
    let lines = line("quota", exporter.address);
    let lines = format!("{lines}  forward_authorization: [{ID}]\n");
    let agent = site.launch(&lines).start();
    let asked = agent.begin(PATH, "Authorization: Basic dXNlcjpwYXNz\r\n");
    let found = scrape(asked.answer());
    let of_application = APPLICATION.map(|(name, value)| format!("{name}=\"{value}\""));
    let series = format!("a{{part=\"x\",{}}} 3", of_application.join(","));
    assert!(has_line(&found, &series), "{}", found.body);
    assert_eq!(exporter_up(&found, "quota"), Some(1.0), "{}", found.body);
    for (index, instance) in instances.iter().enumerate() {
        let series = format!("a{{{}}} {}", labels(instance.address, index), index + 1);
        assert!(has_line(&found, &series), "{}", found.body);
        assert!(instance.heads()[0].contains("authorization"));
    }
    assert!(
        !found.body.contains("\npromfetcher_scrape"),
        "{}",
        found.body
    );
    let heads = exporter.heads();
    let request = format!("get /metrics?app={ID} http/1.1\r\n");
    assert!(
        heads.len() == 1 && heads[0].starts_with(&request) && !heads[0].contains("authorization"),
        "{heads:?}"
    );
    let fetched = total(&agent, "promfetch_metric_fetch_success_total", &APPLICATION);
    assert_eq!(fetched, 3.0);

    for path in [
        "/v1/apps/myorg/dev/app/only-app-metrics",
        &format!("{PATH}?only_from_app=1"),
    ] {
        let found = merged(&agent, path);
        assert_eq!(exporter_up(&found, "quota"), None, "{path}: {}", found.body);
        assert_eq!(up(&found, instances[0].address), Some(1.0));
    }
    assert_eq!(exporter.heads().len(), 1);
}

#[test]
fn failing_exporter_has_its_reason_and_leaves_the_instances_in_the_answer() {
    let cases = [
        ("denied", Instance::answering("401 Unauthorized", "", b"")),
        ("status", Instance::answering("404 Not Found", "", b"")),
        ("malformed", Instance::text("this is { no exposition\n")),
        ("timeout", Instance::hanging("")),
    ];
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    let exporters = cases.iter().map(|(reason, one)| (*reason, one.address));
    let exporters = exporters.chain([("refused", Instance::gone())]);
    let mut lines = "  external_exporters:\n".to_owned();
    for (name, address) in exporters {
        lines += &format!("  - {{name: {name}, host: '{address}'}}\n");
    }
    lines += "  - {name: template, host: 127.0.0.1:1, params: {x: ['{{slice .SpaceName 10}}']}}\n";
    let agent = site.launch(&lines).start();
    let asked = agent.begin(PATH, "X-Prometheus-Scrape-Timeout-Seconds: 2\r\n");
    let found = scrape(asked.answer());
    assert_eq!(up(&found, instance.address), Some(1.0), "{}", found.body);
    let reasons = cases.iter().map(|(reason, _)| *reason);
    for reason in reasons.chain(["refused", "template"]) {
        assert_eq!(exporter_up(&found, reason), Some(0.0), "{}", found.body);
        let labels = [&APPLICATION[..], &[("name", reason), ("error", reason)]].concat();
        let error = found.value("promfetcher_scrape_external_exporter_error", &labels);
        assert_eq!(error, Some(1.0), "{reason}: {}", found.body);
        assert_eq!(failures(&agent, reason), 1.0, "{reason}");
    }
    assert!(
        !found.body.contains("promfetcher_scrape_error{"),
        "{}",
        found.body
    );
}

fn failures(agent: &Agent, reason: &str) -> f64 {
    let labels = [("kind", "fan_in"), ("reason", reason)];
    total(agent, "headcount_target_failures_total", &labels)
}

#[test]
fn refusal_of_all_instances_is_406_only_without_an_exporter_in_the_answer() {
    let instance = Instance::answering("404 Not Found", "", b"");
    let exporter = Instance::answering("404 Not Found", "", b"");
    let site = Site::of(&[instance.address]);
    let agent = site.launch(&line("quota", exporter.address)).start();
    let found = merged(&agent, PATH);
    assert_eq!(up(&found, instance.address), Some(0.0), "{}", found.body);
    assert_eq!(exporter_up(&found, "quota"), Some(0.0), "{}", found.body);
    assert_eq!(
        crate::error(&found, instance.address).as_deref(),
        Some("status")
    );
    assert_eq!(
        agent.ask("/v1/apps/myorg/dev/app/only-app-metrics").code,
        406
    );
}

#[test]
fn hostile_tag_changes_neither_host_nor_path_nor_another_parameter() {
    let instance = Instance::text("a 1\n");
    let exporter = Instance::text("b 1\n");
    let mut hostile = endpoint(instance.address, 0);
    let tag = "x&app=2#/../y HTTP/1.1\r\nHost: evil\r\n\r\n{{.AppID}}";
    hostile["tags"]["app_name"] = tag.into();
    let site = Site::of(&[]);
    site.write_all(&[hostile]);
    let (address, lines) = (
        exporter.address,
        "params: {app: ['{{.AppName}}', last]}}]\n",
    );
    let lines = format!(
        "  external_exporters: [{{name: quota, host: '{address}', metrics_path: /p, {lines}"
    );
    let agent = site.launch(&lines).start();
    let found = merged(&agent, &format!("/v1/apps/{ID}/metrics"));
    assert_eq!(exporter_up(&found, "quota"), Some(1.0), "{}", found.body);
    let escaped =
        "x%26app%3d2%23%2f..%2fy%20http%2f1.1%0d%0ahost%3a%20evil%0d%0a%0d%0a%7b%7b.appid%7d%7d";
    let request = format!("get /p?app={escaped}&app=last http/1.1\r\nhost: {address}\r\n");
    let heads = exporter.heads();
    assert!(
        heads.len() == 1 && heads[0].starts_with(&request),
        "{heads:?}"
    );
}

#[test]
fn exporter_beyond_the_bound_of_instances_is_left_out_and_counted() {
    let instance = Instance::text("a 1\n");
    let exporter = Instance::text("b 1\n");
    let site = Site::of(&[instance.address]);
    let lines = line("quota", exporter.address);
    let agent = site
        .launch(&format!("{lines}  limits: {{instances: 1}}\n"))
        .start();
    let found = merged(&agent, PATH);
    assert_eq!(exporter_up(&found, "quota"), None, "{}", found.body);
    let omitted = [("kind", "fan_in"), ("what", "instances")];
    assert_eq!(found.value("headcount_target_omitted", &omitted), Some(1.0));
    assert_eq!(exporter.heads(), [""; 0]);
}

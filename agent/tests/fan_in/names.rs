//! Instances and routers with host names that the system's resolver knows: `localhost` is in `/etc/hosts`.

use std::fs;

use serde_json::json;

use crate::instance::Instance;
use crate::secured::secured;
use crate::support::client::Authority;
use crate::support::scrape::Scrape;
use crate::{PATH, Site, merged, scrape, total, up};

const SHOP: &str = "/v1/apps/shop/metrics";
/// A name that no name server resolves.
const NOWHERE: &str = "nowhere.invalid:80";

/// Writes a file of targets with these labels; returns the line of the configuration for it.
fn file_sd(site: &Site, targets: &[&str], labels: &serde_json::Value) -> String {
    let path = site.folder.path().join("targets.json");
    let groups = json!([{"targets": targets, "labels": labels}]);
    fs::write(&path, groups.to_string()).unwrap();
    format!("  file_sd: ['{}']\n", path.display())
}

fn up_of(scrape: &Scrape, target: &str) -> Option<f64> {
    let labels = [("kind", "fan_in"), ("target", target)];
    scrape.value("headcount_target_up", &labels)
}

#[test]
fn instance_is_asked_under_its_name_and_one_without_an_address_has_a_reason() {
    let instance = Instance::text("a 1\n");
    let name = format!("LocalHost:{}", instance.address.port());
    let site = Site::of(&[]);
    let address = instance.address.to_string();
    let targets = [&address, NOWHERE, &name];
    let agent = site
        .launch(&file_sd(&site, &targets, &json!({"app": "shop"})))
        .start();
    let timeout = "X-Prometheus-Scrape-Timeout-Seconds: 2\r\n";
    let answer = scrape(agent.begin(SHOP, timeout).answer());
    for target in [&address, &name] {
        let line = format!("a{{app=\"shop\",instance=\"{target}\"}} 1\n");
        assert!(answer.body.contains(&line), "{}", answer.body);
        assert_eq!(up_of(&answer, target), Some(1.0));
    }
    assert_eq!(up_of(&answer, NOWHERE), Some(0.0));
    let error = format!("error=\"unresolved\",instance=\"{NOWHERE}\"}} 1\n");
    assert!(answer.body.contains(&error), "{}", answer.body);
    let heads = instance.heads();
    let host = format!("\r\nhost: {}\r\n", name.to_lowercase());
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads.iter().any(|head| head.contains(&host)), "{heads:?}");
    let labels = [("kind", "fan_in"), ("reason", "unresolved")];
    assert_eq!(
        total(&agent, "headcount_target_failures_total", &labels),
        1.0
    );
}

#[test]
fn certificate_must_be_for_the_name_of_the_host() {
    let authority = Authority::new();
    let instances = ["localhost", "127.0.0.1"].map(|name| secured(&authority.issue(name)));
    let names = instances
        .each_ref()
        .map(|one| format!("localhost:{}", one.address.port()));
    let site = Site::of(&[]);
    let ca = site.folder.path().join("ca.pem");
    fs::write(&ca, authority.cert()).unwrap();
    let targets = names.each_ref().map(String::as_str);
    let labels = json!({"app": "shop", "__scheme__": "https"});
    let file_sd = file_sd(&site, &targets, &labels);
    let agent = site
        .launch(&format!("{file_sd}  ca_file: {}\n", ca.display()))
        .start();
    let answer = merged(&agent, SHOP);
    let found = targets.map(|target| up_of(&answer, target));
    assert_eq!(found, [Some(1.0), Some(0.0)], "{}", answer.body);
    let error = format!("error=\"tls\",instance=\"{}\"}} 1\n", names[1]);
    assert!(answer.body.contains(&error), "{}", answer.body);
}

#[test]
fn router_is_asked_under_its_name() {
    let instance = Instance::text("a 1\n");
    let routes = json!({"app.example.com": [crate::endpoint(instance.address, 0)]});
    let headers = "Content-Type: application/json\r\n";
    let router = Instance::answering("200 OK", headers, routes.to_string().as_bytes());
    let site = Site::of(&[]);
    let url = format!("http://localhost:{}", router.address.port());
    let lines = format!("  gorouters: [{{url: '{url}'}}, {{url: 'http://{NOWHERE}'}}]\n");
    let agent = site.launch(&lines).start();
    assert_eq!(up(&merged(&agent, PATH), instance.address), Some(1.0));
    let labels = [("source", "gorouters"), ("reason", "unresolved")];
    assert!(total(&agent, "headcount_fan_in_source_failures_total", &labels) >= 1.0);
    let warnings = agent.messages("warn");
    let is_told = |line: &String| line.contains("http://nowhere.invalid:80/routes: unresolved");
    assert!(warnings.iter().any(is_told), "{warnings:#?}");
}

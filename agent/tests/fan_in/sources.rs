//! The sources of instances: files that change, become invalid and disappear, which the confined agent reads, and the metrics
//! about them.

use std::fs;

use serde_json::json;

use crate::instance::Instance;
use crate::support::agent::{Agent, until};
use crate::{PATH, Site, merged, total, up};

const SHOP: &str = "/v1/apps/shop/metrics";

fn entries(agent: &Agent, source: &str) -> f64 {
    total(agent, "headcount_fan_in_entries", &[("source", source)])
}

fn malformed(agent: &Agent, source: &str) -> f64 {
    let labels = [("source", source), ("reason", "malformed")];
    total(agent, "headcount_fan_in_source_failures_total", &labels)
}

#[test]
fn broken_routes_keep_the_instances_and_corrected_ones_replace_them() {
    let (first, second) = (Instance::text("a 1\n"), Instance::text("a 2\n"));
    let site = Site::of(&[first.address]);
    let agent = site.launch("").start();
    assert_eq!(up(&merged(&agent, PATH), first.address), Some(1.0));
    fs::write(site.routes(), "{\n\"r\": 7}").unwrap();
    until("the broken file is noticed", || {
        malformed(&agent, "routes_file") > 0.0
    });
    assert_eq!(up(&merged(&agent, PATH), first.address), Some(1.0));
    assert_eq!(entries(&agent, "routes_file"), 1.0);
    let warnings = agent.messages("warn");
    let is_told = |line: &String| line.contains("routes.json:2: invalid type");
    assert_eq!(
        warnings.iter().filter(|line| is_told(line)).count(),
        1,
        "{warnings:#?}"
    );

    site.write(&[first.address, second.address]);
    until("the corrected file is noticed", || {
        entries(&agent, "routes_file") == 2.0
    });
    assert_eq!(up(&merged(&agent, PATH), second.address), Some(1.0));
    fs::remove_file(site.routes()).unwrap();
    until("the missing file is noticed", || {
        let labels = [("source", "routes_file"), ("reason", "gone")];
        total(&agent, "headcount_fan_in_source_failures_total", &labels) > 0.0
    });
    assert_eq!(entries(&agent, "routes_file"), 2.0);
}

#[test]
fn added_and_removed_files_of_a_pattern_change_the_instances() {
    let (first, second) = (Instance::text("a 1\n"), Instance::text("b 2\n"));
    let site = Site::of(&[]);
    let folder = site.folder.path();
    let pattern = folder.join("*.sd.json");
    let agent = site
        .launch(&format!("  file_sd: ['{}']\n", pattern.display()))
        .start();
    assert_eq!(agent.ask(SHOP).code, 404);
    let write = |name: &str, instance: &Instance| {
        let groups = json!([{"targets": [instance.address.to_string()], "labels": {"app": "shop", "zone": "x"}}]);
        fs::write(folder.join(name), groups.to_string()).unwrap();
    };
    write("a.sd.json", &first);
    until("the first file is noticed", || {
        entries(&agent, "file_sd") == 1.0
    });
    write("b.sd.json", &second);
    until("the second file is noticed", || {
        entries(&agent, "file_sd") == 2.0
    });
    let answer = merged(&agent, SHOP);
    let line = format!(
        "a{{app=\"shop\",zone=\"x\",instance=\"{}\"}} 1\n",
        first.address
    );
    assert!(answer.body.contains(&line), "{}", answer.body);
    assert_eq!(up(&answer, second.address), Some(1.0));
    fs::remove_file(folder.join("a.sd.json")).unwrap();
    until("the removed file is noticed", || {
        entries(&agent, "file_sd") == 1.0
    });
    assert_eq!(up(&merged(&agent, SHOP), first.address), None);
}

#[test]
fn expired_instances_are_not_asked() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[]);
    let mut endpoint = crate::endpoint(instance.address, 0);
    endpoint["ttl"] = json!(3600);
    site.write_all(&[endpoint]);
    let file = fs::File::options()
        .append(true)
        .open(site.routes())
        .unwrap();
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    file.set_modified(yesterday).unwrap();
    let agent = site.launch("").start();
    assert_eq!(agent.ask(PATH).code, 404);
    let labels = [("source", "routes_file"), ("reason", "expired")];
    assert_eq!(
        total(&agent, "headcount_fan_in_unused_entries", &labels),
        1.0
    );
    assert!(instance.heads().is_empty());
}

#[test]
fn reload_with_another_section_is_refused() {
    let site = Site::of(&[]);
    let agent = site.launch("").arg("--web.enable-lifecycle").start();
    let yaml = |lines: &str| {
        let routes = site.routes();
        format!(
            "process_names: [{{comm: [y]}}]\n\nfan_in:\n  routes_file: {}\n{lines}",
            routes.display()
        )
    };
    agent.write_config(&yaml(""));
    let answer = agent.request("POST", "/-/reload");
    assert_eq!(answer.code, 200, "{answer:?}");
    agent.write_config(&yaml("  label_conflict: exported\n"));
    let answer = agent.request("POST", "/-/reload");
    assert!(
        answer.code == 500 && answer.body.contains("fan_in has changed"),
        "{answer:?}"
    );
}

#[test]
fn router_is_asked_with_its_password_and_its_instances_expire_when_it_has_gone() {
    let instance = Instance::text("a 1\n");
    let mut endpoint = crate::endpoint(instance.address, 0);
    endpoint["ttl"] = json!(1);
    let routes = json!({"app.example.com": [endpoint]}).to_string();
    let router = Instance::answering(
        "200 OK",
        "Content-Type: application/json\r\n",
        routes.as_bytes(),
    );
    let site = Site::of(&[]);
    fs::write(site.routes().with_file_name("password"), "secret\n").unwrap();
    let url = format!("http://{}/routes", router.address);
    let lines = format!(
        "  gorouters: [{{url: '{url}', username: u, password_file: '{}'}}]\n",
        site.routes().with_file_name("password").display()
    );
    let agent = site.launch(&lines).start();
    assert_eq!(up(&merged(&agent, PATH), instance.address), Some(1.0));
    let heads = router.heads();
    // "u:secret" in base64; the heads are in lower case.
    let is_known = |head: &String| head.contains("authorization: basic dtpzzwnyzxq=\r\n");
    assert!(
        heads.len() == 1
            && heads[0].starts_with("get /routes http/1.1\r\n")
            && heads.iter().all(is_known),
        "{heads:?}"
    );
    drop(router);
    until("the instance has expired", || {
        entries(&agent, "gorouters") == 0.0
    });
    assert_eq!(agent.ask(PATH).code, 404);
}

#[test]
fn refusing_router_leaves_other_sources_usable() {
    let instance = Instance::text("a 1\n");
    let router = Instance::answering("401 Unauthorized", "", b"");
    let site = Site::of(&[instance.address]);
    let agent = site
        .launch(&format!(
            "  gorouters: [{{url: 'http://{}'}}]\n",
            router.address
        ))
        .start();
    assert_eq!(up(&merged(&agent, PATH), instance.address), Some(1.0));
    let labels = [("source", "gorouters"), ("reason", "denied")];
    assert!(total(&agent, "headcount_fan_in_source_failures_total", &labels) >= 1.0);
    let warnings = agent.messages("warn");
    let is_told = |line: &String| line.contains("/routes: denied, status 401");
    assert!(warnings.iter().any(is_told), "{warnings:#?}");
}

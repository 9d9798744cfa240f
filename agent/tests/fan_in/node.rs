//! A process of the node as an instance.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;

use crate::instance::Instance;
use crate::support::agent::Launch;
use crate::{Site, merged};

#[test]
fn labels_of_a_process_stay_as_exported_ones_and_those_of_a_file_give_way() {
    let site = Site::of(&[]);
    let word = format!("headcount-node-{}", std::process::id());
    // An exporter of processes, whose series have a label that the agent adds, too.
    let exporter = site.plain().arg(format!("-procnames={word}")).start();
    let address = exporter.address;
    let groups =
        json!([{"targets": [address.to_string()], "labels": {"app": "shop", "groupname": "file"}}]);
    let file = site.routes().with_file_name("a.sd.json");
    fs::write(&file, groups.to_string()).unwrap();
    // The pattern does not match the command line of the agent itself, which names the file only.
    let yaml = format!(
        "process_names: [{{name: Own, cmdline: ['{word}'], labels: {{tier: front}}, scrape: {{port: {}}}}}]\n\
         fan_in: {{file_sd: ['{}']}}\n",
        address.port(),
        file.display()
    );
    let flags = ["-accounting=procfs", "--no-collector.passenger"];
    let agent = Launch::new().args(&flags).config(&yaml).start();
    let family = "namedprocess_namegroup_num_procs";
    for (path, labels) in [
        (
            "/metrics/apps",
            format!(
                "exported_groupname=\"{word}\",groupname=\"Own\",instance=\"{address}\",tier=\"front\""
            ),
        ),
        (
            "/v1/apps/shop/metrics",
            format!("app=\"shop\",groupname=\"file\",instance=\"{address}\""),
        ),
    ] {
        let answer = merged(&agent, path);
        let line = format!("{family}{{{labels}}} 0");
        assert!(
            answer.body.lines().any(|one| one == line),
            "{line}: {}",
            answer.body
        );
    }
}

#[test]
fn node_without_an_item_with_scrape_answers_with_no_instance() {
    let listed = Instance::text("a 1\n");
    let site = Site::of(&[listed.address]);
    let agent = site.launch("").start();
    let answer = merged(&agent, "/metrics/apps");
    assert!(
        !answer.body.contains("headcount_target_up{"),
        "{}",
        answer.body
    );
}

#[test]
fn ipv6_only_process_is_asked_at_ipv6_even_if_another_listener_has_the_port_at_ipv4() {
    let instance = Instance::ipv6_only("a 1\n");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, instance.address.port()));
    let this = std::env::current_exe().unwrap();
    let yaml = format!(
        "process_names: [{{name: Own, exe: ['{}'], scrape: {{port: {}}}}}]\nfan_in: {{}}\n",
        this.display(),
        address.port()
    );
    let flags = ["-accounting=procfs", "--no-collector.passenger"];
    let agent = Launch::new().args(&flags).config(&yaml).start();
    let series = format!("a{{groupname=\"Own\",instance=\"{address}\"}} 1\n");
    let answer = merged(&agent, "/metrics/apps");
    assert!(answer.body.contains(&series), "{}", answer.body);
    let _other = Instance::at(address, "b 2\n");
    let answer = merged(&agent, "/metrics/apps");
    assert!(answer.body.contains(&series), "{}", answer.body);
}

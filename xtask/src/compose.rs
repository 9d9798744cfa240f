//! Tests that `deploy/compose` agrees with the DaemonSet, which `cargo xtask image --run` runs.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use fs_err as fs;

use crate::workspace;

fn read(path: &str) -> String {
    fs::read_to_string(workspace::root().join("deploy").join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap()
}

fn service() -> Value {
    yaml("compose/compose.yml")["services"]["headcount"].clone()
}

/// The DaemonSet's container, and its pod.
fn container() -> (Value, Value) {
    let pod = yaml("kubernetes/base/daemonset.yml")["spec"]["template"]["spec"].clone();
    (pod["containers"][0].clone(), pod)
}

fn texts(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Mounts by their path in the container: the path on the host, and `ro` or `rw`.
fn volumes(list: &BTreeSet<String>) -> BTreeMap<&str, (&str, &str)> {
    list.iter()
        .map(|volume| match volume.split(':').collect::<Vec<_>>()[..] {
            [host, path, access] => (path, (host, access)),
            _ => panic!("{volume}"),
        })
        .collect()
}

#[test]
fn compose_service_has_the_rights_of_the_daemon_set() {
    let (service, (container, pod)) = (service(), container());
    let security = &container["securityContext"];
    assert_eq!(service["pid"], "host");
    assert_eq!(pod["hostPID"], true);
    for (key, change) in [("cap_add", "add"), ("cap_drop", "drop")] {
        let expected = texts(&security["capabilities"][change]);
        assert_eq!(texts(&service[key]), expected, "{key}");
    }
    assert_eq!(service["read_only"], security["readOnlyRootFilesystem"]);
    assert_eq!(service["user"], "0:0");
    let user = [&security["runAsUser"], &security["runAsGroup"]];
    assert_eq!(user, [0, 0]);
    assert!(service.get("privileged").is_none(), "not privileged");
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["appArmorProfile"]["type"], "Unconfined");
    let expected = ["apparmor:unconfined", "no-new-privileges:true"].map(str::to_owned);
    assert_eq!(texts(&service["security_opt"]), BTreeSet::from(expected));
    assert_eq!(texts(&service["command"]), texts(&container["args"]));
    assert_eq!(service["mem_limit"], "256m");
    assert_eq!(container["resources"]["limits"]["memory"], "256Mi");
}

#[test]
fn compose_service_mounts_what_its_flags_name_and_nothing_to_write() {
    let (service, (container, _)) = (service(), container());
    let list = texts(&service["volumes"]);
    let mounts = volumes(&list);
    let is_read_only = mounts.values().all(|(_, access)| *access == "ro");
    assert!(is_read_only, "{mounts:?}");
    assert_eq!(mounts["/host/proc"].0, "/proc");
    let of_daemon_set = container["volumeMounts"].as_array().unwrap().iter();
    let places: BTreeSet<&str> = of_daemon_set
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    assert!(places.contains("/host/proc"));
    let (config, _) = mounts["/etc/headcount/headcount.yml"];
    assert!(read(&format!("compose/{config}")).contains("process_names:"));
    let ports = texts(&service["ports"]);
    assert_eq!(ports, BTreeSet::from(["127.0.0.1:9256:9256".to_owned()]));
}

/// The words of the `docker run` in docs/install.md.
fn docker_run() -> Vec<String> {
    let document = fs::read_to_string(workspace::root().join("docs/install.md")).unwrap();
    let (_, command) = document.split_once("```sh\ndocker run").unwrap();
    let (command, _) = command.split_once("```").unwrap();
    let words = command.split_whitespace().filter(|word| *word != "\\");
    words.map(str::to_owned).collect()
}

#[test]
fn docker_run_is_the_same_as_the_compose_service() {
    let (service, words) = (service(), docker_run());
    let image = service["image"].as_str().unwrap();
    let at = words.iter().position(|word| word == image).unwrap();
    let (flags, arguments) = (&words[..at], &words[at + 1..]);
    let of = |flag: &str| -> BTreeSet<String> {
        let values = flags.windows(2).filter(|pair| pair[0] == flag);
        values.map(|pair| pair[1].clone()).collect()
    };
    let one = |key: &str| BTreeSet::from([service[key].as_str().unwrap().to_owned()]);
    for (flag, expected) in [
        ("--pid", one("pid")),
        ("--cgroupns", one("cgroup")),
        ("--user", one("user")),
        ("--memory", one("mem_limit")),
        ("--restart", one("restart")),
        ("--cap-drop", texts(&service["cap_drop"])),
        ("--cap-add", texts(&service["cap_add"])),
        ("--volume", texts(&service["volumes"])),
        ("--publish", texts(&service["ports"])),
    ] {
        assert_eq!(of(flag), expected, "{flag}");
    }
    let options = of("--security-opt").into_iter();
    let options = options.map(|option| option.replace('=', ":")).collect();
    assert_eq!(texts(&service["security_opt"]), options);
    assert!(flags.iter().any(|flag| flag == "--read-only"));
    let grace = format!("{}s", of("--stop-timeout").first().unwrap());
    assert_eq!(service["stop_grace_period"], grace);
    let arguments = BTreeSet::from_iter(arguments.iter().cloned());
    assert_eq!(arguments, texts(&service["command"]));
}

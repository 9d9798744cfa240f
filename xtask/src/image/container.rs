//! Converts the DaemonSet's manifest into the configuration of a container runtime, as the kubelet and containerd do for user 0:
//! without ambient and inheritable capabilities.
//!
//! It does no IO. A field of the manifest that is not known here is an error, because the trial would not test it. Left out are
//! the parts that this machine need not have: the pod's network (that of the host takes its place) and the runtime's seccomp
//! profile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// Paths of the manifest's volumes on this machine, by the path on the node or by the name of the ConfigMap's volume.
pub(super) type Volumes = BTreeMap<&'static str, PathBuf>;

/// `config.json` of a runtime bundle for the only container of the manifest; the arguments `more` follow its own.
pub(super) fn bundle(
    daemon_set: &Value,
    volumes: &Volumes,
    cgroup: &str,
    more: &[String],
) -> Result<Value> {
    let pod = &daemon_set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    ensure!(pod["hostPID"] == true, "hostPID is not true");
    let user = [&security["runAsUser"], &security["runAsGroup"]];
    ensure!(user == [0, 0], "it does not run as user and group 0");
    ensure!(security["privileged"] == false, "it is privileged");
    let mut arguments = vec!["/headcount".to_owned()];
    arguments.extend(strings(&container["args"])?);
    arguments.extend_from_slice(more);
    let capabilities = capabilities(&security["capabilities"])?;
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "args": arguments,
            "cwd": "/",
            "env": ["PATH=/"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
                "inheritable": [],
                "ambient": [],
            },
            "noNewPrivileges": security["allowPrivilegeEscalation"] == false,
        },
        "root": {"path": "rootfs", "readonly": security["readOnlyRootFilesystem"] == true},
        "mounts": mounts(pod, volumes)?,
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "cgroup"}],
            // Those of containerd.
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "resources": {"memory": {"limit": bytes(&container["resources"]["limits"]["memory"])?}},
        },
    }))
}

fn strings(list: &Value) -> Result<Vec<String>> {
    let strings = serde_json::from_value(list.clone());
    strings.with_context(|| format!("{list} is no list of texts"))
}

fn capabilities(wanted: &Value) -> Result<Vec<String>> {
    let is_dropped = wanted["drop"] == json!(["ALL"]);
    ensure!(is_dropped, "not all capabilities are dropped");
    let added = strings(&wanted["add"])?.into_iter();
    Ok(added.map(|name| format!("CAP_{name}")).collect())
}

fn bytes(quantity: &Value) -> Result<u64> {
    let number = quantity
        .as_str()
        .and_then(|text| text.strip_suffix("Mi")?.parse::<u64>().ok());
    let number = number.with_context(|| format!("memory {quantity} is no number of Mi"))?;
    Ok(number << 20)
}

fn mounts(pod: &Value, volumes: &Volumes) -> Result<Vec<Value>> {
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}),
    ];
    let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
    for mount in list(&pod["containers"][0]["volumeMounts"]) {
        let mut volumes_of_pod = list(&pod["volumes"]).into_iter();
        let volume = volumes_of_pod.find(|volume| volume["name"] == mount["name"]);
        let volume = volume.with_context(|| format!("no volume {}", mount["name"]))?;
        let of_node = volume["hostPath"]["path"].as_str();
        let key = of_node.or(volume["name"].as_str()).unwrap_or_default();
        let source = volumes.get(key);
        let source =
            source.with_context(|| format!("the volume {key} is nothing that is tried out"))?;
        let access = if mount["readOnly"] == true {
            "ro"
        } else {
            "rw"
        };
        let options = ["rbind", "rprivate", access];
        mounts.push(json!({"destination": mount["mountPath"], "type": "bind", "source": source, "options": options}));
    }
    Ok(mounts)
}

/// The volumes of the base: those of the node are this machine's, except the links of a kubelet, which it does not have.
pub(super) fn volumes(base: &Path, links: &Path) -> Volumes {
    BTreeMap::from([
        ("/proc", PathBuf::from("/proc")),
        ("/var/log/containers", links.to_owned()),
        ("config", base.to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon_set() -> Value {
        json!({"spec": {"template": {"spec": {
            "hostPID": true,
            "containers": [{
                "args": ["-a=b"],
                "securityContext": {
                    "runAsUser": 0, "runAsGroup": 0, "privileged": false,
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"], "add": ["BPF"]},
                },
                "resources": {"limits": {"memory": "2Mi"}},
                "volumeMounts": [
                    {"name": "proc", "mountPath": "/host/proc", "readOnly": true},
                    {"name": "config", "mountPath": "/etc/x"},
                ],
            }],
            "volumes": [
                {"name": "proc", "hostPath": {"path": "/proc"}},
                {"name": "config", "configMap": {"name": "x"}},
            ],
        }}}})
    }

    fn made(daemon_set: &Value) -> Result<Value> {
        let volumes = volumes(Path::new("/base"), Path::new("/links"));
        bundle(daemon_set, &volumes, "/pod/x", &["-c".to_owned()])
    }

    #[test]
    fn runtime_configuration_follows_the_manifest() {
        let config = made(&daemon_set()).unwrap();
        let process = &config["process"];
        assert_eq!(process["args"], json!(["/headcount", "-a=b", "-c"]));
        assert_eq!(process["noNewPrivileges"], true);
        for set in ["bounding", "effective", "permitted"] {
            assert_eq!(process["capabilities"][set], json!(["CAP_BPF"]), "{set}");
        }
        for set in ["inheritable", "ambient"] {
            assert_eq!(process["capabilities"][set], json!([]), "{set}");
        }
        assert_eq!(config["root"]["readonly"], true);
        assert_eq!(config["linux"]["resources"]["memory"]["limit"], 2 << 20);
        let mounts = config["mounts"].as_array().unwrap();
        let of = |target: &str| {
            let found = mounts.iter().find(|mount| mount["destination"] == target);
            found.map(|mount| (mount["source"].clone(), mount["options"][2].clone()))
        };
        assert_eq!(of("/host/proc"), Some((json!("/proc"), json!("ro"))));
        assert_eq!(of("/etc/x"), Some((json!("/base"), json!("rw"))));
    }

    #[test]
    fn manifest_that_the_trial_would_not_apply_is_an_error() {
        let pod = "/spec/template/spec";
        for (path, value) in [
            ("hostPID", json!(false)),
            ("containers/0/securityContext/runAsUser", json!(1)),
            ("containers/0/securityContext/privileged", json!(true)),
            ("containers/0/securityContext/capabilities/drop", json!([])),
            ("containers/0/resources/limits/memory", json!("1Gi")),
            ("volumes/0/hostPath/path", json!("/etc")),
            ("volumes/0/name", json!("y")),
        ] {
            let mut changed = daemon_set();
            *changed.pointer_mut(&format!("{pod}/{path}")).unwrap() = value;
            assert!(made(&changed).is_err(), "{path}");
        }
    }
}

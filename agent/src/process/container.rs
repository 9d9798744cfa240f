//! What a process's cgroup paths tell of the container it is in, and what its cluster calls that.
//!
//! In come paths as `/proc/<pid>/cgroup` has them. They need not begin at the root: seen from another cgroup namespace, as
//! in a container, they begin with `/..`.

/// Digits of a container's id.
const CONTAINER_ID: usize = 64;
/// Digits of a pod's uid: of an API server's with its dashes, of a file's on the node without.
const POD_UID: [usize; 2] = [36, 32];
/// What Kubernetes makes names of: no vowels, so no words, and nothing that is read as something else.
const RANDOM: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name in the pod.
    pub name: String,
}

impl Container {
    /// What the pod is one of: its name without what a Deployment, DaemonSet, StatefulSet, Job or CronJob puts behind
    /// their own. A name that only looks as if it had such an end loses it too.
    pub fn workload(&self) -> &str {
        let pod = self.pod.as_str();
        let Some(owner) = without_end(pod, |end| end.len() == 5 && is_random(end)) else {
            // A StatefulSet numbers its pods.
            return without_end(pod, is_number).unwrap_or(pod);
        };
        // A ReplicaSet is called after the hash of its template, a CronJob's job after the minute it was due.
        let is_generated = |end: &str| match end.len() {
            8 if is_number(end) => true,
            7..=10 => is_random(end),
            _ => false,
        };
        without_end(owner, is_generated).unwrap_or(owner)
    }
}

fn without_end(name: &str, is_end: impl Fn(&str) -> bool) -> Option<&str> {
    let (before, end) = name.rsplit_once('-')?;
    (!before.is_empty() && !end.is_empty() && is_end(end)).then_some(before)
}

fn is_random(end: &str) -> bool {
    end.bytes().all(|byte| RANDOM.contains(&byte))
}

fn is_number(end: &str) -> bool {
    end.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id of the innermost container: docker, containerd, cri-o, podman and what else names a cgroup after it:
/// `<id>`, `<runtime>-<id>.scope` or `<slice>:<runtime>:<id>`.
pub fn container_id(paths: &[String]) -> Option<&str> {
    paths
        .iter()
        .find_map(|path| path.rsplit('/').find_map(of_component))
}

fn of_component(component: &str) -> Option<&str> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let (before, id) = name.split_at_checked(name.len().checked_sub(CONTAINER_ID)?)?;
    // `crio-conmon-<id>` holds the container's monitor, which is outside it.
    let is_named = before.is_empty() || before.ends_with(['-', ':']);
    (is_container_id(id) && is_named && !before.ends_with("conmon-")).then_some(id)
}

/// Whether it is the id of a container, and nothing else.
pub fn is_container_id(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == CONTAINER_ID && text.bytes().all(is_digit)
}

/// Whether the kubelet made one of the cgroups: `pod<uid>`, or `...-pod<uid>.slice` with underscores for the uid's dashes.
pub fn is_in_pod(paths: &[String]) -> bool {
    paths
        .iter()
        .any(|path| path.split(['/', ':']).any(is_of_pod))
}

fn is_of_pod(component: &str) -> bool {
    let name = component.strip_suffix(".slice").unwrap_or(component);
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-' | b'_');
    name.rsplit_once("pod")
        .is_some_and(|(_, uid)| POD_UID.contains(&uid.len()) && uid.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "1f2e3d4c-0001-4002-8003-a0b1c2d3e4f5";

    fn paths(lines: &[&str]) -> Vec<String> {
        let escaped = UID.replace('-', "_");
        lines
            .iter()
            .map(|line| {
                line.replace("CID", ID)
                    .replace("UID", UID)
                    .replace("U_D", &escaped)
            })
            .collect()
    }

    #[test]
    fn containers() {
        for path in [
            "/docker/CID",
            "/system.slice/docker-CID.scope",
            "/kubepods/besteffort/pod-1/CID",
            "/system.slice/kubepods-pod1.slice:cri-containerd:CID",
            "/machine.slice/libpod-CID.scope/container",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-CID.scope",
            "/docker/ffff/CID/init.scope",
        ] {
            assert_eq!(container_id(&paths(&[path])), Some(ID), "{path}");
            assert!(!is_in_pod(&paths(&[path])), "{path}");
        }
        let outer = format!("/docker/{}/kubepods/CID", "f".repeat(64));
        assert_eq!(
            container_id(&paths(&["/", &outer])),
            Some(ID),
            "the inner one"
        );
        for path in [
            "/",
            "/system.slice/nginx.service",
            "/machine.slice/libpod-conmon-CID.scope",
            "/kubepods.slice/crio-conmon-CID.scope",
            "/xCID",
            "/docker/0123",
            "/ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé",
        ] {
            assert_eq!(container_id(&paths(&[path])), None, "{path}");
        }
    }

    #[test]
    fn containers_of_pods_whatever_the_driver_the_runtime_and_the_namespace_they_are_seen_from() {
        for path in [
            "/kubepods/burstable/podUID/CID",
            "/kubepods/podUID/crio-CID",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/cri-containerd-CID.scope",
            "/kubepods.slice/kubepods-podU_D.slice/crio-CID.scope",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_D.slice/docker-CID.scope",
            "/kubepods-besteffort-podU_D.slice:cri-containerd:CID",
            "/docker/fff/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_D.slice/cri-containerd-CID.scope",
            "/docker/fff/kubelet/kubepods/besteffort/podUID/CID",
            "/kubepods.slice/kubepods-podU_D.slice/cri-containerd-CID.scope/init.scope",
            "/../podUID/CID",
            "/../../kubepods-podU_D.slice/cri-containerd-CID.scope",
            "/../cri-containerd-CID.scope/../../podUID/CID",
        ] {
            let found = paths(&["/", path]);
            assert_eq!(container_id(&found), Some(ID), "{path}");
            assert_eq!(is_in_pod(&found), path.contains("pod"), "{path}");
        }
        let of_file = format!("/kubepods/burstable/pod{}", "0123456789abcdef".repeat(2));
        assert!(is_in_pod(&[of_file]), "a pod from a file on the node");
        for path in ["/podman/x", "/kubepods", "/pod", "/podxyz", ""] {
            assert!(!is_in_pod(&paths(&[path])), "{path}");
        }
    }

    #[test]
    fn workloads() {
        for (pod, expected) in [
            ("nginx-7d4b9c8f6d-x2k9p", "nginx"),
            ("api-server-5b6f7c9d8-zzzzz", "api-server"),
            ("node-exporter-x2k9p", "node-exporter"),
            ("postgres-0", "postgres"),
            ("postgres-12", "postgres"),
            ("backup-28374720-x2k9p", "backup"),
            ("migrate-x2k9p", "migrate"),
            ("my-nginx", "my-nginx"),
            ("my-redis", "my-redis"),
            ("my-mysql", "my-mysql"),
            ("etcd", "etcd"),
            ("-x2k9p", "-x2k9p"),
            ("-0", "-0"),
            ("a-", "a-"),
            ("", ""),
            ("é-0", "é"),
        ] {
            let container = Container {
                namespace: String::new(),
                pod: pod.to_owned(),
                name: String::new(),
            };
            assert_eq!(container.workload(), expected, "{pod}");
        }
    }
}

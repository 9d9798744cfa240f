//! Parses the kubelet's links to logs of containers: `<pod>_<namespace>_<container>-<id>.log` in `/var/log/containers`. Pure.
//!
//! If the names together are longer than a file name may be, the kubelet cuts the id; such a link is ignored.

use crate::process::{Container, is_container_id};

/// Maximum length of the name of a pod, which is a DNS subdomain. Names of namespaces and containers are DNS labels.
const POD: usize = 253;
const LABEL: usize = 63;

/// The id and the names of the container; `None` for any file name that the kubelet would not write.
pub(super) fn parse_link(file_name: &[u8]) -> Option<(&str, Container)> {
    let name = std::str::from_utf8(file_name).ok()?.strip_suffix(".log")?;
    let (names, id) = name.rsplit_once('-')?;
    let mut names = names.split('_');
    let (pod, namespace, container) = (names.next()?, names.next()?, names.next()?);
    let is_whole = is_container_id(id)
        && names.next().is_none()
        && is_name(pod, POD, true)
        && is_name(namespace, LABEL, false)
        && is_name(container, LABEL, false);
    is_whole.then(|| {
        let container = Container {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            name: container.to_owned(),
        };
        (id, container)
    })
}

/// The uid of the pod in the target of the link: `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log`, or
/// `/var/log/pods/<uid>/...` before Kubernetes 1.14; `None` for any other target.
pub(super) fn parse_target(target: &[u8]) -> Option<&str> {
    let folders = std::str::from_utf8(target).ok()?.split_once("/pods/")?.1;
    let (pod, _) = folders.split_once('/')?;
    let uid = pod.rsplit('_').next()?;
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    (matches!(uid.len(), 32 | 36) && uid.bytes().all(is_digit)).then_some(uid)
}

fn is_name(name: &str, longest: usize, dots: bool) -> bool {
    let is_allowed = |byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' => true,
        b'.' => dots,
        _ => false,
    };
    (1..=longest).contains(&name.len()) && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn parsed(link: &str) -> Option<[String; 4]> {
        let link = link.replace("ID", ID);
        let (id, container) = parse_link(link.as_bytes())?;
        let Container {
            namespace,
            pod,
            name,
        } = container;
        Some([pod, namespace, name, id.to_owned()])
    }

    #[test]
    fn link_of_the_kubelet_has_the_names_of_its_container() {
        for (link, expected) in [
            ("a_b_c-ID.log", ["a", "b", "c", ID]),
            (
                "web-7d4b9c8f6d-x2k9p_my-ns_side-car-ID.log",
                ["web-7d4b9c8f6d-x2k9p", "my-ns", "side-car", ID],
            ),
            (
                "kube-proxy-node1.example.com_kube-system_kube-proxy-ID.log",
                [
                    "kube-proxy-node1.example.com",
                    "kube-system",
                    "kube-proxy",
                    ID,
                ],
            ),
        ] {
            assert_eq!(parsed(link), Some(expected.map(str::to_owned)), "{link}");
        }
    }

    #[test]
    fn other_file_names_are_no_links() {
        let long = format!("{}_b_c-ID.log", "a".repeat(254));
        for link in [
            "",
            ".log",
            "ID.log",
            "-ID.log",
            "a_b-ID.log",
            "a_b_cID.log",
            "a_b_c-ID",
            "a_b_c-ID.log.gz",
            "a_b_c-0123456789abcdef.log",
            "a_b_c-xID.log",
            "a_b_c_d-ID.log",
            "_b_c-ID.log",
            "a__c-ID.log",
            "a_b_-ID.log",
            "A_b_c-ID.log",
            "a_b.b_c-ID.log",
            "a_b_c\"}-ID.log",
            "a\n_b_c-ID.log",
            "é_b_c-ID.log",
            &long,
        ] {
            assert_eq!(parsed(link), None, "{link}");
        }
        let upper = format!("a_b_c-{}.log", ID.to_uppercase());
        assert_eq!(parsed(&upper), None);
        assert!(parse_link(b"a_b_c\xff-").is_none());
    }

    #[test]
    fn target_of_a_link_has_the_uid_of_its_pod() {
        const UID: &str = "1f2e3d4c-0001-4002-8003-a0b1c2d3e4f5";
        const FILE: &str = "0123456789abcdef0123456789abcdef";
        for (target, expected) in [
            ("/var/log/pods/ns_web-0_UID/c/0.log", Some(UID)),
            (
                "/var/log/pods/kube-system_etcd-n1_FILE/etcd/3.log",
                Some(FILE),
            ),
            ("/var/log/pods/UID/c_0.log", Some(UID)),
            ("../pods/ns_web-0_UID/c/0.log", Some(UID)),
            ("/var/lib/docker/containers/x/x-json.log", None),
            ("/var/log/pods/ns_web-0_UID", None),
            ("/var/log/pods/ns_web-0_x/c/0.log", None),
            ("/var/log/pods/", None),
            ("", None),
        ] {
            let target = target.replace("UID", UID).replace("FILE", FILE);
            assert_eq!(parse_target(target.as_bytes()), expected, "{target}");
        }
    }

    proptest! {
        #[test]
        fn id_of_any_parsed_link_is_a_container_id(link in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse_link(&link).is_none_or(|(id, _)| is_container_id(id)));
        }

        #[test]
        fn near_links_too(link in "[a-c.A_é-]{0,6}_[a-c._-]{0,4}_[a-c.\n_-]{0,4}-[0-9a-g]{63,65}\\.log") {
            if let Some((id, container)) = parse_link(link.as_bytes()) {
                let Container { namespace, pod, name } = container;
                prop_assert_eq!(format!("{pod}_{namespace}_{name}-{id}.log"), link);
            }
        }
    }
}

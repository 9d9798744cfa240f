//! Fuzz target for files of the node outside `/proc`: the kubelet's links and the passwd file.

use super::{pod_link, users};
use crate::process::is_container_id;

/// Parses any bytes as a link and as a passwd file. The names of an accepted link must result in the same link again; each
/// uid must have the name of its first line.
pub(crate) fn node_files(input: &[u8]) {
    if let Some((id, container)) = pod_link::parse_link(input) {
        let (pod, namespace, name) = (&container.pod, &container.namespace, &container.name);
        assert!(is_container_id(id));
        assert_eq!(
            format!("{pod}_{namespace}_{name}-{id}.log").as_bytes(),
            input
        );
        let workload = container.workload();
        assert!(!workload.is_empty() && pod.starts_with(workload));
    }
    let text = String::from_utf8_lossy(input);
    for (uid, name) in users::parse_passwd(input) {
        let of_uid = |line: &&str| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_user = fields
                .first()
                .is_some_and(|name| !name.is_empty() && !name.starts_with('#'));
            is_user && fields.get(2).and_then(|uid| uid.parse().ok()) == Some(uid)
        };
        let line = text.split('\n').find(of_uid).expect("a line of that uid");
        assert_eq!(line.split(':').next(), Some(name.as_str()));
    }
}

//! Real paths of many runtimes, and paths that local users and containers may invent.

use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OWN: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const UID: &str = "1f2e3d4c-0001-4002-8003-a0b1c2d3e4f5";

/// Replaces `CID`, `OWN` (another container), `UID`, and `U_D` (the uid with underscores) by the real texts.
fn path(text: &str) -> Vec<String> {
    let escaped = UID.replace('-', "_");
    let text = text.replace("CID", ID).replace("OWN", OWN);
    vec![text.replace("UID", UID).replace("U_D", &escaped)]
}

fn shown(text: &str) -> String {
    container_path(&path(text)).map_or(String::new(), |found| found.to_string())
}

fn may_be_pod(text: &str) -> bool {
    container_path(&path(text)).is_some_and(|found| found.parent.may_be_pod(Some(UID)))
}

#[test]
fn containers_of_pods_are_found_for_each_driver_runtime_and_namespace() {
    for text in [
        "/kubepods/podUID/CID",
        "/kubepods/burstable/podUID/CID",
        "/kubepods/besteffort/podUID/crio-CID",
        "/kubepods/kubepods/besteffort/podUID/CID",
        "/kubepods/burstable/podUID/CID/init.scope",
        "/kubepods.slice/kubepods-podU_D.slice/crio-CID.scope",
        "/kubepods.slice/kubepods-podU_D.slice/crio-CID.scope/container",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/cri-containerd-CID.scope",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_D.slice/docker-CID.scope",
        "/kubelet/kubepods/besteffort/podUID/CID",
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_D.slice/cri-containerd-CID.scope",
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podU_D.slice/cri-containerd-CID.scope",
        "/kubepods-besteffort-podU_D.slice:cri-containerd:CID",
        "/system.slice/containerd.service/kubepods-besteffort-podU_D.slice:cri-containerd:CID",
        "/../podUID/CID",
        "/../../burstable/podUID/CID",
        "/../../../kubepods/podUID/CID",
        "/../../kubepods-podU_D.slice/cri-containerd-CID.scope",
        "/../../../kubepods-besteffort.slice/kubepods-besteffort-podU_D.slice/cri-containerd-CID.scope",
        "/../../../../kubepods.slice/kubepods-podU_D.slice/crio-CID.scope",
    ] {
        assert_eq!(shown(text), ID, "{text}");
        assert!(may_be_pod(text), "{text}");
    }
    let of_file = format!(
        "/kubepods/burstable/pod{}/CID",
        "0123456789abcdef".repeat(2)
    );
    assert_eq!(shown(&of_file), ID);
    assert!(!may_be_pod(&of_file), "another pod");
    // Beside the agent's own container, the path does not show the pod.
    assert_eq!(shown("/../CID"), ID);
    assert!(may_be_pod("/../cri-containerd-CID.scope"));
}

#[test]
fn containers_outside_kubernetes_are_no_pods() {
    for text in [
        "/docker/CID",
        "/docker/CID/init.scope",
        "/system.slice/docker-CID.scope",
        "/system.slice/nerdctl-CID.scope",
        "/docker-CID.scope",
        "/my.slice/my-batch.slice/docker-CID.scope",
        "/machine.slice/libpod-CID.scope/container",
        "/libpod_parent/libpod-CID",
        "/ecs/task/CID",
        "/ecs/cluster/task/CID",
        "/ecstasks.slice/ecstasks-x.slice/docker-CID.scope",
        "/default/CID",
        "/actions_job/CID",
        "/system.slice:docker:CID",
        "/../../system.slice/docker-CID.scope",
        "/../../docker/CID",
    ] {
        assert_eq!(shown(text), ID, "{text}");
        assert!(!may_be_pod(text), "{text}");
    }
    for text in [
        "/",
        "",
        "/..",
        "/../..",
        "/system.slice/nginx.service",
        "/machine.slice/libpod-conmon-CID.scope",
        "/kubepods.slice/crio-conmon-CID.scope",
        "/kubepods/podUID/crio-conmon-CID",
        "/xCID",
        "/docker/0123",
        "/docker/x/CIDe",
        "/ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé",
    ] {
        assert_eq!(shown(text), "", "{text}");
    }
}

#[test]
fn an_id_below_a_delegated_cgroup_names_no_container_outside() {
    for (text, parent) in [
        (
            "/user.slice/user-1000.slice/user@1000.service/CID",
            "user@1000.service",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-CID.scope/container",
            "user@1000.service",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/kubepods/burstable/podUID/CID",
            "user@1000.service",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-podU_D.slice/cri-containerd-CID.scope",
            "user@1000.service",
        ),
        (
            "/../../user.slice/user-7.slice/user@7.service/podUID/CID",
            "user@7.service",
        ),
        (
            "/user.slice/user-1000.slice/session-3.scope/docker/CID",
            "session-3.scope",
        ),
        ("/system.slice/ci.service/kubepods/podUID/CID", "ci.service"),
        (
            "/system.slice/web.service/libpod-payload-CID",
            "web.service",
        ),
        (
            "/system.slice/containerd.service/x/CID",
            "containerd.service",
        ),
        (
            "/system.slice/ci.service/kubepods-podU_D.slice:cri-containerd:x/CID",
            "ci.service",
        ),
        ("/lxc.payload.x/kubepods/podUID/CID", "lxc.payload.x"),
        (
            "/machine.slice/machine-x.scope/payload/docker/CID",
            "machine-x.scope",
        ),
        ("/alice/CID", "alice"),
        ("/alice/kubepods/podUID/CID", "alice"),
        ("/docker/x/CID", "docker"),
        ("/podUID/CID", "podUID"),
        ("/../system.slice/ci.service/podUID/CID", "ci.service"),
        ("/burstable/podUID/CID", "burstable"),
    ] {
        let parent = parent.replace("UID", UID);
        assert_eq!(shown(text), format!("{parent}:{ID}"), "{text}");
        assert!(!may_be_pod(text), "{text}");
    }
}

#[test]
fn cgroups_that_a_container_creates_are_part_of_it() {
    for text in [
        "/docker/OWN/CID",
        "/docker/OWN/docker/CID",
        "/docker/OWN/kubepods/burstable/podUID/CID",
        "/docker/OWN/kubelet/kubepods/podUID/CID",
        "/system.slice/docker-OWN.scope/kubepods.slice/kubepods-podU_D.slice/cri-containerd-CID.scope",
        "/machine.slice/libpod-OWN.scope/container/kubepods/podUID/CID",
        "/kubepods/pod-other/OWN/CID",
        "/kubepods/pod-other/OWN/kubepods/podUID/CID",
        "/kubepods/pod-other/OWN/../podUID/CID",
        "/kubepods.slice/kubepods-podother.slice/cri-containerd-OWN.scope/kubepods-podU_D.slice/cri-containerd-CID.scope",
        "/kubepods-podother.slice:cri-containerd:OWN/kubepods-podU_D.slice:cri-containerd:CID",
        "/../podother0-0001-4002-8003-a0b1c2d3e4f5/OWN/CID",
        "/../OWN/podUID/CID",
        "/../OWN/CID",
    ] {
        let text = text.replace("podother0", "podaaaaaaaa");
        assert_eq!(shown(&text), OWN, "{text}");
        let found = path(&text);
        let found = container_path(&found).unwrap();
        let is_pod = matches!(found.parent, Parent::Pod(_) | Parent::Own);
        assert_eq!(
            is_pod,
            !text.starts_with("/docker") && !text.contains("/docker-") && !text.contains("libpod")
        );
        assert!(
            !matches!(found.parent, Parent::Pod(uid) if uid.contains("1f2e")),
            "{text}"
        );
    }
    for text in [
        "/kubepods/podUID/x/CID",
        "/kubepods/podUID",
        "/kubepods/podUID/init.scope",
        "/kubepods/x/podUID/CID",
        "/kubepods/CID",
        "/kubepods.slice/kubepods-podU_D.slice/x.scope/CID",
    ] {
        assert!(!may_be_pod(text), "{text}");
        assert!(!shown(text).starts_with(ID), "{text}");
    }
}

#[test]
fn pods_in_a_container_count_only_where_the_node_is_this_container() {
    for text in [
        "/docker/OWN/kubelet/kubepods/besteffort/podUID/CID",
        "/docker/OWN/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_D.slice/cri-containerd-CID.scope",
        "/docker/OWN/kubepods/podUID/CID",
        "/system.slice/docker-OWN.scope/kubelet.slice/kubelet-kubepods-podU_D.slice/cri-containerd-CID.scope",
        "/machine.slice/libpod-OWN.scope/container/kubepods/podUID/CID",
    ] {
        let paths = path(text);
        let on_node = container_path_within(&paths, Some(OWN)).unwrap();
        assert_eq!(on_node.id, ID, "{text}");
        assert!(on_node.parent.may_be_pod(Some(UID)), "{text}");
        for other in [None, Some(ID)] {
            let outside = container_path_within(&paths, other).unwrap();
            assert_eq!((outside.id, outside.parent), (OWN, Parent::Node), "{text}");
        }
    }
    for text in ["/docker/OWN", "/docker/OWN/x.service/kubepods/podUID/CID"] {
        let paths = path(text);
        let found = container_path_within(&paths, Some(OWN)).unwrap();
        assert_eq!(found.id, OWN, "{text}");
    }
}

#[test]
fn a_hierarchy_that_a_user_cannot_write_counts_before_one_that_is_delegated() {
    let delegated = path("/user.slice/user-1.slice/user@1.service/CID").remove(0);
    let paths = [delegated, "/".to_owned(), path("/docker/OWN").remove(0)];
    assert_eq!(container_path(&paths).unwrap().id, OWN);
    assert_eq!(container_path(&paths[..1]).unwrap().id, ID);
}

#[test]
fn a_container_belongs_to_the_pod_whose_uid_its_path_has() {
    for (parent, uid, expected) in [
        (Parent::Pod("1f2e_0001"), Some("1f2e-0001"), true),
        (Parent::Pod("1f2e-0001"), Some("1f2e-0002"), false),
        (Parent::Pod("1f2e-0001"), Some("1f2e-00010"), false),
        (Parent::Pod("1f2e-0001"), None, true),
        (Parent::Own, Some("1f2e-0001"), true),
        (Parent::Node, None, false),
        (Parent::Delegated("x.service"), None, false),
    ] {
        assert_eq!(parent.may_be_pod(uid), expected, "{parent:?} {uid:?}");
    }
}

/// Components that a user or a container can append to the path of a cgroup that it may write to.
fn invented() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        Just("kubepods".to_owned()),
        Just("kubepods.slice".to_owned()),
        Just("burstable".to_owned()),
        Just("kubelet".to_owned()),
        Just("docker".to_owned()),
        Just("container".to_owned()),
        Just("podUID".to_owned()),
        Just("kubepods-podU_D.slice".to_owned()),
        Just("kubepods-podU_D.slice:cri-containerd:CID".to_owned()),
        Just("CID".to_owned()),
        Just("cri-containerd-CID.scope".to_owned()),
        Just("docker-CID.scope".to_owned()),
        Just("libpod-CID.scope".to_owned()),
        Just("system.slice".to_owned()),
        Just("containerd.service".to_owned()),
        "[^/\0]{1,12}",
    ];
    proptest::collection::vec(component, 0..8).prop_map(|parts| parts.join("/"))
}

proptest! {
    #[test]
    fn no_invented_path_is_taken_for_a_container_outside(
        place in prop_oneof![
            Just("/user.slice/user-1000.slice/user@1000.service"),
            Just("/../../user.slice/user-1000.slice/user@1000.service"),
            Just("/system.slice/ci.service"),
            Just("/lxc.payload.a"),
            Just("/docker/OWN"),
            Just("/system.slice/docker-OWN.scope"),
            Just("/machine.slice/libpod-OWN.scope/container"),
            Just("/kubepods/burstable/podother/OWN"),
            Just("/kubepods.slice/kubepods-podother.slice/crio-OWN.scope"),
            Just("/../OWN"),
        ],
        rest in invented(),
    ) {
        let paths = path(&format!("{place}/{rest}"));
        let found = container_path(&paths);
        let is_own = |found: ContainerPath<'_>| {
            found.id == OWN || matches!(found.parent, Parent::Delegated(_))
        };
        prop_assert!(found.is_none_or(is_own));
    }

    #[test]
    fn found_container_id_is_part_of_the_path(text in "[a-f0-9/._:podkubesc-]{0,200}|/[a-z./]{0,20}/pod[0-9a-f]{32}/[0-9a-f]{64}") {
        if let Some(found) = container_path(std::slice::from_ref(&text)) {
            prop_assert!(is_container_id(found.id) && text.contains(found.id));
        }
    }
}

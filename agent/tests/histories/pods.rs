//! Names of pods, from cgroup paths and the kubelet's log links to labels.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::*;

const YAML: &str = "process_names:\n\
    - name: pods\n  cmdline: ['.']\n  labels:\n    namespace: '{{.Namespace}}'\n    pod: '{{.Pod}}'\n    \
    workload: '{{.Workload}}'\n    container: '{{.Container}}'\n";
const UID: &str = "1f2e3d4c-0001-4002-8003-a0b1c2d3e4f5";
const PROCESSES: &str = "namedprocess_namegroup_num_procs";
const FAILURES: &str = "headcount_pod_link_failures_total";

fn id(number: u8) -> String {
    format!("{number:064x}")
}

/// The cgroup file of a process in a pod's container.
fn of(number: u8) -> String {
    format!("0::/../../kubepods/burstable/pod{UID}/{}\n", id(number))
}

/// How many processes have exactly these labels: namespace, pod, workload and container; empty ones are left out.
fn count(scrape: &Scrape, labels: [&str; 4]) -> Option<f64> {
    let names = ["namespace", "pod", "workload", "container"];
    let mut all = vec![("groupname", "pods")];
    all.extend(
        names
            .into_iter()
            .zip(labels)
            .filter(|(_, value)| !value.is_empty()),
    );
    all.sort_unstable();
    scrape.value(PROCESSES, &all)
}

const UNKNOWN: [&str; 4] = [""; 4];

#[test]
fn containers_are_named_by_the_links_of_their_logs() {
    let tree = tree();
    tree.link_log("cart-7d4b9c8f6d-x2k9p_shop_nginx", &id(1));
    tree.link_log("db-0_shop_postgres", &id(2));
    // Nothing of these is a name.
    tree.link_log(OsStr::from_bytes(b"\xff\n_shop_x"), &id(3));
    tree.link_log("A\"},_shop_x", &id(3));
    let v1 = format!("4:cpu:/\n2:pids:/kubepods/pod{UID}/{}\n", id(1));
    let escaped = UID.replace('-', "_");
    let scope = format!(
        "0::/kubepods.slice/kubepods-pod{escaped}.slice/cri-containerd-{}.scope\n",
        id(2)
    );
    for (pid, cgroup) in [
        (10, of(1)),
        (11, v1),
        (12, scope),
        (13, of(3)),
        (14, format!("0::/system.slice/docker-{}.scope\n", id(4))),
        (15, "0::/system.slice/x.service\n".to_owned()),
    ] {
        named(&tree, pid, "a").cgroup(&cgroup).write();
    }
    let agent = Launch::on(&tree).config(YAML).start();
    let scrape = agent.scrape();
    let cart = ["shop", "cart-7d4b9c8f6d-x2k9p", "cart", "nginx"];
    assert_eq!(count(&scrape, cart), Some(2.0));
    assert_eq!(
        count(&scrape, ["shop", "db-0", "db", "postgres"]),
        Some(1.0)
    );
    assert_eq!(count(&scrape, UNKNOWN), Some(3.0));
    assert_eq!(scrape.value(FAILURES, &[]), Some(0.0));

    let ended = Launch::bare()
        .arg("list")
        .args(&["--explain=10"])
        .arg(format!("-procfs={}", tree.procfs().display()))
        .arg(format!("-path.rootfs={}", tree.rootfs().display()))
        .config(YAML)
        .run();
    let told = "pod      shop/cart-7d4b9c8f6d-x2k9p, container nginx\n";
    assert!(ended.stdout.contains(told), "{ended:#?}");
    assert!(ended.stdout.contains("workload=\"cart\""), "{ended:#?}");
}

#[test]
fn a_young_process_waits_for_the_link_and_loses_nothing() {
    let tree = tree();
    let agent = Launch::on(&tree).config(YAML).start();
    let young = named(&tree, 10, "a").start_ticks(later()).cgroup(&of(1));
    young.clone().user_ticks(300).write();
    let old = named(&tree, 11, "a").cgroup(&of(2));
    old.write();
    let born = named(&tree, 12, "a").start_ticks(later()).cgroup(&of(3));
    born.user_ticks(70).write();
    fs::create_dir_all(tree.container_logs()).unwrap();
    let scrape = agent.scrape();
    assert_eq!(
        count(&scrape, UNKNOWN),
        Some(1.0),
        "only the old one is decided"
    );
    tree.link_log("cart-0_shop_nginx", &id(1));
    tree.remove(12);
    let scrape = agent.scrape();
    let cart = [
        ("container", "nginx"),
        ("groupname", "pods"),
        ("mode", "user"),
        ("namespace", "shop"),
        ("pod", "cart-0"),
        ("workload", "cart"),
    ];
    let cpu = "namedprocess_namegroup_cpu_seconds_total";
    assert_eq!(scrape.value(cpu, &cart), Some(3.0));
    // A process that ended before the link came is in the group that its own facts give.
    assert_eq!(
        scrape.value(cpu, &[("groupname", "pods"), ("mode", "user")]),
        Some(0.7)
    );
}

#[test]
fn missing_log_links_leave_pod_names_empty_and_log_once() {
    let tree = tree();
    named(&tree, 10, "a").cgroup(&of(1)).write();
    let agent = Launch::on(&tree).config(YAML).start();
    let scrape = agent.scrape();
    assert_eq!(count(&scrape, UNKNOWN), Some(1.0));
    assert_eq!(scrape.value(FAILURES, &[]), Some(1.0));
    named(&tree, 11, "a").cgroup(&of(2)).write();
    assert_eq!(agent.scrape().value(FAILURES, &[]), Some(2.0));
    let told = |line: &&String| line.starts_with("names of pods are missing");
    assert_eq!(agent.messages("warn").iter().filter(told).count(), 1);
    let nobody_asks = tracking(&tree, &["a"]);
    assert_eq!(nobody_asks.scrape().value(FAILURES, &[]), None);
}

#[test]
fn the_configuration_of_the_daemon_set_groups_a_node() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/kubernetes/base/headcount.yml"
    );
    let yaml = fs::read_to_string(path).unwrap();
    let checked = Launch::bare().arg("check").arg(path).run();
    assert_eq!(checked.code, Some(0), "{checked:#?}");

    let tree = tree();
    for (pod, number) in [
        ("cart-7d4b9c8f6d-x2k9p", 1),
        ("cart-7d4b9c8f6d-zzzzz", 2),
        ("db-0", 3),
    ] {
        tree.link_log(format!("{pod}_shop_main"), &id(number));
    }
    let escaped = UID.replace('-', "_");
    let sandbox = format!(
        "0::/../kubepods-pod{escaped}.slice/cri-containerd-{}.scope\n",
        id(9)
    );
    let service = |name: &str| format!("0::/../../../system.slice/{name}.service\n");
    for (pid, name, cgroup) in [
        (10, "nginx", of(1)),
        (11, "sh", of(1)),
        (12, "nginx", of(2)),
        (13, "postgres", of(3)),
        (14, "pause", sandbox),
        (
            15,
            "redis",
            format!("0::/system.slice/docker-{}.scope\n", id(8)),
        ),
        (16, "kubelet", service("kubelet")),
        (17, "shim", service("containerd")),
        (
            18,
            "sshd",
            "0::/user.slice/user-0.slice/session-3.scope\n".to_owned(),
        ),
    ] {
        named(&tree, pid, name).cgroup(&cgroup).write();
    }
    let scrape = Launch::on(&tree).config(&yaml).start().scrape();
    let of_workload = |name: &'static str, workload: &'static str| {
        let labels = [("namespace", "shop"), ("workload", workload)];
        [("container", "main"), ("groupname", name)]
            .into_iter()
            .chain(labels)
            .collect()
    };
    let of_unit = |name: &'static str| vec![("groupname", name), ("unit", name)];
    let expected: [(Vec<(&str, &str)>, f64); 7] = [
        (of_workload("shop/cart/main", "cart"), 3.0),
        (of_workload("shop/db/main", "db"), 1.0),
        (vec![("groupname", "pod without a name")], 1.0),
        (vec![("groupname", "container:redis")], 1.0),
        (of_unit("kubelet.service"), 1.0),
        (of_unit("containerd.service"), 1.0),
        (vec![("groupname", "sshd")], 1.0),
    ];
    for (labels, count) in &expected {
        assert_eq!(scrape.value(PROCESSES, labels), Some(*count), "{labels:?}");
    }
    let all = scrape
        .body
        .lines()
        .filter(|line| line.starts_with(PROCESSES));
    assert_eq!(all.count(), expected.len());
}

/// The victim is container 1 of the pod `UID`; container 7 and the user 1000 are attackers.
fn invented_paths() -> Vec<String> {
    let victim = id(1);
    let escaped = UID.replace('-', "_");
    let beginnings = [
        "/user.slice/user-1000.slice/user@1000.service".to_owned(),
        "/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope".to_owned(),
        "/system.slice/ci.service".to_owned(),
        "/lxc.payload.ci".to_owned(),
        format!("/docker/{}", id(7)),
        format!("/system.slice/docker-{}.scope", id(7)),
        format!("/machine.slice/libpod-{}.scope/container", id(7)),
        format!(
            "/kubepods/burstable/podaaaaaaaa-0001-4002-8003-a0b1c2d3e4f5/{}",
            id(7)
        ),
        format!(
            "/kubepods.slice/kubepods-podaaaaaaaa_0001_4002_8003_a0b1c2d3e4f5.slice/crio-{}.scope",
            id(7)
        ),
    ];
    let ends = [
        format!("/{victim}"),
        format!("/docker/{victim}"),
        format!("/libpod-{victim}.scope/container"),
        format!("/pod{UID}/{victim}"),
        format!("/kubepods/burstable/pod{UID}/{victim}"),
        format!("/kubelet/kubepods/pod{UID}/{victim}"),
        format!("/kubepods.slice/kubepods-pod{escaped}.slice/cri-containerd-{victim}.scope"),
        format!("/kubepods-pod{escaped}.slice:cri-containerd:{victim}"),
    ];
    let ends = &ends;
    let paths = beginnings.iter().flat_map(|beginning| {
        ["", "/../.."].into_iter().flat_map(move |namespace| {
            ends.iter()
                .map(move |end| format!("{namespace}{beginning}{end}"))
        })
    });
    // The id is right, the pod is another.
    let other = UID.replace('f', "0");
    let more = [
        format!("/kubepods/pod{other}/{victim}"),
        format!("/../../besteffort/pod{other}/{victim}"),
    ];
    paths.chain(more).collect()
}

#[test]
fn invented_cgroup_paths_are_not_billed_to_the_container_whose_id_they_contain() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/kubernetes/base/headcount.yml"
    );
    let shipped = fs::read_to_string(path).unwrap();
    let ids = "process_names:\n- name: all\n  cmdline: ['.']\n  labels: {id: '{{.ContainerID}}', pod: '{{.Pod}}'}\n";
    let tree = tree();
    let log = format!("/var/log/pods/shop_cart-0_{UID}/main/0.log");
    tree.link_log_to("cart-0_shop_main", &id(1), &log);
    tree.link_log("evil-0_shop_main", &id(7));
    named(&tree, 10, "victim").cgroup(&of(1)).write();
    for (number, path) in invented_paths().into_iter().enumerate() {
        let pid = 11 + u32::try_from(number).unwrap();
        named(&tree, pid, "attacker")
            .cgroup(&format!("0::{path}\n"))
            .write();
    }
    let scrape = Launch::on(&tree).config(&shipped).start().scrape();
    let victim = [
        ("container", "main"),
        ("groupname", "shop/cart/main"),
        ("namespace", "shop"),
        ("workload", "cart"),
    ];
    assert_eq!(scrape.value(PROCESSES, &victim), Some(1.0));

    // Here the agent is in the host's cgroup namespace: of paths that begin with /.. nothing is a container.
    let compose = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/compose/headcount.yml"
    );
    let compose = fs::read_to_string(compose).unwrap();
    let scrape = Launch::on(&tree).config(&compose).start().scrape();
    let in_docker = invented_paths().into_iter().filter(|path| {
        path.starts_with(&format!("/docker/{}/", id(7)))
            || path.starts_with(&format!("/system.slice/docker-{}.scope/", id(7)))
    });
    assert_eq!(
        scrape.of("container:attacker", "num_procs"),
        Some(in_docker.count() as f64)
    );

    let scrape = Launch::on(&tree).config(ids).start().scrape();
    let victim_id = id(1);
    let victim = [
        ("groupname", "all"),
        ("id", victim_id.as_str()),
        ("pod", "cart-0"),
    ];
    assert_eq!(scrape.value(PROCESSES, &victim), Some(1.0));
    let of_victim = |line: &&str| {
        line.starts_with(PROCESSES)
            && line.contains(&format!("id=\"{victim_id}\""))
            && !line.contains("pod=")
    };
    // The runtime does not put a container into another pod; if root does, the id is right and the name is not known.
    let found: Vec<&str> = scrape.body.lines().filter(of_victim).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].ends_with(" 2"), "{found:#?}");
    let named = scrape
        .body
        .lines()
        .filter(|line| line.starts_with(PROCESSES) && line.contains("cart-0"));
    assert_eq!(named.count(), 1);
}

#[test]
fn pods_of_a_node_that_is_a_container_have_names() {
    let tree = tree();
    let node = format!("0::/docker/{}/init.scope\n", id(5));
    tree.link_log("cart-0_shop_main", &id(1));
    named(&tree, 1, "init").cgroup(&node).write();
    let inside = format!("0::/docker/{}/kubelet/kubepods/pod{UID}/{}\n", id(5), id(1));
    named(&tree, 10, "cart").cgroup(&inside).write();
    let beside = format!("0::/docker/{}/kubelet/kubepods/pod{UID}/{}\n", id(6), id(1));
    named(&tree, 11, "evil").cgroup(&beside).write();
    let scrape = Launch::on(&tree).config(YAML).start().scrape();
    let cart = ["shop", "cart-0", "cart", "main"];
    assert_eq!(count(&scrape, cart), Some(1.0));
    assert_eq!(count(&scrape, UNKNOWN), Some(2.0));
}

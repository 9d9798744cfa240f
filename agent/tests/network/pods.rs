//! Processes of the node that fan-in finds and asks through their group, in network namespaces of the test's own. The instances are
//! agents, too.
//!
//! ```text
//! host: the agent under test      pods: one instance each
//!   10.77.0.1 ---- bridge ---- 10.77.0.2, 10.77.0.3
//! ```

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener};

use super::namespace::Namespace;
use super::support::agent::{Agent, Launch, PATIENCE, until};
use super::support::fake_proc::FakeProc;
use super::support::scrape::Scrape;

/// The host and its pods. The thread of the test is in the host's namespace.
struct Node {
    host: Namespace,
    pods: Vec<Namespace>,
}

impl Node {
    fn new(pods: usize) -> Self {
        let host = Namespace::new();
        host.ip(&["link", "add", "bridge", "type", "bridge"]);
        host.ip(&["address", "add", "10.77.0.1/24", "dev", "bridge"]);
        host.ip(&["link", "set", "bridge", "up"]);
        let pods = (0..pods).map(|nth| {
            let pod = Namespace::new();
            let port = format!("port{nth}");
            host.ip(&[
                "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &pod.name,
            ]);
            host.ip(&["link", "set", &port, "master", "bridge", "up"]);
            let address = format!("{}/24", ip(nth));
            pod.ip(&["address", "add", &address, "dev", "eth0"]);
            pod.ip(&["link", "set", "eth0", "up"]);
            pod
        });
        let pods = pods.collect();
        let node = Self { host, pods };
        node.host.enter();
        node
    }

    /// Does `work` in the namespace of a pod.
    fn within<T>(&self, pod: usize, work: impl FnOnce() -> T) -> T {
        self.pods[pod].enter();
        let done = work();
        self.host.enter();
        done
    }

    /// An agent that asks the processes with `word` in their command lines. It sees all processes of this machine.
    fn agent(&self, word: &str, scrape: &str) -> Agent {
        let item = format!(
            "{{cmdline: ['{word}'], name: Pods, labels: {{tier: front}}, scrape: {scrape}}}"
        );
        let yaml = format!("process_names: [{item}]");
        let flags = ["-accounting=procfs", "--no-collector.passenger"];
        Launch::new().args(&flags).config(&yaml).start()
    }
}

fn ip(pod: usize) -> String {
    format!("10.77.0.{}", pod + 2)
}

/// An instance whose command line has `word`. It is an agent that looks at a tree with one process.
pub(crate) fn instance(tree: &FakeProc, address: &str, word: &str) -> Agent {
    let flags = ["-accounting=procfs", "--no-collector.passenger"];
    let listen = format!("--web.listen-address={address}");
    let names = format!("-procnames={word}");
    let launch = Launch::bare().args(&flags).args(&[&listen, &names]);
    launch.arg(tree_flag("-procfs=", tree.procfs())).start()
}

fn tree_flag(flag: &str, path: std::path::PathBuf) -> String {
    format!("{flag}{}", path.display())
}

pub(crate) fn tree() -> FakeProc {
    let tree = FakeProc::new(1_795_235_000);
    tree.process(5).write();
    tree
}

/// The number of processes with an outcome.
fn outcome(agent: &Agent, outcome: &str) -> Option<f64> {
    let scrape = agent.scrape();
    scrape.value("headcount_fan_in_processes", &[("outcome", outcome)])
}

/// The answer to a request that must succeed.
fn merged(agent: &Agent, path: &str) -> Scrape {
    let answer = agent.ask(path);
    assert_eq!(answer.code, 200, "{answer:?}");
    Scrape::parse(answer.body)
}

/// `headcount_target_up` of an instance.
fn up(scrape: &Scrape, address: SocketAddr) -> Option<f64> {
    let labels = [
        ("kind", "fan_in"),
        ("target", &format!("{address}/metrics")),
    ];
    scrape.value("headcount_target_up", &labels)
}

/// A word that is in no other command line of this machine.
fn word(test: &str) -> String {
    format!("headcount-{test}-{}", std::process::id())
}

#[test]
fn processes_in_other_namespaces_are_asked_through_their_group() {
    let node = Node::new(2);
    let (tree, word) = (tree(), word("pods"));
    let start = |pod| node.within(pod, || instance(&tree, "0.0.0.0:9256", &word));
    let pods = [start(0), start(1)];
    let own = instance(&tree, "127.0.0.1:9257", &word);
    // The pattern does not match the command line of the agent itself, which names the file only.
    let agent = node.agent(&word, "true");
    let addresses = [own.address, address(0), address(1)];
    for path in [
        "/metrics/apps",
        "/v1/apps/pods/metrics",
        "/v1/apps/metrics?app=Pods",
    ] {
        let scrape = merged(&agent, path);
        for address in addresses {
            assert_eq!(up(&scrape, address), Some(1.0), "{path}: {}", scrape.body);
            let instance = address.to_string();
            let labels = [
                ("groupname", "Pods"),
                ("instance", instance.as_str()),
                ("tier", "front"),
            ];
            let found = build_of(&scrape, &labels);
            assert_eq!(found, Some(1.0), "{path}: {}", scrape.body);
        }
    }
    assert_eq!(outcome(&agent, "instance"), Some(3.0));
    // A process that has started since is in the answer at once, and one that has ended is not.
    drop(own);
    drop(pods);
    let again = start(1);
    until("the next look", || {
        let scrape = merged(&agent, "/metrics/apps");
        up(&scrape, address(1)) == Some(1.0) && up(&scrape, address(0)).is_none()
    });
    drop(again);
}

/// The build info of an instance: the series that has these labels, and possibly others.
fn build_of(scrape: &Scrape, labels: &[(&str, &str)]) -> Option<f64> {
    let mut lines = scrape.body.lines();
    let line = lines.find(|line| {
        let has = |(name, value): &(&str, &str)| line.contains(&format!("{name}=\"{value}\""));
        line.starts_with("headcount_build_info{") && labels.iter().all(has)
    })?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn address(pod: usize) -> SocketAddr {
    format!("{}:9256", ip(pod)).parse().unwrap()
}

#[test]
fn namespace_with_addresses_of_others_is_not_asked() {
    let node = Node::new(1);
    let pod = &node.pods[0];
    // Addresses of the host, link-local addresses, and loopback addresses.
    pod.ip(&["address", "flush", "dev", "eth0"]);
    pod.ip(&["address", "add", "10.77.0.1/32", "dev", "lo"]);
    pod.ip(&["address", "add", "169.254.7.7/24", "dev", "eth0"]);
    let (tree, word) = (tree(), word("hostile"));
    let hostile = node.within(0, || instance(&tree, "0.0.0.0:9256", &word));
    let loopback = node.within(0, || instance(&tree, "127.0.0.1:9257", &word));
    let victims = ["10.77.0.1:9256", "127.0.0.1:9256", "127.0.0.1:9257"];
    let victims = victims.map(|address| TcpListener::bind(address).unwrap());
    let agent = node.agent(&word, "{port: auto}");
    let scrape = merged(&agent, "/metrics/apps");
    assert!(
        !scrape.body.contains("headcount_target_up{"),
        "{}",
        scrape.body
    );
    assert_eq!(outcome(&agent, "no_address"), Some(2.0));
    for victim in victims {
        victim.set_nonblocking(true).unwrap();
        let accepted = victim.accept().map_err(|error| error.kind());
        assert_eq!(accepted.unwrap_err(), ErrorKind::WouldBlock);
    }
    drop((hostile, loopback));
}

#[test]
fn connection_that_reaches_another_process_carries_no_byte() {
    let node = Node::new(2);
    // The first pod has the address of the second one, but is not reachable under it.
    let thief = &node.pods[0];
    thief.ip(&["address", "flush", "dev", "eth0"]);
    thief.ip(&["link", "set", "eth0", "down"]);
    thief.ip(&["address", "add", "10.77.0.3/32", "dev", "lo"]);
    let (tree, word) = (tree(), word("thief"));
    let hostile = node.within(0, || instance(&tree, "0.0.0.0:9256", &word));
    let victim = node.within(1, || TcpListener::bind("10.77.0.3:9256").unwrap());
    let agent = node.agent(&word, "{path: /metrics}");
    let scrape = merged(&agent, "/metrics/apps");
    assert_eq!(up(&scrape, address(1)), Some(0.0));
    let mut lines = scrape.body.lines();
    let error = lines.find(|line| line.starts_with("promfetcher_scrape_error{"));
    assert!(
        error.unwrap().contains("error=\"not_the_target\""),
        "{}",
        scrape.body
    );
    let (mut connection, _) = victim.accept().unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(connection.read(&mut [0]).unwrap(), 0, "nothing was sent");
    drop(hostile);
}

#[test]
fn pod_is_asked_although_an_older_process_has_its_address_in_another_namespace() {
    let node = Node::new(2);
    // The first pod has the address of the second one, but is not reachable under it.
    let thief = &node.pods[0];
    thief.ip(&["address", "flush", "dev", "eth0"]);
    thief.ip(&["link", "set", "eth0", "down"]);
    thief.ip(&["address", "add", "10.77.0.3/32", "dev", "lo"]);
    let (tree, word) = (tree(), word("contested"));
    let older = node.within(0, || instance(&tree, "0.0.0.0:9256", &word));
    let pod = node.within(1, || instance(&tree, "0.0.0.0:9256", &word));
    let agent = node.agent(&word, "true");
    let scrape = merged(&agent, "/metrics/apps");
    assert_eq!(up(&scrape, address(1)), Some(1.0), "{}", scrape.body);
    let instances = scrape
        .body
        .lines()
        .filter(|line| line.starts_with("headcount_target_up{"));
    assert_eq!(instances.count(), 1, "{}", scrape.body);
    assert_eq!(outcome(&agent, "instance"), Some(2.0));
    drop((older, pod));
}

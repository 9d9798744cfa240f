//! Instances that are announced on a real NATS bus: Debian's `nats-server`, whose path is in `HEADCOUNT_NATS`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::support::agent::{Agent, Launch, PATIENCE, until};
use super::support::client::{Authority, Identity};
use super::support::fake_proc::FakeProc;

const PATH: &str = "/v1/apps/app.example.com/metrics";

/// A server; killed when this is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a server at a free port.
    fn start(options: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        Self::at(port, options)
    }

    fn at(port: u16, options: &[&str]) -> Self {
        let program = std::env::var_os("HEADCOUNT_NATS")
            .expect("HEADCOUNT_NATS names no nats-server; `cargo xtask parity` fetches one");
        let child = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port };
        until("nats-server", || {
            TcpStream::connect(server.address()).is_ok()
        });
        server
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Publishes a message as the user `u`, and waits until the server has it.
    fn publish(&self, subject: &str, message: &Value) {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let message = message.to_string();
        let length = message.len();
        let lines = format!(
            "CONNECT {{\"verbose\":false,\"user\":\"u\",\"pass\":\"secret\"}}\r\nPUB {subject} {length}\r\n{message}\r\nPING\r\n"
        );
        stream.write_all(lines.as_bytes()).unwrap();
        let answers = BufReader::new(stream).lines();
        assert!(answers.map_while(Result::ok).any(|line| line == "PONG"));
    }
}

impl Drop for Server {
    /// With SIGKILL.
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// An instance that answers each request; its thread ends with the test process.
fn instance(value: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n")
                && stream.read(&mut byte).is_ok_and(|count| count == 1)
            {
                head.extend(byte);
            }
            let body = format!("a {value}\n");
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    address
}

fn message(address: SocketAddr, name: &str, life: u32) -> Value {
    json!({
        "host": address.ip().to_string(),
        "port": address.port(),
        "uris": ["app.example.com"],
        "stale_threshold_in_seconds": life,
        "tags": {"app_id": "id", "app_name": name, "process_type": "web"},
    })
}

/// An agent that listens to the bus of the section `nats`.
fn launch(tree: &FakeProc, nats: &str) -> Agent {
    let yaml = format!("process_names: [{{comm: [x]}}]\nfan_in: {{nats: {{{nats}}}}}\n");
    let launch = Launch::on(tree).args(&["-accounting=procfs", "--no-collector.passenger"]);
    launch.config(&yaml).start()
}

/// A total of the bus.
fn total(agent: &Agent, family: &str, reason: Option<&str>) -> f64 {
    let labels = [("source", "nats")].into_iter();
    let labels: Vec<_> = labels
        .chain(reason.map(|reason| ("reason", reason)))
        .collect();
    let scrape = agent.scrape();
    scrape
        .value(&format!("headcount_fan_in_{family}"), &labels)
        .unwrap_or(0.0)
}

fn entries(agent: &Agent) -> f64 {
    total(agent, "entries", None)
}

fn failures(agent: &Agent, reason: &str) -> f64 {
    total(agent, "source_failures_total", Some(reason))
}

fn listening(agent: &Agent, times: usize) {
    until("the agent listens", || {
        let lines = agent.messages("info");
        let is_listening = |line: &&String| line.contains("listening for routes at ");
        lines.iter().filter(is_listening).count() == times
    });
}

/// The lines of the instances' series.
fn series(agent: &Agent) -> Vec<String> {
    let answer = agent.ask(PATH);
    let lines = answer.body.lines().filter(|line| line.starts_with("a{"));
    lines.map(str::to_owned).collect()
}

#[test]
fn announced_instances_appear_change_disappear_and_expire() {
    let server = Server::start(&[]);
    let tree = FakeProc::new(1_795_235_000);
    let agent = launch(&tree, &format!("servers: ['nats://{}']", server.address()));
    listening(&agent, 1);
    let (one, other) = (instance(1), instance(2));
    server.publish("router.register", &message(one, "old", 120));
    until("the instance is announced", || entries(&agent) == 1.0);
    server.publish("router.register", &message(one, "new", 120));
    until("the instance changes", || {
        series(&agent)
            .iter()
            .any(|line| line.contains("app_name=\"new\""))
    });
    server.publish("router.register", &message(other, "new", 1));
    until("the second instance has come and expired", || {
        entries(&agent) == 1.0
            && agent.scrape().value(
                "headcount_fan_in_messages_total",
                &[("outcome", "registered")],
            ) == Some(3.0)
    });
    assert_eq!(series(&agent).len(), 1);
    server.publish("router.unregister", &message(one, "new", 120));
    until("the instance is taken back", || agent.ask(PATH).code == 404);
}

#[test]
fn killed_server_removes_no_instance_and_is_used_again() {
    let server = Server::start(&[]);
    let tree = FakeProc::new(1_795_235_000);
    let agent = launch(&tree, &format!("servers: ['nats://{}']", server.address()));
    listening(&agent, 1);
    server.publish("router.register", &message(instance(1), "app", 120));
    until("the instance is announced", || series(&agent).len() == 1);
    let port = server.port;
    drop(server);
    until("the loss is noticed", || failures(&agent, "refused") > 0.0);
    assert_eq!(series(&agent).len(), 1);
    let server = Server::at(port, &[]);
    listening(&agent, 2);
    server.publish("router.register", &message(instance(2), "app", 120));
    until("another instance is announced", || {
        series(&agent).len() == 2
    });
}

#[test]
fn wrong_password_is_counted_and_the_next_server_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let servers =
        ["other", "secret"].map(|password| Server::start(&["--user", "u", "--pass", password]));
    let tree = FakeProc::new(1_795_235_000);
    let urls = servers
        .each_ref()
        .map(|server| format!("nats://{}", server.address()));
    let password = password.display();
    let agent = launch(
        &tree,
        &format!("servers: {urls:?}, username: u, password_file: '{password}'"),
    );
    listening(&agent, 1);
    assert_eq!(failures(&agent, "denied"), 1.0);
    servers[1].publish("router.register", &message(instance(1), "app", 120));
    until("the instance is announced", || series(&agent).len() == 1);
    let warnings = agent.messages("warn");
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("Authorization Violation")),
        "{warnings:#?}"
    );
    assert!(!warnings.concat().contains("secret"), "{warnings:#?}");
}

#[test]
fn server_with_tls_must_be_trusted_and_sees_the_agents_certificate() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let pair = |name: &str, identity: &Identity| {
        (
            file(&format!("{name}.crt"), &identity.cert),
            file(&format!("{name}.key"), &identity.key),
        )
    };
    let (cert, key) = pair("server", &trusted.issue("nats.internal"));
    let (own_cert, own_key) = pair("own", &trusted.issue("headcount"));
    let ca = file("ca.pem", &trusted.cert());
    let other_ca = file("other.pem", &other.cert());
    let server = Server::start(&[
        "--tlscert",
        &cert,
        "--tlskey",
        &key,
        "--tlscacert",
        &ca,
        "--tlsverify",
    ]);
    let tree = FakeProc::new(1_795_235_000);
    let address = server.address();
    let own = format!("cert_file: '{own_cert}', key_file: '{own_key}'");
    let named = format!("servers: ['tls://{address}'], server_name: nats.internal, {own}");
    listening(&launch(&tree, &format!("{named}, ca_file: '{ca}'")), 1);
    for nats in [
        format!("{named}, ca_file: '{other_ca}'"),
        format!("servers: ['tls://{address}'], ca_file: '{ca}', {own}"),
        format!("servers: ['tls://{address}'], server_name: nats.internal, ca_file: '{ca}'"),
        format!("servers: ['nats://{address}']"),
    ] {
        let agent = launch(&tree, &nats);
        until("the connection fails", || failures(&agent, "tls") > 0.0);
    }
}

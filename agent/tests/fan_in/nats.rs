//! Instances that are announced on a bus. This test is the server: it follows the protocol of NATS, or violates it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::instance::Instance;
use crate::support::agent::{Agent, PATIENCE, until};
use crate::{ID, PATH, Site, labels, merged, total, up};

/// A server.
struct Bus {
    listener: TcpListener,
}

/// The server's end of the agent's connection.
struct Hearer {
    stream: TcpStream,
    /// The lines that the agent sends.
    said: BufReader<TcpStream>,
}

impl Bus {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { listener }
    }

    fn url(&self) -> String {
        format!("nats://{}", self.listener.local_addr().unwrap())
    }

    /// Waits until the agent connects.
    fn accept(&self) -> Hearer {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let said = BufReader::new(stream.try_clone().unwrap());
        Hearer { stream, said }
    }

    /// Waits until the agent connects and subscribes. Also returns the agent's lines.
    fn connected(&self) -> (Hearer, Vec<String>) {
        let mut hearer = self.accept();
        hearer.say("INFO {\"server_id\":\"x\",\"max_payload\":1048576} \r\n");
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "PING\r\n") {
            let mut line = String::new();
            hearer.said.read_line(&mut line).unwrap();
            lines.push(line);
        }
        hearer.say("PONG\r\n");
        (hearer, lines)
    }
}

impl Hearer {
    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Sends the agent a message of its subscription with this number: 0 is `router.register`, 1 `router.unregister`.
    fn pass(&mut self, number: usize, message: &str) {
        let length = message.len();
        self.say(&format!("MSG router.x {number} {length}\r\n{message}\r\n"));
    }
}

/// The message by which a component announces an instance.
pub(crate) fn message(address: SocketAddr, index: usize) -> Value {
    json!({
        "host": address.ip().to_string(),
        "port": address.port(),
        "uris": ["App.example.com"],
        "stale_threshold_in_seconds": 120,
        "tags": crate::endpoint(address, index)["tags"],
    })
}

fn launch(site: &Site, servers: &[String], more: &str) -> Agent {
    let yaml = format!(
        "process_names: [{{comm: [x]}}]\nfan_in: {{nats: {{servers: {servers:?}{more}}}}}\n"
    );
    site.plain().config(&yaml).start()
}

fn entries(agent: &Agent) -> f64 {
    total(agent, "headcount_fan_in_entries", &[("source", "nats")])
}

fn failures(agent: &Agent, reason: &str) -> f64 {
    let labels = [("source", "nats"), ("reason", reason)];
    total(agent, "headcount_fan_in_source_failures_total", &labels)
}

fn messages(agent: &Agent, outcome: &str) -> f64 {
    total(
        agent,
        "headcount_fan_in_messages_total",
        &[("outcome", outcome)],
    )
}

#[test]
fn announced_instance_is_asked_until_it_is_unregistered() {
    let (instance, bus) = (Instance::text("a 1\n"), Bus::start());
    let site = Site::of(&[]);
    let agent = launch(&site, &[bus.url()], "");
    let (mut hearer, lines) = bus.connected();
    let [connect, register, unregister, _] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(connect.starts_with("CONNECT {"), "{connect}");
    assert_eq!(register, "SUB router.register 0\r\n");
    assert_eq!(unregister, "SUB router.unregister 1\r\n");
    let message = message(instance.address, 3).to_string();
    hearer.pass(0, &message);
    until("the instance is announced", || entries(&agent) == 1.0);
    for path in [
        PATH,
        &format!("/v1/apps/{ID}/metrics"),
        "/v1/apps/app.example.com/metrics",
    ] {
        let answer = merged(&agent, path);
        let line = format!("a{{{}}} 1\n", labels(instance.address, 3));
        assert!(answer.body.contains(&line), "{path}: {}", answer.body);
    }
    hearer.pass(1, &message);
    until("the instance is taken back", || entries(&agent) == 0.0);
    assert_eq!(agent.ask(PATH).code, 404);
    assert_eq!(messages(&agent, "registered"), 1.0);
    assert_eq!(messages(&agent, "unregistered"), 1.0);
    // The agent sends nothing more.
    drop(agent);
    let mut rest = String::new();
    assert_eq!(
        hearer.said.read_line(&mut rest).unwrap_or_default(),
        0,
        "{rest}"
    );
}

#[test]
fn invalid_messages_are_counted_and_remove_no_instance() {
    let (instance, bus) = (Instance::text("a 1\n"), Bus::start());
    let site = Site::of(&[]);
    let agent = launch(&site, &[bus.url()], "");
    let (mut hearer, _) = bus.connected();
    let good = message(instance.address, 0);
    let but = |field: &str, value: Value| {
        let mut message = good.clone();
        message[field] = value;
        message.to_string()
    };
    for bad in [
        "{",
        "",
        &but("uris", json!(7)),
        &but("route_service_url", json!("http://x")),
        &but("tags", json!({"component": "router"})),
        &but("host", json!("cell_/internal")),
        &but("uris", json!([])),
        &but("padding", json!("x".repeat(100_000))),
    ] {
        hearer.pass(0, bad);
    }
    hearer.pass(0, &good.to_string());
    until("the instance is announced", || entries(&agent) == 1.0);
    assert_eq!(messages(&agent, "registered"), 1.0);
    let counts = ["malformed", "no_application", "unusable", "too_large"]
        .map(|outcome| messages(&agent, outcome));
    assert_eq!(counts, [4.0, 1.0, 2.0, 1.0]);
    assert_eq!(up(&merged(&agent, PATH), instance.address), Some(1.0));
    let warnings = agent.messages("warn");
    let of = |word: &str| warnings.iter().filter(|line| line.contains(word)).count();
    let logged = [": malformed: ", ": unusable: ", ": too_large: "].map(of);
    assert_eq!(logged, [1, 1, 1], "{warnings:#?}");
}

#[test]
fn lost_server_removes_no_instance_and_the_agent_uses_the_next_one() {
    let instances = [Instance::text("a 1\n"), Instance::text("a 2\n")];
    let buses = [Bus::start(), Bus::start()];
    let site = Site::of(&[]);
    let password = site.folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let urls = buses.each_ref().map(Bus::url);
    let more = format!(", username: u, password_file: '{}'", password.display());
    let agent = launch(&site, &urls, &more);
    let (mut hearer, lines) = buses[0].connected();
    assert!(
        lines[0].contains(r#""user":"u""#) && lines[0].contains(r#""pass":"secret""#),
        "{}",
        lines[0]
    );
    hearer.pass(0, &message(instances[0].address, 0).to_string());
    until("the first instance", || entries(&agent) == 1.0);
    drop(hearer);
    let (mut hearer, _) = buses[1].connected();
    assert_eq!(failures(&agent, "refused"), 1.0);
    assert_eq!(up(&merged(&agent, PATH), instances[0].address), Some(1.0));
    hearer.pass(0, &message(instances[1].address, 1).to_string());
    until("the second instance", || entries(&agent) == 2.0);
    hearer.say("-ERR 'Authorization Violation'\r\n");
    let mut refusing = buses[0].accept();
    assert_eq!(failures(&agent, "denied"), 1.0);
    refusing.say("HTTP/1.1 400 Bad Request\r\n\r\n");
    let (hearer, _) = buses[1].connected();
    assert_eq!(failures(&agent, "malformed"), 1.0);
    assert_eq!(up(&merged(&agent, PATH), instances[1].address), Some(1.0));
    drop(hearer);
    let log = agent.messages("warn").concat() + &agent.messages("info").concat();
    assert!(
        log.contains(&urls[0]) && log.contains("Authorization Violation"),
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn flood_of_messages_delays_no_answer() {
    let (instance, bus) = (Instance::text("a 1\n"), Bus::start());
    let site = Site::of(&[]);
    let agent = launch(&site, &[bus.url()], "");
    let (mut hearer, _) = bus.connected();
    hearer.pass(0, &message(instance.address, 0).to_string());
    let flood: String = (0..25_000)
        .map(|number: u32| {
            let host = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
            let message = json!({"host": host, "port": 80, "uris": ["r"], "tags": {"app_id": "a"}})
                .to_string();
            let length = message.len();
            format!("MSG router.register 0 {length}\r\n{message}\r\n")
        })
        .collect();
    let flooding = std::thread::spawn(move || {
        let mut said = Ok(());
        while said.is_ok() {
            said = hearer.stream.write_all(flood.as_bytes());
        }
    });
    until("the table is full", || {
        messages(&agent, "limit") > 0.0 && entries(&agent) == 20_000.0
    });
    for _ in 0..3 {
        assert_eq!(up(&merged(&agent, PATH), instance.address), Some(1.0));
    }
    drop(agent);
    flooding.join().unwrap();
}

#[test]
fn password_file_that_is_never_read_holds_up_no_scrape() {
    let (instance, bus) = (Instance::text("a 1\n"), Bus::start());
    let site = Site::of(&[instance.address]);
    let pipe = site.routes().with_file_name("pipe");
    // A pipe without a writer: opening it does not end.
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let lines = format!(
        "  nats: {{servers: ['{}'], username: u, password_file: '{}'}}\n",
        bus.url(),
        pipe.display()
    );
    let agent = site.launch(&lines).start();
    until("the file is given up", || failures(&agent, "timeout") > 0.0);
    assert_eq!(up(&merged(&agent, PATH), instance.address), Some(1.0));
    let warnings = agent.messages("warn");
    let is_about_file =
        |line: &String| line.contains("password_file") && line.contains("cannot be read");
    assert!(warnings.iter().any(is_about_file), "{warnings:#?}");
}

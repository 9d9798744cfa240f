//! The service broker of the real binary: stored paths, credentials, hostile bodies, and kills.

mod kill;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::instance::Instance;
use crate::support::agent::{Agent, Launch, PATIENCE};
use crate::{ID, PATH, Site, merged, total};

const BASIC: &str = "Authorization: Basic dXNlcjpwYXNz\r\n";
const VERSION: &str = "X-Broker-API-Version: 2.17\r\n";

impl Site {
    /// An agent with a broker.
    fn broker(&self) -> Launch {
        self.broker_with("")
    }

    /// An agent with a broker, and with these further lines in the section `fan_in`.
    fn broker_with(&self, lines: &str) -> Launch {
        let (password, file) = (self.routes().with_file_name("password"), self.stored());
        std::fs::write(&password, "pass\n").unwrap();
        let (password, file) = (password.display(), file.display());
        self.launch(&format!(
            "  broker: {{username: user, password_file: {password}, file: {file}}}\n{lines}"
        ))
    }

    /// The file of the stored paths.
    fn stored(&self) -> PathBuf {
        self.routes().with_file_name("broker.json")
    }
}

/// Sends a request to the broker; `None` if the connection ends without an answer.
fn send(address: SocketAddr, head: &str, body: &[u8]) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("{head}Host: broker\r\nConnection: close\r\n\r\n");
    // An agent that has refused the request may have closed the connection meanwhile.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

fn call(address: SocketAddr, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let length = body.len();
    let head = format!(
        "{method} /broker/v2/{path} HTTP/1.1\r\n{BASIC}{VERSION}Content-Length: {length}\r\n"
    );
    send(address, &head, body.as_bytes())
}

fn bind(address: SocketAddr, application: &str, binding: &str, path: &str) -> Option<u16> {
    let body = json!({
        "service_id": "75bcebab-cc25-4ef6-89dc-a91b953919f1",
        "plan_id": "e2900be3-709b-419e-b63b-de3aabcd9e15",
        "bind_resource": { "app_guid": application },
        "parameters": { "endpoint": path },
    });
    let (status, _) = call(address, "PUT", &place(binding), &body)?;
    Some(status)
}

fn unbind(address: SocketAddr, binding: &str) -> Option<u16> {
    let (status, _) = call(address, "DELETE", &place(binding), &Value::Null)?;
    Some(status)
}

fn place(binding: &str) -> String {
    format!("service_instances/i/service_bindings/{binding}")
}

/// The stored path of a binding in the broker's answer.
fn shown(agent: &Agent, binding: &str) -> Option<String> {
    let (status, body) = call(agent.address, "GET", &place(binding), &Value::Null).unwrap();
    assert!(matches!(status, 200 | 404), "{status}: {body}");
    body["credentials"]["endpoint"].as_str().map(str::to_owned)
}

/// The paths that an instance was asked for.
fn paths(instance: &Instance) -> Vec<String> {
    let heads = instance.heads();
    let paths = heads
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap().to_owned());
    paths.collect()
}

#[test]
fn stored_path_wins_over_metric_path_until_it_is_unbound() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    let agent = site.broker().start();
    let asked = format!("{PATH}?metric_path=/asked");
    merged(&agent, &asked);
    assert_eq!(bind(agent.address, ID, "b1", "/stored"), Some(201));
    merged(&agent, &asked);
    merged(&agent, &format!("/v1/apps/{ID}/metrics"));
    merged(&agent, "/v1/apps/metrics?route_url=app.example.com");
    assert_eq!(bind(agent.address, ID, "b2", "/later"), Some(201));
    merged(&agent, PATH);
    assert_eq!(unbind(agent.address, "b1"), Some(410));
    merged(&agent, PATH);
    assert_eq!(unbind(agent.address, "b2"), Some(200));
    merged(&agent, PATH);
    let expected = [
        "/asked", "/stored", "/stored", "/stored", "/later", "/later", "/metrics",
    ];
    assert_eq!(paths(&instance), expected);
    let changes = |outcome| {
        let family = "headcount_fan_in_broker_changes_total";
        total(&agent, family, &[("outcome", outcome)])
    };
    assert_eq!((changes("stored"), changes("unchanged")), (3.0, 1.0));
    assert_eq!(total(&agent, "headcount_fan_in_broker_usable", &[]), 1.0);
    assert_eq!(
        total(&agent, "headcount_fan_in_broker_applications", &[]),
        0.0
    );
}

#[test]
fn stored_path_must_be_allowed_when_it_is_stored_and_when_it_is_asked_for() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    let allowed = |key: &str| format!("  allowed_paths: {{{key}: [/metrics, /good]}}\n");
    let by_id = site.broker_with(&allowed(ID)).start();
    assert_eq!(bind(by_id.address, ID, "b1", "/bad"), Some(400));
    assert_eq!(bind(by_id.address, ID, "b1", "/good"), Some(201));
    merged(&by_id, &format!("{PATH}?metric_path=/bad"));
    drop(by_id);
    let by_names = site.broker_with(&allowed("myorg/dev/app")).start();
    merged(&by_names, PATH);
    assert_eq!(bind(by_names.address, ID, "b2", "/bad"), Some(201));
    merged(&by_names, PATH);
    assert_eq!(unbind(by_names.address, "b2"), Some(200));
    merged(&by_names, PATH);
    let asked = ["/good", "/good", "/metrics", "/metrics"];
    assert_eq!(paths(&instance), asked);
}

#[test]
fn paths_of_the_broker_do_not_exist_unless_it_is_configured() {
    let site = Site::of(&[]);
    let agent = site.launch("").start();
    assert_eq!(agent.ask("/broker/v2/catalog").code, 404);
    assert!(!agent.scrape().body.contains("fan_in_broker"));
}

#[test]
fn broker_and_metrics_each_admit_only_their_own_users() {
    let site = Site::of(&[]);
    let web = site.routes().with_file_name("web.yml");
    let hash = bcrypt::hash("web", 4).unwrap();
    std::fs::write(&web, format!("basic_auth_users: {{user: {hash}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n")).unwrap();
    let agent = site
        .broker()
        .arg(format!("--web.config.file={}", web.display()))
        .listen();
    let catalog = |headers: &str| {
        let asked = agent.begin("/broker/v2/catalog", headers);
        let answer = asked.answer();
        assert!(
            answer.head.contains("\r\nx-frame-options: deny"),
            "{answer:?}"
        );
        answer.code
    };
    // The password of the web configuration, no password, and the password of the broker.
    let of_web = "Authorization: Basic dXNlcjp3ZWI=\r\n";
    assert_eq!(catalog(&format!("{of_web}{VERSION}")), 401);
    assert_eq!(catalog(VERSION), 401);
    assert_eq!(catalog(BASIC), 412);
    assert_eq!(catalog(&format!("{BASIC}{VERSION}")), 200);
    assert_eq!(agent.begin("/metrics", BASIC).answer().code, 401);
    assert_eq!(agent.begin("/metrics", of_web).answer().code, 200);
}

#[test]
fn hostile_bodies_are_refused_and_store_nothing() {
    let site = Site::of(&[]);
    let agent = site.broker().start();
    let put = format!("PUT /broker/v2/{} HTTP/1.1\r\n{BASIC}{VERSION}", place("b"));
    let sized = |body: &[u8]| {
        let head = format!("{put}Content-Length: {}\r\n", body.len());
        send(agent.address, &head, body).map(|(status, _)| status)
    };
    for body in [
        &b""[..],
        b"{",
        b"null",
        b"\xff\xfe",
        b"{\"app_guid\": 1}",
        &[b'['; 60_000],
    ] {
        assert_eq!(sized(body), Some(400), "{} bytes", body.len());
    }
    assert_eq!(sized(&vec![b' '; 65 << 10]), Some(413));
    let chunks = |body: &str| {
        let head = format!("{put}Transfer-Encoding: chunked\r\n");
        send(agent.address, &head, body.as_bytes()).map(|(status, _)| status)
    };
    let endless = "1000\r\n".to_owned() + &"x".repeat(4096) + "\r\n";
    assert_eq!(chunks(&endless.repeat(20)), Some(413));
    assert_eq!(chunks("zz\r\n"), Some(400));
    // The agent reads no body before the password is verified.
    let head = format!(
        "PUT /broker/v2/{} HTTP/1.1\r\n{VERSION}Content-Length: 9999999\r\n",
        place("b")
    );
    assert_eq!(
        send(agent.address, &head, b"").map(|(status, _)| status),
        Some(401)
    );
    // A body that does not arrive ends the connection after the time of a header.
    let head = format!("{put}Content-Length: 10\r\n");
    assert_eq!(send(agent.address, &head, b"{"), None);
    let late = [("phase", "header")];
    assert_eq!(total(&agent, "headcount_http_timeouts_total", &late), 1.0);
    assert!(!site.stored().exists());
    assert_eq!(bind(agent.address, "a", "b", "/x"), Some(201));
}

#[test]
fn client_that_waits_for_100_continue_is_served() {
    let site = Site::of(&[]);
    let agent = site.broker().start();
    let body = json!({
        "service_id": "75bcebab-cc25-4ef6-89dc-a91b953919f1",
        "plan_id": "e2900be3-709b-419e-b63b-de3aabcd9e15",
        "app_guid": "a",
        "parameters": { "endpoint": "/x" },
    });
    let body = body.to_string();
    let mut stream = TcpStream::connect(agent.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (place, length) = (place("b"), body.len());
    write!(
        stream,
        "PUT /broker/v2/{place} HTTP/1.1\r\nHost: h\r\n{BASIC}{VERSION}Expect: 100-continue\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut heard = [0; 25];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(shown(&agent, "b").as_deref(), Some("/x"));
}

#[test]
fn concurrent_bindings_are_all_stored_and_outlive_the_agent() {
    const WRITERS: usize = 16;
    const EACH: usize = 20;
    let site = Site::of(&[]);
    let agent = site.broker().start();
    let address = agent.address;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for index in 0..EACH {
                    let name = format!("{writer}.{index}");
                    assert_eq!(bind(address, &name, &name, "/own"), Some(201));
                    let shared = format!("shared.{name}");
                    assert_eq!(
                        bind(address, "shared", &shared, &format!("/{name}")),
                        Some(201)
                    );
                }
            });
        }
    });
    let stored = std::fs::read(site.stored()).unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&stored).unwrap();
    assert_eq!(rows.len(), WRITERS * EACH + 1);
    let last = rows.iter().find(|row| row["app_guid"] == "shared").unwrap();
    let (last, path) = (
        last["guid"].as_str().unwrap(),
        last["endpoint"].as_str().unwrap(),
    );
    assert_eq!(last, format!("shared.{}", &path[1..]));
    let (status, _) = agent.stop(libc::SIGTERM);
    assert_eq!(status.code(), Some(0));
    let agent = site.broker().start();
    assert_eq!(shown(&agent, last).as_deref(), Some(path));
    assert_eq!(shown(&agent, "7.7").as_deref(), Some("/own"));
    let family = "headcount_fan_in_broker_applications";
    assert_eq!(total(&agent, family, &[]), rows.len() as f64);
}

#[test]
fn file_that_cannot_be_read_leaves_the_agent_without_stored_paths_and_is_not_written() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    std::fs::write(site.stored(), "[{\"guid\": \"b\"").unwrap();
    let agent = site.broker().start();
    merged(&agent, PATH);
    assert_eq!(paths(&instance), ["/metrics"]);
    let (status, body) = call(agent.address, "GET", &place("b"), &Value::Null).unwrap();
    let description = body["description"].as_str().unwrap();
    assert!(
        status == 503 && description.contains("broker.json: EOF"),
        "{body}"
    );
    assert_eq!(bind(agent.address, ID, "b", "/x"), Some(503));
    assert_eq!(total(&agent, "headcount_fan_in_broker_usable", &[]), 0.0);
    let errors = agent.messages("error");
    assert!(
        errors.len() == 1 && errors[0].contains("broker.json: EOF"),
        "{errors:?}"
    );
    assert_eq!(
        std::fs::read_to_string(site.stored()).unwrap(),
        "[{\"guid\": \"b\""
    );
}

#[test]
fn directory_that_cannot_be_written_is_known_at_the_start_and_stored_paths_are_used() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    let rows = json!([{"guid": "b", "app_guid": ID, "endpoint": "/stored"}]);
    std::fs::write(site.stored(), rows.to_string()).unwrap();
    // Root, too, cannot create a file of the name of a directory.
    let new = site.stored().with_file_name("broker.json.new");
    std::fs::create_dir(&new).unwrap();
    let agent = site.broker().start();
    let usable = || total(&agent, "headcount_fan_in_broker_usable", &[]);
    assert_eq!(usable(), 0.0);
    let errors = agent.messages("error");
    assert!(
        errors.len() == 1 && errors[0].contains("broker.json.new: Is a directory"),
        "{errors:?}"
    );
    merged(&agent, PATH);
    assert_eq!(shown(&agent, "b").as_deref(), Some("/stored"));
    assert_eq!(paths(&instance), ["/stored"]);
    assert_eq!(bind(agent.address, ID, "c", "/x"), Some(500));
    assert_eq!(usable(), 0.0);
    std::fs::remove_dir(&new).unwrap();
    assert_eq!(bind(agent.address, ID, "c", "/x"), Some(201));
    assert_eq!(usable(), 1.0);
}

#[test]
fn second_agent_with_the_same_file_does_not_write_it() {
    let site = Site::of(&[]);
    let first = site.broker().start();
    assert_eq!(bind(first.address, "a", "b", "/x"), Some(201));
    let second = site.broker().start();
    assert_eq!(bind(second.address, "a", "c", "/y"), Some(503));
    assert_eq!(shown(&first, "b").as_deref(), Some("/x"));
}

#[test]
fn agent_without_a_password_does_not_start_and_check_reports_it() {
    let site = Site::of(&[]);
    let launch = site.broker();
    std::fs::write(site.routes().with_file_name("password"), "\n").unwrap();
    let error = launch.run().one_error();
    let (begin, end) = (
        "fan_in: broker: password_file: ",
        "password: there is no password in it; write a password of its own into the file",
    );
    assert!(error.starts_with(begin) && error.ends_with(end), "{error}");
    let config = site.routes().with_file_name("config.yml");
    let yaml = "process_names: [{comm: [x]}]\nfan_in:\n  routes_file: routes.json\n  broker: {username: u, password_file: password}\n";
    std::fs::write(&config, yaml).unwrap();
    let checked = Launch::bare().arg("check").arg(config).run();
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let finding = checked.stdout.trim_end();
    assert!(
        finding.starts_with(begin) && finding.ends_with(end),
        "{checked:?}"
    );
}

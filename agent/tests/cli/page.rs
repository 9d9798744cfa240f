//! The page for people, of the real binary on a tree of files.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use super::support::passenger::core::Behaviour;
use super::support::passenger::documents::{
    API_KEY, FakeApplication, FakeCounts, FakePool, FakeWorker,
};
use super::support::passenger::{FakePassenger, PASSWORD};
use super::*;

const SECRET: &str = "--password=hunter2";
const PATHS: [&str; 7] = [
    "/",
    "/api/groups",
    "/api/processes?group=1",
    "/api/applications",
    "/page.js",
    "/page.css",
    "/icon.svg",
];

/// A server with a secret argument, a child of it that matches nothing, and one of a hostile name.
fn node() -> FakeProc {
    let tree = FakeProc::new(1_508_450_329);
    let server = tree.process(5).comm("server").argv(&["server", SECRET]);
    server.user_ticks(200).uids((0, 65534)).write();
    let child = tree.process(6).parent(5).comm("child");
    child.argv(&["child", SECRET]).write();
    let hostile = tree.process(7).comm("<b>\u{202e}x");
    hostile.argv(&["<i>", "\u{1b}[2J", SECRET]).write();
    tree
}

const CONFIG: &str = "process_names:\n  - comm: [server]\n    name: 'web-{{.Comm}}'\n  - comm: [\"<b>\\u202ex\"]\n    name: '{{.Comm}}'\n";

fn launch(tree: &FakeProc) -> Launch {
    Launch::on(tree).arg("-accounting=procfs").config(CONFIG)
}

fn json_of(agent: &Agent, path: &str) -> Value {
    let answer = agent.ask(path);
    assert_eq!(answer.code, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

fn group_id(agent: &Agent, name: &str) -> u64 {
    let groups = json_of(agent, "/api/groups");
    let groups = groups["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["name"] == name);
    group.unwrap()["id"].as_u64().unwrap()
}

fn processes(agent: &Agent, name: &str) -> Value {
    let id = group_id(agent, name);
    json_of(agent, &format!("/api/processes?group={id}"))["processes"].take()
}

#[test]
fn a_group_shows_its_processes_and_their_items() {
    let tree = node();
    let agent = launch(&tree).start();
    let mut found = processes(&agent, "web-server");
    for process in found.as_array_mut().unwrap() {
        assert!(process["started"].take().as_f64() > Some(0.0));
    }
    let expected = json!([
        {
            "pid": 5, "user": "nobody", "comm": "server", "cpu_seconds": 2.0, "resident_bytes": 409_600, "threads": 1,
            "started": null,
            "placed": {"by": "item", "item": 1, "template": "web-{{.Comm}}", "overflowed": false},
        },
        {
            "pid": 6, "user": "root", "comm": "child", "cpu_seconds": 0.0, "resident_bytes": 409_600, "threads": 1,
            "started": null, "placed": {"by": "parent", "pid": 5},
        },
    ]);
    assert_eq!(found, expected);

    // Its parent ends; it stays where it is.
    tree.remove(5);
    tree.process(6).parent(1).comm("child").write();
    let found = processes(&agent, "web-server");
    assert_eq!(found[0]["placed"], json!({"by": "ancestor"}), "{found}");
}

#[test]
fn processes_in_the_group_other_show_their_item() {
    let tree = node();
    let agent = launch(&tree).arg("-max-groups=1").start();
    let found = processes(&agent, "other");
    let expected = json!({"by": "item", "item": 2, "template": "{{.Comm}}", "overflowed": true});
    assert_eq!(found[0]["placed"], expected, "{found}");

    let agent = Launch::on(&tree)
        .args(&["-accounting=procfs", "-procnames=server"])
        .start();
    let found = processes(&agent, "server");
    let expected = json!({"by": "item", "item": 1, "template": null, "overflowed": false});
    assert_eq!(found[0]["placed"], expected, "{found}");
}

#[test]
fn no_command_line_is_shown_unless_that_is_asked_for() {
    let tree = node();
    let agent = launch(&tree).start();
    let told = |agent: &Agent| PATHS.map(|path| agent.ask(path).body).concat();
    let groups = agent.ask("/api/processes?group=2").body;
    assert!(groups.contains("x\"") && !(told(&agent) + &groups).contains("hunter2"));

    let agent = launch(&tree).arg("-web.show-cmdline").start();
    let lines = |name| processes(&agent, name)[0]["cmdline"].take();
    assert_eq!(lines("web-server"), format!("server {SECRET}"));
    assert_eq!(lines("<b>\\u{202e}x"), format!("<i> \\u{{1b}}[2J {SECRET}"));
    tree.make_unreadable(5, "cmdline");
    assert_eq!(lines("web-server"), Value::Null);
    assert_eq!(agent.messages("error"), Vec::<String>::new());
}

#[test]
fn command_lines_that_never_arrive_delay_no_request() {
    let tree = FakeProc::new(1_508_450_329);
    for pid in 10..30 {
        tree.process(pid).write();
    }
    let agent = Launch::on(&tree)
        .args(&["-accounting=procfs", "-web.show-cmdline"])
        .start();
    for pid in 10..29 {
        tree.delete(pid, "cmdline");
        let fifo = tree.path(pid).join("cmdline");
        assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    }
    for _ in 0..3 {
        let found = processes(&agent, "fake");
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), 20);
        let missing = found.iter().filter(|one| one["cmdline"].is_null()).count();
        assert!(missing >= 19, "{found:?}");
    }
    // Grouping has readers of its own.
    tree.process(40).comm("new").argv(&["new"]).write();
    assert_eq!(agent.scrape().groups(), groups(&[("fake", 20), ("new", 1)]));
    // The agent would wait for nothing when it ends, either.
    assert!(agent.stop(libc::SIGTERM).0.success());
}

#[test]
fn processes_that_are_too_many_are_counted() {
    let tree = FakeProc::new(1_508_450_329);
    for pid in 100..305 {
        tree.process(pid).write();
    }
    let agent = Launch::on(&tree).arg("-accounting=procfs").start();
    let id = group_id(&agent, "fake");
    let found = json_of(&agent, &format!("/api/processes?group={id}"));
    assert_eq!(found["processes"].as_array().unwrap().len(), 200);
    assert_eq!(found["omitted"], 5);
}

#[test]
fn viewer_removes_no_empty_group() {
    let tree = node();
    let agent = launch(&tree).arg("-remove-empty-groups").start();
    tree.remove(7);
    let name = "<b>\\u{202e}x";
    assert_eq!(processes(&agent, name), json!([]));
    group_id(&agent, name);
    agent.scrape();
    let answer = agent.ask("/api/groups").body;
    assert!(!answer.contains("202e"), "{answer}");
}

#[test]
fn failed_pass_is_shown_on_the_page_and_earlier_values_stay() {
    let tree = node();
    let agent = launch(&tree).start();
    let before = json_of(&agent, "/api/groups");
    tree.hide();
    let mut now = json_of(&agent, "/api/groups");
    let reason = now["health"]["reasons"][0].as_str().unwrap().to_owned();
    assert!(reason.starts_with("the last pass failed: "), "{reason}");
    now["health"] = before["health"].clone();
    assert_eq!(now, before);
    assert!(agent.ask("/").body.contains("<li>the last pass failed: "));
    tree.unhide();
    let again = json_of(&agent, "/api/groups");
    assert_eq!(again["health"]["status"], "ok");
    assert!(again["time"].as_f64() > before["time"].as_f64());
}

#[test]
fn page_can_be_turned_off() {
    let tree = node();
    let agent = launch(&tree).arg("--web.disable-ui").start();
    let landing = agent.ask("/");
    assert!(landing.code == 200 && landing.body.contains("href=\"./metrics\""));
    assert!(!landing.body.contains("server"), "{landing:?}");
    for path in &PATHS[1..] {
        assert_eq!(agent.ask(path).code, 404, "{path}");
    }
}

#[test]
fn metrics_at_the_path_of_the_page_are_refused() {
    for path in ["/", "/page.js", "/api/groups"] {
        let ended = run(&[&format!("-web.telemetry-path={path}")]);
        let said = ended.stderr.join("\n");
        assert!(
            ended.code == Some(2) && said.contains("page for people"),
            "{said}"
        );
    }
}

#[test]
fn page_answers_under_the_names_of_the_machine_and_those_that_the_flag_allows() {
    let tree = node();
    let agent = launch(&tree)
        .arg("--web.allowed-host=Agents.Example")
        .start();
    let code_for = |host: &str| {
        let mut stream = std::net::TcpStream::connect(agent.address).unwrap();
        write!(
            stream,
            "GET /api/groups HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].to_owned()
    };
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let allowed = [
        "localhost",
        "127.0.0.1:9256",
        "[::1]",
        name.trim(),
        "agents.example:443",
    ];
    for host in allowed {
        assert_eq!(code_for(host), "200", "{host}");
    }
    for host in ["evil.example", "agents.example.evil.example"] {
        assert_eq!(code_for(host), "403", "{host}");
    }
}

#[test]
fn applications_of_an_instance_are_shown_and_nothing_else_of_it() {
    let tree = node();
    let registry = tree.rootfs().join("registry");
    fs::create_dir(&registry).unwrap();
    let agent = launch(&tree)
        .env("PASSENGER_INSTANCE_REGISTRY_DIR", "/registry")
        .start();
    let path = "/api/applications";
    let none = json_of(&agent, path);
    assert_eq!(
        (&none["instances"], &none["applications"]),
        (&json!(0), &json!([]))
    );
    assert!(agent.ask("/").body.contains("\"Applications\" hidden>"));

    let instance = FakePassenger::new(&registry, "AbCdEfGh");
    let (mut busy, idle) = (FakeWorker::new(5), FakeWorker::new(6));
    (busy.sessions, busy.processed) = (2, 40);
    let mut blog = FakeApplication::new("/srv/<b>\u{202e}blog").with([busy, idle]);
    blog.waiting = 3;
    let pool = FakePool::new()
        .with(FakeApplication::new("/srv/wiki"))
        .with(blog);
    instance.show(&pool, FakeCounts::default());
    let found = json_of(&agent, path);
    let user = found["applications"][0]["user"].as_str().unwrap();
    let row = |name: &str, [waiting, busy, processes, requests]: [u64; 4]| {
        json!({
            "instance": "AbCdEfGh", "user": user, "name": name,
            "waiting": waiting, "busy": busy, "processes": processes, "requests": requests,
        })
    };
    let expected = json!({
        "time": found["time"], "instances": 1, "omitted": 0,
        "applications": [row("<b>\\u{202e}blog", [3, 2, 2, 40]), row("wiki", [0, 0, 0, 0])],
    });
    assert_eq!(found, expected);
    assert!(found["time"].as_f64() > none["time"].as_f64());
    let page = agent.ask("/").body;
    assert!(page.contains("\"Applications\">"), "{page}");
    assert!(
        page.contains("&lt;b>\\u{202e}blog</bdi></th><td class=\"text\">AbCdEfGh</td>"),
        "{page}"
    );
    let told = PATHS.map(|path| agent.ask(path).body).concat();
    assert!(!told.contains(API_KEY) && !told.contains(PASSWORD));

    // One that hangs delays the table of groups for half a second at most, and has no applications.
    instance.core.behave(Behaviour::HangBeforeHead);
    let began = Instant::now();
    let page = agent.ask("/").body;
    assert!(began.elapsed() < QUICKLY && page.contains("web-server"));
    let found = json_of(&agent, path);
    assert_eq!(
        (&found["instances"], &found["applications"]),
        (&json!(1), &json!([]))
    );
}

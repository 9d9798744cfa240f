//! The questions of the agent at Gunicorn's control socket, and sockets that it does not ask.

use std::os::unix::fs::symlink;

use super::lives::{Life, rows};
use super::matrix::gunicorn;
use super::server::{Row, Site, port};
use super::support::place::Server;
use super::support::scrape::Scrape;
use super::tally::Counts;
use super::watch::{settle, settle_at};

const KIND: &str = "gunicorn_control";
const FAKE: &str = include_str!("fake_arbiter.py");

/// A server that has a control socket, and an agent that watches it.
fn start(row: Row, words: &[&str]) -> Life {
    start_with(row, words, |_| {})
}

/// The same, after `prepare` has added files.
fn start_with(row: Row, words: &[&str], prepare: impl FnOnce(&Site)) -> Life {
    Life::start_in(row, words, |site| {
        site.has_control_socket = true;
        prepare(site);
    })
}

/// A value of the application.
fn of_app(life: &Life, scrape: &Scrape, family: &str) -> Option<f64> {
    scrape.value(family, &[("app", &life.site.app(&life.row))])
}

/// Whether the application answered; `None` if it is no target.
fn up(life: &Life, scrape: &Scrape) -> Option<f64> {
    let app = life.site.app(&life.row);
    scrape.value("headcount_target_up", &[("kind", KIND), ("target", &app)])
}

fn not_asked(scrape: &Scrape, reason: &str) -> Option<f64> {
    scrape.value(
        "headcount_gunicorn_arbiters_not_asked",
        &[("reason", reason)],
    )
}

/// Waits until the arbiter has answered with these workers and reloads.
fn await_answer(life: &Life, target: f64, reloads: f64) -> Scrape {
    settle_at(&life.agent, "the control socket", |scrape| {
        let shown = [
            up(life, scrape),
            of_app(life, scrape, "gunicorn_workers_target"),
            of_app(life, scrape, "gunicorn_reloads_total"),
        ];
        let expected = [1.0, target, reloads].map(Some);
        (shown != expected).then(|| format!("{shown:?}, not {expected:?}"))
    })
}

/// Waits until the arbiter is no target, for this reason.
fn await_reason(life: &Life, reason: &str) -> Scrape {
    settle_at(&life.agent, reason, |scrape| {
        let is_right = not_asked(scrape, reason) == Some(1.0) && up(life, scrape).is_none();
        (!is_right).then(|| scrape.body.clone())
    })
}

#[test]
fn target_and_reloads_follow_the_arbiter() {
    let life = start(rows()[0], &[]);
    await_answer(&life, 2.0, 0.0);
    life.server.signal(libc::SIGHUP);
    await_answer(&life, 2.0, 1.0);
    life.server.signal(libc::SIGTTIN);
    await_answer(&life, 3.0, 1.0);
    life.server.signal(libc::SIGTTOU);
    let scrape = await_answer(&life, 2.0, 1.0);
    let age = of_app(&life, &scrape, "gunicorn_worker_heartbeat_age_seconds");
    // A sync worker sends one each half of its timeout of 30 s.
    let is_young = age.is_some_and(|age| (0.0..30.0).contains(&age));
    assert!(is_young, "{age:?}");
    // The agent's own questions are no connections of the group.
    let none = Counts::new();
    settle(&life.agent, "no request", &[(life.row.name, &none)]);
}

#[test]
fn socket_is_found_behind_a_title_that_hides_arguments_and_environment() {
    let life = start_with(rows()[0], &["--control-socket", "other.ctl"], |site| {
        let module = "/usr/lib/python3/dist-packages/setproctitle";
        symlink(module, site.place.file("setproctitle")).unwrap();
    });
    await_answer(&life, 2.0, 0.0);
    let pid = life.server.pid();
    let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(title.starts_with(b"gunicorn: master ["), "{title:?}");
}

/// A configuration file that hides the folder of the socket from all other processes.
const HIDING: &str = r#"
import ctypes
folder = "FOLDER"
libc = ctypes.CDLL(None)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
assert libc.unshare(CLONE_NEWNS) == 0
assert libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
assert libc.mount(b"none", folder.encode(), b"tmpfs", 0, None) == 0
control_socket = folder + "/its.ctl"
"#;

#[test]
fn socket_in_another_mount_namespace_is_found() {
    let life = start_with(rows()[0], &["--config", "hiding.py"], |site| {
        let folder = site.place.file("hidden");
        std::fs::create_dir(&folder).unwrap();
        let text = HIDING.replace("FOLDER", folder.to_str().unwrap());
        std::fs::write(site.place.file("hiding.py"), text).unwrap();
    });
    await_answer(&life, 2.0, 0.0);
    assert!(!life.site.place.file("hidden/its.ctl").exists());
}

#[test]
fn socket_with_another_name_is_known_by_the_option() {
    let life = start_with(rows()[0], &["--control-socket", "run.sock"], |site| {
        // Debian's module, where it is there, would hide the option.
        std::fs::write(site.place.file("setproctitle.py"), "raise ImportError\n").unwrap();
    });
    await_answer(&life, 2.0, 0.0);
}

#[test]
fn arbiter_without_a_control_socket_is_no_target() {
    let old = gunicorn("python-debian", false, "sync", &[]);
    for (row, words) in [(old, &[][..]), (rows()[0], &["--no-control-socket"])] {
        let life = start(row, words);
        let scrape = await_reason(&life, "no_socket");
        for family in ["gunicorn_workers_target", "gunicorn_reloads_total"] {
            assert_eq!(of_app(&life, &scrape, family), None);
        }
        assert!(of_app(&life, &scrape, "gunicorn_worker_starts_total").is_some());
    }
}

#[test]
fn socket_that_the_agent_may_not_write_to_is_not_asked() {
    let life = start(rows()[0], &["--control-socket-mode", "0"]);
    await_reason(&life, "denied");
}

#[test]
fn arbiter_whose_path_another_one_has_taken_is_not_asked() {
    let life = start(rows()[0], &[]);
    await_answer(&life, 2.0, 0.0);
    let (_, door) = port();
    let other = rows()[1];
    let _second = life.site.start(&other, door, &[]);
    let scrape = await_reason(&life, "not_the_target");
    let app = life.site.app(&other);
    let target = scrape.value("gunicorn_workers_target", &[("app", &app)]);
    assert_eq!(target, Some(2.0));
    // Counted values stay.
    assert_eq!(of_app(&life, &scrape, "gunicorn_reloads_total"), Some(0.0));
}

/// A process in the place of `life` that poses as the arbiter of the application `manner`, and behaves so.
fn fake(life: &Life, manner: &str) -> Server {
    let place = &life.site.place;
    let folder = place.file(&format!("fake-{manner}"));
    std::fs::create_dir(&folder).unwrap();
    let script = folder.join("gunicorn");
    std::fs::write(&script, FAKE).unwrap();
    let mut command = place.program("python-fake", "/usr/bin/python3".as_ref());
    command
        .arg(script)
        .arg(manner)
        .arg(folder.join("gunicorn"))
        .args(["--name", manner]);
    Server::start(command, libc::SIGTERM, &[])
}

#[test]
fn arbiters_that_lie_or_hang_disturb_no_other() {
    const FAILURES: [(&str, &str); 6] = [
        ("silent", "timeout"),
        ("full", "timeout"),
        ("large", "too_large"),
        ("garbage", "malformed"),
        ("short", "malformed"),
        ("closed", "refused"),
    ];
    let life = start(rows()[0], &[]);
    let manners = FAILURES.iter().map(|(manner, _)| *manner);
    let all: Vec<Server> = manners
        .chain(["good", "other", "foreign"])
        .map(|manner| fake(&life, manner))
        .collect();
    await_answer(&life, 2.0, 0.0);
    let of = |scrape: &Scrape, app: &str| {
        let target = [("kind", KIND), ("target", app)];
        (
            scrape.value("headcount_target_up", &target),
            scrape.value("gunicorn_workers_target", &[("app", app)]),
        )
    };
    let scrape = settle_at(&life.agent, "ten arbiters", |scrape| {
        let mut expected = FAILURES
            .map(|(manner, _)| (manner, Some(0.0), None))
            .to_vec();
        expected.push(("good", Some(1.0), Some(9.0)));
        expected.extend([("other", None, None), ("foreign", None, None)]);
        let wrong = expected
            .into_iter()
            .find(|(app, up, target)| of(scrape, app) != (*up, *target));
        let wrong = wrong.map(|(app, ..)| format!("{app}: {:?}", of(scrape, app)));
        let not_the_target = not_asked(scrape, "not_the_target");
        let other = format!("{not_the_target:?} not the target");
        wrong.or((not_the_target != Some(2.0)).then_some(other))
    });
    for (manner, reason) in FAILURES {
        let labels = [("kind", KIND), ("reason", reason)];
        let count = scrape.value("headcount_target_failures_total", &labels);
        assert!(
            count.is_some_and(|count| count > 0.0),
            "{manner}: {count:?}"
        );
    }
    await_answer(&life, 2.0, 0.0);

    // All log lines of the agent.
    let asked = std::fs::read_to_string(life.site.place.file("fake-good/gunicorn.asked")).unwrap();
    let mut asked: Vec<&str> = asked.lines().collect();
    asked.sort_unstable();
    asked.dedup();
    let expected = ["show stats", "show workers"].into_iter().zip(1..);
    let expected =
        expected.map(|(command, id)| format!(r#"{{"id":{id},"command":"{command}","args":[]}}"#));
    assert_eq!(asked, expected.collect::<Vec<_>>());
    drop(all);
}

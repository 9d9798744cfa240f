//! What the agent asks Gunicorn at its control socket, and what it does not ask.

use std::os::unix::fs::symlink;

use super::lives::{Life, rows};
use super::matrix::gunicorn;
use super::server::port;
use super::support::scrape::Scrape;
use super::tally::Counts;
use super::watch::{settle, settle_at};

const KIND: &str = "gunicorn_control";

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
    let life = Life::start(rows()[0], &[]);
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
    let life = Life::start_in(rows()[0], &["--control-socket", "other.ctl"], |site| {
        let module = "/usr/lib/python3/dist-packages/setproctitle";
        symlink(module, site.place.file("setproctitle")).unwrap();
    });
    await_answer(&life, 2.0, 0.0);
    let pid = life.server.pid();
    let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(title.starts_with(b"gunicorn: master ["), "{title:?}");
}

#[test]
fn socket_with_another_name_is_known_by_the_option() {
    let life = Life::start(rows()[0], &["--control-socket", "run.sock"]);
    await_answer(&life, 2.0, 0.0);
}

#[test]
fn arbiter_without_a_control_socket_is_no_target() {
    let old = gunicorn("python-debian", false, "sync", &[]);
    for (row, words) in [(old, &[][..]), (rows()[0], &["--no-control-socket"])] {
        let life = Life::start(row, words);
        let scrape = await_reason(&life, "no_socket");
        for family in ["gunicorn_workers_target", "gunicorn_reloads_total"] {
            assert_eq!(of_app(&life, &scrape, family), None);
        }
        assert!(of_app(&life, &scrape, "gunicorn_worker_starts_total").is_some());
    }
}

#[test]
fn socket_that_the_agent_may_not_write_to_is_not_asked() {
    let life = Life::start(rows()[0], &["--control-socket-mode", "0"]);
    await_reason(&life, "denied");
}

#[test]
fn arbiter_whose_path_another_one_has_taken_is_not_asked() {
    let life = Life::start(rows()[0], &[]);
    await_answer(&life, 2.0, 0.0);
    let (_, door) = port();
    let other = rows()[1];
    let _second = life.site.start(&other, door, &[]);
    let scrape = await_reason(&life, "not_the_target");
    let app = life.site.app(&other);
    let target = scrape.value("gunicorn_workers_target", &[("app", &app)]);
    assert_eq!(target, Some(2.0));
    // What was counted stays.
    assert_eq!(of_app(&life, &scrape, "gunicorn_reloads_total"), Some(0.0));
}

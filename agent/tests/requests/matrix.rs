//! Every server with every shape that it can take: the responses that the client has read, the access log, the application's
//! lines and the agent's counts are the same, by method and class of status.

use std::path::{Path, PathBuf};
use std::thread::spawn;

use super::client::{Client, Request};
use super::server::{Door, Kind, Row, Site, nginx_log, port, start_nginx};
use super::shapes::{PIPELINED, SHAPES};
use super::support::agent::{Agent, until};
use super::tally::{Counts, Tally, logged};
use super::watch::{check_durations, settle, watch};

/// Clients at a time in the last part of each row.
const CLIENTS: usize = 4;

pub(crate) const fn gunicorn(
    name: &'static str,
    is_newest: bool,
    class: &'static str,
    lacks: &'static [&'static str],
) -> Row {
    Row {
        name,
        kind: Kind::Gunicorn {
            is_newest,
            class,
            app: "app:wsgi",
        },
        lacks,
    }
}

pub(crate) const fn asgi(name: &'static str, is_newest: bool, class: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Gunicorn {
            is_newest,
            class,
            app: "app:asgi",
        },
        lacks: &[],
    }
}

/// How often each shape is repeated: `cargo xtask http` says how often.
fn rounds() -> usize {
    let rounds = std::env::var("HEADCOUNT_ROUNDS");
    rounds.map_or(1, |rounds| rounds.parse().unwrap())
}

/// Sends all shapes, one after the other. After each, `check` compares.
fn send_shapes(port: u16, lacks: &[&str], mut check: impl FnMut(&str, &Tally)) -> Tally {
    let mut client = Client::new(port);
    for (name, shape) in SHAPES {
        if !lacks.contains(name) {
            shape(&mut client, rounds());
            check(name, &client.tally);
        }
    }
    assert_eq!(client.tally.unanswered, 0);
    client.tally
}

/// Plain requests from several clients at a time.
fn send_together(port: u16, tally: &mut Tally) {
    let clients: Vec<_> = (0..CLIENTS).map(|_| spawn(move || plain(port))).collect();
    for client in clients {
        tally.merge(client.join().unwrap());
    }
}

/// Sends everything to the server at `port`. Each of the groups must count just that, over durations that fit; so must the logs.
fn compare(agent: &Agent, port: u16, lacks: &[&str], groups: &[&str], logs: &[PathBuf]) {
    let settle = |moment: &str, tally: &Tally| {
        let counts = groups.iter().map(|group| (*group, &tally.counts));
        settle(agent, moment, &counts.collect::<Vec<_>>())
    };
    let mut alone = (0, String::new());
    let mut tally = send_shapes(port, lacks, |shape, tally| {
        let scrape = settle(shape, tally);
        let shares = groups.iter().map(|group| {
            let apart = check_durations(&scrape, group, tally);
            format!("{group} {apart}")
        });
        let shares = shares.collect::<Vec<_>>().join(", ");
        // The duration of a pipelined response begins with the response before, which the client cannot see.
        if shape != PIPELINED {
            alone = (tally.responses(), shares);
        }
    });
    // From here on, requests wait for workers before these receive them, so their clients see more than the servers.
    send_together(port, &mut tally);
    let scrape = settle("in the end", &tally);
    for group in groups {
        check_durations(&scrape, group, &tally);
    }
    for log in logs {
        check_log(log, &tally);
    }
    println!(
        "{}: {} responses, difference 0; of the first {} more than a bucket below the client's: {}",
        groups.join(" and "),
        tally.responses(),
        alone.0,
        alone.1,
    );
}

fn plain(port: u16) -> Tally {
    let mut client = Client::new(port);
    for nth in 0..200 * rounds() {
        let request = Request::new("GET", ["/status/200", "/status/404"][nth % 2]);
        client.exchange(&request).unwrap();
    }
    client.tally
}

/// Waits until a log has the counts of the client: a server may write the line after the response.
fn check_log(file: &Path, tally: &Tally) {
    let mut last = Counts::new();
    until("as many lines as responses", || {
        last = logged(file);
        last.values().sum::<u64>() >= tally.responses()
    });
    assert_eq!(last, tally.counts, "{file:?}");
}

fn try_row(row: &Row) {
    let site = Site::new();
    let agent = watch(site.place.path());
    let (port, door) = port();
    let _server = site.start(row, door, &[]);
    let mut logs = vec![site.served()];
    // Puma has no access log.
    if !matches!(row.kind, Kind::Puma) {
        logs.push(site.access_log());
    }
    compare(&agent, port, row.lacks, &[row.name], &logs);
}

#[test]
fn gunicorn_sync() {
    try_row(&gunicorn("g27-sync", true, "sync", &[PIPELINED]));
}

#[test]
fn gunicorn_gthread() {
    try_row(&gunicorn("g27-gthread", true, "gthread", &[]));
}

#[test]
fn gunicorn_gevent() {
    try_row(&gunicorn("g27-gevent", true, "gevent", &[]));
}

#[test]
fn gunicorn_uvicorn_worker() {
    let class = "uvicorn_worker.UvicornWorker";
    try_row(&asgi("g27-uvicorn", true, class));
}

#[test]
fn gunicorn_of_debian_sync() {
    try_row(&gunicorn("g20-sync", false, "sync", &[PIPELINED]));
}

#[test]
fn gunicorn_of_debian_gthread() {
    // It drops bytes that it has received beyond a request.
    try_row(&gunicorn("g20-gthread", false, "gthread", &[PIPELINED]));
}

#[test]
fn gunicorn_of_debian_gevent() {
    try_row(&gunicorn("g20-gevent", false, "gevent", &[]));
}

#[test]
fn gunicorn_of_debian_uvicorn_worker() {
    try_row(&asgi("g20-uvicorn", false, "uvicorn.workers.UvicornWorker"));
}

#[test]
fn uvicorn_with_httptools() {
    try_row(&Row {
        name: "uvicorn-tools",
        kind: Kind::Uvicorn("httptools"),
        lacks: &[],
    });
}

#[test]
fn uvicorn_with_h11() {
    try_row(&Row {
        name: "uvicorn-h11",
        kind: Kind::Uvicorn("h11"),
        lacks: &[],
    });
}

#[test]
fn granian_wsgi() {
    try_row(&Row {
        name: "granian-wsgi",
        kind: Kind::Granian("wsgi"),
        // It has no `wsgi.file_wrapper`.
        lacks: &["files"],
    });
}

#[test]
fn granian_asgi() {
    try_row(&Row {
        name: "granian-asgi",
        kind: Kind::Granian("asgi"),
        lacks: &[],
    });
}

#[test]
fn puma() {
    try_row(&Row {
        name: "puma",
        kind: Kind::Puma,
        lacks: &[],
    });
}

#[test]
fn nginx_alone() {
    let site = Site::new();
    let agent = watch(site.place.path());
    let (port, _) = port();
    let _server = start_nginx(&site, port, false);
    let lacks = ["slow", "errors"];
    compare(&agent, port, &lacks, &["nginx"], &[nginx_log(&site)]);
}

/// Each request is one of both groups: nginx receives it over TCP, and Gunicorn over a Unix socket.
#[test]
fn nginx_in_front_of_a_unix_socket() {
    let site = Site::new();
    let agent = watch(site.place.path());
    let row = gunicorn("g27-behind", true, "gthread", &[]);
    let _behind = site.start(&row, Door::Unix, &[]);
    let (port, _) = port();
    let _nginx = start_nginx(&site, port, true);
    let logs = [nginx_log(&site), site.access_log(), site.served()];
    compare(&agent, port, &[], &["nginx", row.name], &logs);
}

//! Other programs on the same sockets, and an agent that is killed: servers, clients and counts are as without them.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::spawn;

use super::client::{Client, Request};
use super::lives::{Life, join, rows, rush};
use super::server::{Row, Site};
use super::support::agent::until;
use super::support::place::{Server, free_port};
use super::tally::Tally;
use super::watch::{settle, settle_at, shown, watch};

/// Starts a program and waits until it has written these words to its standard error.
fn start(mut command: Command, log: &Path, words: &str) -> Server {
    command.stderr(File::create(log).unwrap());
    let server = Server::start(command, libc::SIGINT, &[]);
    until(words, || fs::read_to_string(log).unwrap().contains(words));
    server
}

/// A server whose workers block in each call, and one whose workers wait for many sockets.
fn rows_beside() -> [Row; 2] {
    let [sync, _, _, uvicorn] = rows();
    [sync, uvicorn]
}

#[test]
fn strace_and_tcpdump_beside_the_agent_change_no_count() {
    for row in rows_beside() {
        let life = Life::start(row, &[]);
        let place = &life.site.place;
        life.await_workers(2);
        let worker = life.children()[0];
        let mut strace = Command::new("/usr/bin/strace");
        strace.args(["-f", "-e", "trace=network", "-p", &worker.to_string()]);
        strace.arg("-o").arg(place.file("strace.out"));
        let _strace = start(strace, &place.file("strace.log"), "attached");
        let mut tcpdump = Command::new("/usr/bin/tcpdump");
        tcpdump
            .args(["-i", "lo", "-U", "-Z", "root", "-w"])
            .arg(place.file("packets"));
        tcpdump.arg(format!("tcp port {}", life.port));
        let _tcpdump = start(tcpdump, &place.file("tcpdump.log"), "listening on");
        life.check("strace and tcpdump", &join(life.rush()));
        let traced = fs::read_to_string(place.file("strace.out")).unwrap();
        assert!(traced.contains("HTTP/1.1 200"), "strace saw no response");
    }
}

#[test]
fn an_agent_that_is_killed_and_restarted_harms_no_request() {
    for row in rows_beside() {
        let life = Life::start(row, &[]);
        let is_counted = Arc::new(AtomicBool::new(false));
        let clients = (0..4).map(|_| {
            let (port, is_counted) = (life.port, is_counted.clone());
            spawn(move || {
                let mut tally = Tally::default();
                while !is_counted.load(Ordering::Relaxed) {
                    tally.merge(rush(port));
                }
                tally
            })
        });
        let clients = clients.collect();
        until("requests before the kill", || life.lines() > 100);
        life.agent.signal(libc::SIGKILL);
        let agent = watch(life.site.place.path());
        until("requests after the restart", || {
            !shown(&agent.scrape(), row.name).is_empty()
        });
        is_counted.store(true, Ordering::Relaxed);
        let tally = join(clients);
        assert_eq!(tally.unanswered, 0);
        let scrape = settle_at(&agent, "a restart", |scrape| {
            let in_flight = shown(scrape, row.name).remove(&("", "in flight"));
            in_flight.map(|count| format!("{count} in flight"))
        });
        let mut expected = shown(&scrape, row.name);
        for (key, count) in &expected {
            assert!(tally.counts.get(key) >= Some(count), "{key:?} is {count}");
        }
        let tally = join(life.rush());
        for (key, count) in tally.counts {
            *expected.entry(key).or_default() += count;
        }
        settle(&agent, "after a restart", &[(row.name, &expected)]);
    }
}

#[test]
fn a_server_that_polls_for_bytes_sees_them_all() {
    let site = Site::new();
    let agent = watch(site.place.path());
    fs::write(site.place.file("polling.py"), include_str!("polling.py")).unwrap();
    let port = free_port();
    let request = Request::new("GET", "/");
    let mut command = site.place.program("polling", "/usr/bin/python3".as_ref());
    command.arg("polling.py").arg(port.to_string());
    command.arg(request.bytes().len().to_string());
    let _server = Server::start(command, libc::SIGTERM, &[port]);
    let mut tally = Tally::default();
    for _ in 0..200 {
        let mut client = Client::new(port);
        assert_eq!(client.exchange_in_pieces(&request, 7), Some(200));
        tally.merge(client.tally);
    }
    settle(&agent, "FIONREAD", &[("polling", &tally.counts)]);
}

//! Workers of Gunicorn that end while requests come: by a reload, a kill, a timeout, a limit of requests, and with their server.
//! No response may be lost or counted twice, and what a worker has begun and not answered is aborted.

use std::fs;
use std::thread::{JoinHandle, spawn};

use super::client::{Client, Request};
use super::matrix::{asgi, gunicorn};
use super::server::{Row, Site, port};
use super::support::agent::{Agent, until};
use super::support::place::Server;
use super::tally::Tally;
use super::watch::{settle, settle_answered, watch};

const CLIENTS: usize = 4;
const REQUESTS: usize = 250;

/// A server of this row, and an agent that watches it.
struct Life {
    site: Site,
    row: Row,
    agent: Agent,
    server: Server,
    port: u16,
}

impl Life {
    fn start(row: Row, words: &[&str]) -> Self {
        let site = Site::new();
        let agent = watch(site.place.path());
        let (port, door) = port();
        let server = site.start(&row, door, words);
        Self {
            site,
            row,
            agent,
            server,
            port,
        }
    }

    /// How many lines the application has written.
    fn lines(&self) -> usize {
        let text = fs::read_to_string(self.site.served()).unwrap_or_default();
        text.lines().count()
    }

    fn rush(&self) -> Vec<JoinHandle<Tally>> {
        let port = self.port;
        (0..CLIENTS).map(|_| spawn(move || rush(port))).collect()
    }

    /// Waits until what the agent shows is what the clients have read, and no request is in flight.
    fn check(&self, moment: &str, tally: &Tally) {
        settle_answered(&self.agent, moment, self.row.name, tally);
        println!(
            "{}, {moment}: {} responses, difference 0; {} connections without one",
            self.row.name,
            tally.responses(),
            tally.unanswered
        );
    }

    /// Begins a request that waits in a worker; with the worker's number.
    fn hold(&self) -> (JoinHandle<Tally>, libc::pid_t) {
        fs::write(self.site.held(), "").unwrap();
        let port = self.port;
        let client = spawn(move || {
            let mut client = Client::new(port);
            client.exchange(&Request::new("GET", "/hold"));
            client.tally
        });
        let mut worker = 0;
        until("a request that waits in a worker", || {
            let text = fs::read_to_string(self.site.served()).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("hold "));
            line.inspect(|number| worker = number.parse().unwrap())
                .is_some()
        });
        (client, worker)
    }

    fn release(&self) {
        fs::remove_file(self.site.held()).unwrap();
    }

    fn await_error_line(&self, words: &str) {
        until(words, || {
            let text = fs::read_to_string(self.site.place.file("errors")).unwrap();
            text.contains(words)
        });
    }
}

/// Many requests, each on a connection of its own.
fn rush(port: u16) -> Tally {
    let mut client = Client::new(port);
    let request = Request::new("GET", "/status/200").field("Connection: close");
    for _ in 0..REQUESTS {
        client.exchange(&request);
        client.close();
    }
    client.tally
}

fn join(clients: Vec<JoinHandle<Tally>>) -> Tally {
    let mut tally = Tally::default();
    for client in clients {
        tally.merge(client.join().unwrap());
    }
    tally
}

/// Worker classes of the newest Gunicorn.
fn rows() -> [Row; 4] {
    [
        gunicorn("l27-sync", true, "sync", &[]),
        gunicorn("l27-gthread", true, "gthread", &[]),
        gunicorn("l27-gevent", true, "gevent", &[]),
        asgi("l27-uvicorn", true, "uvicorn_worker.UvicornWorker"),
    ]
}

#[test]
fn reloads_lose_no_response() {
    for row in rows() {
        let life = Life::start(row, &[]);
        let clients = life.rush();
        for nth in 1..=3 {
            until("requests between two reloads", || {
                life.lines() >= nth * CLIENTS * REQUESTS / 5
            });
            life.server.signal(libc::SIGHUP);
        }
        life.check("three reloads", &join(clients));
    }
}

#[test]
fn workers_that_end_after_some_requests_lose_no_response() {
    for row in rows() {
        let life = Life::start(row, &["--max-requests", "20"]);
        life.check("a limit of requests", &join(life.rush()));
    }
}

#[test]
fn a_request_of_a_killed_worker_is_aborted() {
    for row in rows() {
        let life = Life::start(row, &[]);
        let (client, worker) = life.hold();
        // SAFETY: takes two numbers; the worker holds a request, so it lives.
        unsafe { libc::kill(worker, libc::SIGKILL) };
        let mut tally = client.join().unwrap();
        assert_eq!((tally.unanswered, tally.responses()), (1, 0));
        let mut expected = tally.counts.clone();
        expected.insert(("GET", "aborted"), 1);
        settle(&life.agent, "a killed worker", &[(row.name, &expected)]);
        life.release();
        tally.merge(rush(life.port));
        life.check("a killed worker", &tally);
    }
}

/// Only a sync worker is late if its request is.
#[test]
fn a_request_of_a_worker_that_is_late_ends_as_its_client_sees() {
    let life = Life::start(rows()[0], &["--timeout", "1"]);
    let (client, _) = life.hold();
    let mut tally = client.join().unwrap();
    assert_eq!(tally.unanswered + tally.responses(), 1);
    let mut expected = tally.counts.clone();
    if tally.unanswered == 1 {
        expected.insert(("GET", "aborted"), 1);
    }
    settle(&life.agent, "a late worker", &[(life.row.name, &expected)]);
    life.release();
    tally.merge(rush(life.port));
    life.check("a late worker", &tally);
}

#[test]
fn a_server_that_ends_answers_what_it_has_begun() {
    for row in rows() {
        let mut life = Life::start(row, &[]);
        let (client, _) = life.hold();
        life.server.signal(libc::SIGTERM);
        life.await_error_line("Handling signal: term");
        life.release();
        let tally = client.join().unwrap();
        assert!(life.server.wait().success());
        assert_eq!((tally.unanswered, tally.responses()), (0, 1));
        life.check("the end of the server", &tally);
    }
}

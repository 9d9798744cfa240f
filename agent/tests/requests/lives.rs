//! Workers of Gunicorn that end while requests come: by a reload, a kill, a timeout, a limit of requests, and with their server.
//! No response may be lost or counted twice, requests that a worker has not answered are aborted, and the starts and ends of
//! workers are those of Gunicorn's log.

use std::fs;
use std::thread::{JoinHandle, spawn};
use std::time::Instant;

use super::client::{Client, Request};
use super::matrix::{asgi, gunicorn};
use super::server::{Row, Site, port};
use super::support::agent::{Agent, PATIENCE, until};
use super::support::place::Server;
use super::support::scrape::Scrape;
use super::tally::Tally;
use super::watch::{settle, settle_answered, watch};

const CLIENTS: usize = 4;
const REQUESTS: usize = 250;
/// The log line of a worker that has started.
const BOOTING: &str = "Booting worker with pid";

/// A server of this row, and an agent that watches it.
pub(crate) struct Life {
    pub(crate) site: Site,
    pub(crate) row: Row,
    pub(crate) agent: Agent,
    pub(crate) server: Server,
    pub(crate) port: u16,
}

/// Ends the arbiters that upgrades have started: they outlive the server that the test has started.
struct Successors<'a>(&'a Life);

impl Drop for Successors<'_> {
    fn drop(&mut self) {
        let log = fs::read_to_string(self.0.site.place.file("errors")).unwrap_or_default();
        let folder = self.0.site.place.path().display().to_string();
        for line in log.lines().filter(|line| line.contains("Listening at: ")) {
            let pid = line.rsplit_once('(').unwrap().1.trim_end_matches(')');
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if words.contains(&folder) {
                // SAFETY: takes two numbers; the process runs in the folder of this test.
                unsafe { libc::kill(pid.parse().unwrap(), libc::SIGTERM) };
            }
        }
    }
}

impl Life {
    pub(crate) fn start(row: Row, words: &[&str]) -> Self {
        Self::start_in(row, words, |_| {})
    }

    /// The same, after `prepare` has added files.
    pub(crate) fn start_in(row: Row, words: &[&str], prepare: impl FnOnce(&mut Site)) -> Self {
        let mut site = Site::new();
        prepare(&mut site);
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
    pub(crate) fn lines(&self) -> usize {
        let text = fs::read_to_string(self.site.served()).unwrap_or_default();
        text.lines().count()
    }

    pub(crate) fn rush(&self) -> Vec<JoinHandle<Tally>> {
        let port = self.port;
        (0..CLIENTS).map(|_| spawn(move || rush(port))).collect()
    }

    /// Waits until the agent shows the responses that the clients have read, and no request is in flight.
    pub(crate) fn check(&self, moment: &str, tally: &Tally) {
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

    /// The arbiter's children.
    pub(crate) fn children(&self) -> Vec<libc::pid_t> {
        let pid = self.server.pid();
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let words = text.split_whitespace();
        words.map(|word| word.parse().unwrap()).collect()
    }

    /// Waits until the arbiter has just so many children: it has replaced those that ended.
    pub(crate) fn await_workers(&self, number: usize) {
        until("as many workers as asked for", || {
            self.children().len() == number
        });
    }

    /// The sum of a family of Gunicorn over the series of this application that have these labels.
    pub(crate) fn workers(&self, scrape: &Scrape, family: &str, labels: &str) -> f64 {
        let app = format!("app=\"{}\"", self.site.app(&self.row));
        let lines = scrape.body.lines().filter(|line| {
            line.starts_with(&format!("gunicorn_{family}{{"))
                && line.contains(&app)
                && line.contains(labels)
        });
        let values = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
        values.sum()
    }

    /// Lines of Gunicorn's log with these words.
    fn logged(&self, words: &str) -> usize {
        let log = fs::read_to_string(self.site.place.file("errors")).unwrap();
        log.matches(words).count()
    }

    /// Waits until as many workers have started as `started` says then, `living` of them live, and all others have ended; for this
    /// reason, if one is given.
    fn check_workers(&self, started: impl Fn() -> usize, living: usize, reason: &str) {
        let reason = match reason {
            "" => String::new(),
            reason => format!("reason=\"{reason}\""),
        };
        let of = |scrape: &Scrape| {
            let families = [
                ("worker_starts_total", ""),
                ("workers", ""),
                ("worker_ends_total", ""),
                ("worker_ends_total", &reason),
            ];
            families.map(|(family, labels)| self.workers(scrape, family, labels))
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let scrape = self.agent.scrape();
            let started = started();
            let expected = [started, living, started - living, started - living];
            let expected = expected.map(|number| f64::from(u32::try_from(number).unwrap()));
            let shown = of(&scrape);
            if shown == expected {
                return;
            }
            let ends = scrape.body.lines();
            let ends = ends.filter(|line| line.starts_with("gunicorn_worker_ends"));
            assert!(
                Instant::now() < deadline,
                "{shown:?}, not {expected:?}: {:#?}",
                ends.collect::<Vec<_>>()
            );
        }
    }

    fn await_error_line(&self, words: &str) {
        until(words, || {
            let text = fs::read_to_string(self.site.place.file("errors")).unwrap();
            text.contains(words)
        });
    }
}

/// Many requests, each on a connection of its own.
pub(crate) fn rush(port: u16) -> Tally {
    let mut client = Client::new(port);
    let request = Request::new("GET", "/status/200").field("Connection: close");
    for _ in 0..REQUESTS {
        client.exchange(&request);
        client.close();
    }
    client.tally
}

pub(crate) fn join(clients: Vec<JoinHandle<Tally>>) -> Tally {
    let mut tally = Tally::default();
    for client in clients {
        tally.merge(client.join().unwrap());
    }
    tally
}

/// Worker classes of the newest Gunicorn. The agent knows Gunicorn by an interpreter whose name begins with `python`.
pub(crate) fn rows() -> [Row; 4] {
    [
        gunicorn("python-sync", true, "sync", &[]),
        gunicorn("python-gthread", true, "gthread", &[]),
        gunicorn("python-gevent", true, "gevent", &[]),
        asgi("python-uvicorn", true, "uvicorn_worker.UvicornWorker"),
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
            until("the reload in the log", || {
                life.logged("Handling signal: hup") == nth
            });
        }
        life.check("three reloads", &join(clients));
        life.await_workers(2);
        // A reload may end workers that have not yet set their handler of TERM.
        life.check_workers(|| 2 + 2 * 3, 2, "");
    }
}

/// An upgrade (USR2) starts a second arbiter, which stays when the first one ends. It gives itself another title until then, if it has
/// one: Debian's has.
#[test]
fn an_upgrade_keeps_the_application_and_its_totals() {
    let debians = gunicorn("python-debian", false, "sync", &[]);
    for row in [rows()[0], debians] {
        let life = Life::start(row, &[]);
        let _successors = Successors(&life);
        life.check_workers(|| 2, 2, "");
        let clients = life.rush();
        life.server.signal(libc::SIGUSR2);
        until("workers of both arbiters", || life.logged(BOOTING) == 4);
        let mut tally = join(clients);
        life.check("two arbiters", &tally);
        life.check_workers(|| 4, 4, "");
        life.server.signal(libc::SIGTERM);
        life.await_error_line("Master has been promoted");
        tally.merge(rush(life.port));
        life.check("the first arbiter ended", &tally);
        life.check_workers(|| 4, 2, "exit");
    }
}

#[test]
fn workers_that_end_after_some_requests_lose_no_response() {
    for row in rows() {
        let life = Life::start(row, &["--max-requests", "20"]);
        life.check("a limit of requests", &join(life.rush()));
        life.await_workers(2);
        life.check_workers(|| life.logged(BOOTING), 2, "exit");
    }
}

#[test]
fn a_request_of_a_killed_worker_is_aborted() {
    for row in rows() {
        let life = Life::start(row, &[]);
        let (client, worker) = life.hold();
        // Gunicorn starts its second worker some time after the first one.
        until("a busy worker and an idle one", || {
            let scrape = life.agent.scrape();
            ["busy", "idle"].iter().all(|state| {
                let label = format!("state=\"{state}\"");
                life.workers(&scrape, "workers", &label) == 1.0
            })
        });
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
        life.await_workers(2);
        life.check_workers(|| 3, 2, "signal");
    }
}

#[test]
fn workers_show_their_served_requests() {
    for row in rows() {
        let life = Life::start(row, &[]);
        let tally = join(life.rush());
        life.check("no end", &tally);
        let scrape = life.agent.scrape();
        let shown = |family| life.workers(&scrape, family, "worker_id=");
        let expected = (CLIENTS * REQUESTS) as f64;
        assert_eq!(shown("worker_requests_total"), expected);
        assert_eq!(shown("worker_request_duration_seconds_count"), expected);
        assert_eq!(shown("worker_failed_requests_total"), 0.0);
    }
}

/// Only a sync worker stops reporting while its request takes long.
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
    life.await_workers(2);
    life.check_workers(|| 3, 2, "timeout");
}

#[test]
fn ending_server_answers_begun_requests() {
    for row in rows() {
        let mut life = Life::start(row, &[]);
        let (client, _) = life.hold();
        // An application is shown once a pass has seen it.
        life.check_workers(|| 2, 2, "");
        life.server.signal(libc::SIGTERM);
        life.await_error_line("Handling signal: term");
        life.release();
        let tally = client.join().unwrap();
        assert!(life.server.wait().success());
        assert_eq!((tally.unanswered, tally.responses()), (0, 1));
        life.check("the end of the server", &tally);
        // A worker of gevent may live until its arbiter's patience ends; one of Uvicorn ends itself by TERM.
        let reason = match life.row.name {
            "python-sync" | "python-gthread" => "exit",
            _ => "",
        };
        life.check_workers(|| 2, 0, reason);
    }
}

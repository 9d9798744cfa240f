//! 200,000 connections from ab to nginx as fast as they can, while the agent is scraped each second.

use std::fs;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use super::namespace::{Namespace, within};
use super::nginx::{Logged, NGINX, Nginx, SMALL};
use super::support::agent::Agent;
use super::support::place::{Place, run};
use super::support::scrape::Scrape;
use super::traffic::{Scope, Traffic, settle, watch};

const AB: &str = "ab";
const CONNECTIONS: u64 = 200_000;
/// Connections at the same time.
const LANES: u64 = 20;
/// Memory that the agent needs at its first scrapes.
const FEW: u64 = 2000;
/// By how much the agent may grow after that, in KiB.
const GROWTH_KIB: u64 = 1024;

/// Both ends, in a network of their own: the machine keeps its ports.
struct Storm<'a> {
    place: &'a Place,
    namespace: &'a Namespace,
    nginx: Nginx<'a>,
}

impl<'a> Storm<'a> {
    fn start(place: &'a Place, namespace: &'a Namespace) -> Self {
        Self {
            place,
            namespace,
            nginx: Nginx::start(place, Some(namespace)),
        }
    }

    /// So many connections, one after another in each lane; none of them fails. Returns the seconds that it took.
    fn blow(&self, connections: u64) -> f64 {
        let mut ab: Command = self.place.program(AB, "/usr/bin/ab".as_ref());
        let numbers = [LANES, connections].map(|number| number.to_string());
        ab.args(["-q", "-c", &numbers[0], "-n", &numbers[1]]);
        ab.arg(format!("http://127.0.0.1:{}/{}", self.nginx.port, SMALL.0));
        let report = run(&mut within(ab, self.namespace));
        let value = |key: &str| {
            let line = report.lines().find_map(|line| line.strip_prefix(key));
            let words = line.and_then(|line| line.split_whitespace().next());
            words.unwrap_or_else(|| panic!("{key} {report}")).to_owned()
        };
        assert_eq!(value("Complete requests:"), connections.to_string());
        assert_eq!(value("Failed requests:"), "0");
        value("Time taken for tests:").parse().unwrap()
    }
}

/// Resident memory of the agent.
fn resident_kib(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// Scrapes each second until `run` has ended; its result, and the memory at each scrape.
fn scraped<T: Send>(agent: &Agent, run: impl FnOnce() -> T + Send) -> (T, Vec<u64>) {
    std::thread::scope(|scope| {
        let (running, ended) = mpsc::channel::<()>();
        let storm = scope.spawn(move || {
            let _running = running;
            run()
        });
        let mut resident = Vec::new();
        while ended.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
            agent.scrape();
            resident.push(resident_kib(agent));
        }
        (storm.join().unwrap(), resident)
    })
}

#[test]
fn two_hundred_thousand_connections_in_a_minute_are_all_counted() {
    let (place, namespace) = (Place::new(), Namespace::new());
    let seconds = Storm::start(&place, &namespace).blow(CONNECTIONS);
    println!("without an agent: {seconds} s");

    let (place, namespace) = (Place::new(), Namespace::new());
    let agent = watch(place.path());
    let storm = Storm::start(&place, &namespace);
    storm.blow(FEW);
    let few = storm.nginx.logged(FEW);
    let nothing = Scrape::parse(String::new());
    let before = settle_logged(&agent, &nothing, few);
    let at_first = resident_kib(&agent);
    let (seconds, resident) = scraped(&agent, || storm.blow(CONNECTIONS));
    let logged = storm.nginx.logged(FEW + CONNECTIONS).since(few);
    settle_logged(&agent, &before, logged);
    println!(
        "with the agent: {seconds} s, {logged:?}, difference 0; {at_first} KiB, then {resident:?}"
    );
    let most = resident.iter().max().unwrap();
    assert!(
        *most <= at_first + GROWTH_KIB,
        "{most} KiB after {at_first}"
    );
}

/// Waits until both groups have carried the bytes that nginx has logged, on one connection for each request. At its end, ab may
/// have opened one more in each lane.
fn settle_logged(agent: &Agent, before: &Scrape, logged: Logged) -> Scrape {
    let connections = logged.requests..=logged.requests + LANES;
    settle(agent, |scrape| {
        let [client, server] = [AB, NGINX].map(|group| {
            let of = |scrape| Traffic::of(scrape, group, Scope::Loopback);
            of(scrape).since(of(before))
        });
        let expected = Traffic::ended(client.opened, logged.received, logged.sent);
        let is_right = client == expected
            && server == expected.mirrored()
            && connections.contains(&client.opened);
        match is_right {
            true => Ok(()),
            false => Err(format!("{client:?}, {server:?}, expected {logged:?}")),
        }
    })
}

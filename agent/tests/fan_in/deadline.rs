//! Answers arrive before the caller's deadline, and equal requests share one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use socket2::{Domain, Socket, Type};

use crate::instance::{Instance, answer};
use crate::support::agent::{Agent, Asked, PATIENCE, until};
use crate::{OTHER_PATH, PATH, Site, endpoint, endpoint_of_other, error, scrape, total, up};

#[test]
fn answer_has_what_arrived_by_the_callers_deadline() {
    // More than the agent asks at the same time, so the good instance may be the last.
    let hanging: Vec<Instance> = (0..100).map(|_| Instance::hanging("")).collect();
    let good = Instance::text("a 1\n");
    let mut all: Vec<_> = hanging.iter().map(|one| one.address).collect();
    all.push(good.address);
    let site = Site::of(&all);
    let agent = site.launch("").start();
    let asked = agent.begin(PATH, "X-Prometheus-Scrape-Timeout-Seconds: 2\r\n");
    let scrape = scrape(asked.answer());
    assert_eq!(up(&scrape, good.address), Some(1.0), "{}", scrape.body);
    let timeouts = hanging
        .iter()
        .filter(|one| error(&scrape, one.address).as_deref() == Some("timeout"));
    assert_eq!(timeouts.count(), hanging.len());
    let seconds = hanging.iter().flat_map(Instance::heads).filter_map(|head| {
        let (_, rest) = head.split_once("x-prometheus-scrape-timeout-seconds: ")?;
        rest.split_once("\r\n")?.0.parse::<f64>().ok()
    });
    assert_eq!(seconds.clone().count(), hanging.len());
    seconds.for_each(|left| assert!(left > 0.0 && left < 2.0, "{left}"));
}

#[test]
fn equal_requests_share_an_answer() {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let instance = Instance::start(move |_, stream| {
        // An error means that the test has ended.
        let _ = released.lock().unwrap().recv();
        drop(stream.write_all(&answer("200 OK", "", b"a 1\n")));
    });
    let site = Site::of(&[instance.address]);
    let agent = site.launch("").start();
    let shared = || total(&agent, "headcount_fan_in_shared_requests_total", &[]);
    let first = agent.begin(PATH, "");
    until("the first question", || instance.heads().len() == 1);
    let second = agent.begin(PATH, "");
    until("a shared question", || shared() == 1.0);
    let other = agent.begin(&format!("{PATH}?metric_path=/other"), "");
    until("a question of its own", || instance.heads().len() == 2);
    release.send(()).unwrap();
    release.send(()).unwrap();
    let [first, second, other] = [first, second, other].map(|asked| scrape(asked.answer()));
    assert_eq!(first.body, second.body);
    assert_eq!(up(&other, instance.address), Some(1.0));
    assert_eq!(instance.heads().len(), 2);
    assert_eq!(
        total(
            &agent,
            "headcount_fan_in_answers_total",
            &[("outcome", "merged")]
        ),
        2.0
    );
}

#[test]
fn hanging_application_asked_several_times_leaves_places_for_another_one() {
    let hanging: Vec<Instance> = (0..12).map(|_| Instance::hanging("")).collect();
    let good = Instance::text("a 1\n");
    let site = Site::of(&[]);
    let addresses = hanging.iter().map(|one| one.address);
    let endpoints = (0..).zip(addresses);
    let endpoints = endpoints.map(|(index, address)| endpoint(address, index));
    let mut endpoints: Vec<_> = endpoints.collect();
    endpoints.push(endpoint_of_other(good.address));
    site.write_all(&endpoints);
    let agent = site.launch("  limits: {at_once: 8}\n").start();
    let asked = || hanging.iter().flat_map(Instance::heads).count();
    let waiting: Vec<_> = (0..4)
        .map(|number| agent.begin(&format!("{PATH}?metric_path={number}"), ""))
        .collect();
    until("the hanging instances", || asked() >= 6);
    // Less than the time left for each hanging instance.
    let hasty = "X-Prometheus-Scrape-Timeout-Seconds: 5\r\n";
    let scrape = scrape(agent.begin(OTHER_PATH, hasty).answer());
    assert_eq!(up(&scrape, good.address), Some(1.0), "{}", scrape.body);
    assert_eq!(asked(), 6, "three quarters of the places");
    drop(waiting);
}

/// A request from another address than those of the other helpers: another origin.
fn begin_elsewhere(agent: &Agent, path: &str, seconds: u32) -> Asked<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from = SocketAddr::from(([127, 0, 0, 2], 0));
    socket.bind(&from.into()).unwrap();
    socket.connect(&agent.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let time = format!("X-Prometheus-Scrape-Timeout-Seconds: {seconds}\r\n");
    Asked::of(stream, path, &time)
}

#[test]
fn question_ends_when_the_connections_of_all_its_clients_have_been_evicted() {
    const CONNECTIONS: usize = 64;
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let instance = Instance::start(move |head, stream| match head.starts_with("get /other ") {
        true => {
            let _ = released.lock().unwrap().recv();
            drop(stream.write_all(&answer("200 OK", "", b"a 1\n")));
        }
        // Until the agent has gone.
        false => drop(stream.read(&mut [0])),
    });
    let site = Site::of(&[instance.address]);
    let agent = site.launch("").start();
    let shared = || total(&agent, "headcount_fan_in_shared_requests_total", &[]);
    let missed = || {
        let outcome = [("outcome", "missed")];
        total(&agent, "headcount_fan_in_answers_total", &outcome)
    };
    let evicted = [(); 2].map(|()| begin_elsewhere(&agent, PATH, 30));
    until("a question with two clients", || shared() == 1.0);
    let other = format!("{PATH}?metric_path=/other");
    // One place is left for the scrapes.
    let mut others: Vec<_> = (evicted.len() + 1..CONNECTIONS)
        .map(|_| begin_elsewhere(&agent, &other, 10))
        .collect();
    let expected = others.len() as f64;
    until("another question, with less time", || shared() == expected);
    // The first one takes the last place. Each further one takes that of the origin with most connections that has waited for longest.
    let taking = [(); 3].map(|()| TcpStream::connect(agent.address).unwrap());
    until("the end of the first question", || missed() == 1.0);
    // The time of neither was over.
    release.send(()).unwrap();
    let scrape = scrape(others.pop().unwrap().answer());
    assert_eq!(up(&scrape, instance.address), Some(1.0));
    assert_eq!(missed(), 1.0);
    drop((evicted, taking));
}

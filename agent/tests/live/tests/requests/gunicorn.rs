//! Applications of Gunicorn: the shown starts, ends and requests of workers are the real ones.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use super::is_counted;
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::kernel_objects::Objects;
use crate::process;
use crate::program::{self, Program, Running};
use crate::runner::table;
use crate::tier::{ITERATOR, TYPED, Tier};

table![
    workers_are_shown_with_their_served_requests for TYPED,
    starts_and_ends_are_exact_with_any_number_of_scrapers for TYPED,
    workers_that_end_with_process_1_of_their_namespace_are_no_timeouts for &[&ITERATOR],
    an_application_between_two_scrapes_is_counted for TYPED,
    workers_older_than_the_agent_are_found_by_their_titles for TYPED,
    without_the_collector_nothing_follows_gunicorn for &[&ITERATOR],
];

fn start(tier: &Tier, flags: &[&str]) -> Agent {
    let folder = program::folder().display();
    let matches = format!("cmdline: ['^({folder}/|gunicorn: )'], http: true");
    let configuration = format!("process_names: [{{name: '{{{{.Comm}}}}', {matches}}}]");
    Agent::start_with(tier, flags, Some(&configuration))
}

/// An arbiter, as the application of a name that nothing else has.
struct Gunicorn {
    app: String,
    arbiter: Running,
    port: u16,
}

impl Gunicorn {
    fn start(tag: &str) -> Self {
        let (program, words) = Self::command(tag);
        Self::of(program, Running::of(Path::new(&words[0]), &words[1..]))
    }

    /// The same as process 1 of a pid namespace; its process id in that of the test.
    fn start_contained(tag: &str) -> (Self, i32) {
        let (program, words) = Self::command(tag);
        let arguments = words.iter().map(String::as_str);
        let arguments: Vec<&str> = ["contained"].into_iter().chain(arguments).collect();
        let mut runner = Program::new("runs").start(arguments[0], &arguments[1..]);
        let first = i32::try_from(runner.await_line("first")).unwrap();
        runner.tell("go");
        (Self::of(program, runner), first)
    }

    /// The program of an arbiter, and the words that start it.
    fn command(tag: &str) -> (Program, [String; 4]) {
        let program = Program::new(tag);
        let folder = program::folder().join(format!("{}.d", program.name));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("gunicorn");
        std::fs::hard_link(&program.path, &path).unwrap();
        let name = format!("--name={}", program.name);
        let path = path.to_str().unwrap();
        let words = [path, "scenario", "arbiter", &name].map(str::to_owned);
        (program, words)
    }

    fn of(program: Program, mut arbiter: Running) -> Self {
        let port = u16::try_from(arbiter.await_line("port")).unwrap();
        Self {
            app: program.name,
            arbiter,
            port,
        }
    }

    fn tell(&mut self, command: &str) {
        self.arbiter.tell(command);
        self.arbiter.await_line("done");
    }

    /// A further worker; its process id.
    fn worker(&mut self) -> i32 {
        self.arbiter.tell("worker");
        i32::try_from(self.arbiter.await_line("worker")).unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn value(&self, samples: &Samples, family: &str, label: (&str, &str)) -> Option<f64> {
        let labels = [("app", self.app.as_str()), label];
        samples.value(&format!("gunicorn_{family}"), &labels)
    }

    /// Waits until this many workers are shown, and then compares starts and ends; ends that are 0 are left out.
    fn check(&self, agent: &Agent, workers: usize, starts: f64, ends: &[(&str, f64)]) {
        let expected = (workers, starts, BTreeMap::from_iter(ends.iter().copied()));
        agent.await_settled(|samples| {
            let shown = self.workers(samples, "worker_uptime_seconds").len();
            let series = samples.series("gunicorn_worker_ends_total");
            let ends = series.filter(|(labels, value)| labels["app"] == self.app && *value > 0.0);
            let ends: BTreeMap<_, _> = ends
                .map(|(labels, value)| (labels["reason"].as_str(), value))
                .collect();
            let labels = [("app", self.app.as_str())];
            let starts = samples.value("gunicorn_worker_starts_total", &labels);
            match (shown, starts.unwrap_or(-1.0), ends) {
                found if found == expected => Ok(()),
                found => Err(format!("{found:?} instead of {expected:?}")),
            }
        });
    }

    /// The values of a family, by the process id in `worker_id`.
    fn workers(&self, samples: &Samples, family: &str) -> BTreeMap<i32, f64> {
        let name = format!("gunicorn_{family}");
        let own = samples
            .series(&name)
            .filter(|(labels, _)| labels["app"] == self.app);
        own.map(|(labels, value)| {
            let mut words = labels["worker_id"].split('_');
            (words.nth(1).unwrap().parse().unwrap(), value)
        })
        .collect()
    }
}

fn exchange(connection: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    let mut bytes = [0; 1024];
    while !response.ends_with(b"\r\n\r\n") {
        let count = connection.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "the worker has closed");
        response.extend_from_slice(&bytes[..count]);
    }
}

fn workers_are_shown_with_their_served_requests(tier: &Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let mut gunicorn = Gunicorn::start("gserv");
    let first = gunicorn.worker();
    let mut connection = gunicorn.connect();
    for path in ["/", "/404", "/500"] {
        exchange(&mut connection, path);
    }
    connection.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let count_is = |samples: &Samples, state: &str, count: f64| {
        let found = gunicorn.value(samples, "workers", ("state", state));
        match found == Some(count) {
            true => Ok(()),
            false => Err(format!("{found:?} {state} instead of {count}")),
        }
    };
    let samples = agent.await_that(|samples| count_is(samples, "busy", 1.0));
    let of_first = |family, value| {
        let found = gunicorn.workers(&samples, family);
        assert_eq!(found, BTreeMap::from([(first, value)]), "{family}");
    };
    of_first("worker_requests_total", 3.0);
    of_first("worker_failed_requests_total", 1.0);
    of_first("worker_request_duration_seconds_count", 3.0);
    connection.write_all(b"\r\n").unwrap();
    agent.await_that(|samples| count_is(samples, "idle", 1.0));
    let second = gunicorn.worker();
    let idle = BTreeMap::from([(first, 4.0), (second, 0.0)]);
    let samples = agent.scrape();
    assert_eq!(gunicorn.workers(&samples, "worker_requests_total"), idle);
    for family in ["worker_memory_bytes", "worker_cpu_seconds_total"] {
        let found = gunicorn.workers(&samples, family);
        assert!(
            found.len() == 2 && found.values().all(|value| *value > 0.0),
            "{found:?}"
        );
    }
    gunicorn.tell(&format!("kill {first} {}", libc::SIGTERM));
    gunicorn.check(&agent, 1, 2.0, &[("signal", 1.0)]);
}

fn starts_and_ends_are_exact_with_any_number_of_scrapers(tier: &Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let mut gunicorn = Gunicorn::start("gends");
    let stays = gunicorn.worker();
    gunicorn.check(&agent, 1, 1.0, &[]);
    for scrapes in [false, true] {
        for command in ["brief 0", "brief 3", "brief 0", "program"] {
            gunicorn.tell(command);
            if scrapes {
                agent.scrape();
            }
        }
        let killed = gunicorn.worker();
        process::kill(killed, libc::SIGKILL);
        gunicorn.tell(&format!("reap {killed}"));
        for signal in [libc::SIGABRT, libc::SIGKILL, libc::SIGTERM] {
            let worker = gunicorn.worker();
            if scrapes {
                agent.scrape();
            }
            gunicorn.tell(&format!("kill {worker} {signal}"));
        }
    }
    let ends = [
        ("exit", 4.0),
        ("error", 2.0),
        ("signal", 4.0),
        ("timeout", 4.0),
    ];
    gunicorn.check(&agent, 1, 15.0, &ends);
    process::kill(stays, libc::SIGABRT);
    gunicorn.tell(&format!("reap {stays}"));
    let ends = [
        ("exit", 4.0),
        ("error", 2.0),
        ("signal", 5.0),
        ("timeout", 4.0),
    ];
    gunicorn.check(&agent, 0, 15.0, &ends);
}

/// The kernel ends them, in the name of their arbiter.
fn workers_that_end_with_process_1_of_their_namespace_are_no_timeouts(tier: &Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let (mut gunicorn, arbiter) = Gunicorn::start_contained("gcont");
    for _ in 0..2 {
        gunicorn.worker();
    }
    gunicorn.check(&agent, 2, 2.0, &[]);
    process::kill(arbiter, libc::SIGKILL);
    gunicorn.check(&agent, 0, 2.0, &[("signal", 2.0)]);
    gunicorn.arbiter.finish();
}

fn an_application_between_two_scrapes_is_counted(tier: &Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let mut gunicorn = Gunicorn::start("gbrie");
    gunicorn.tell("brief 3");
    let worker = gunicorn.worker();
    gunicorn.tell(&format!("kill {worker} {}", libc::SIGABRT));
    // It has ended before the first scrape; another one takes its place in the value.
    let other = Gunicorn::start("gothe");
    std::mem::replace(&mut gunicorn.arbiter, other.arbiter).finish();
    gunicorn.check(&agent, 0, 2.0, &[("error", 1.0), ("timeout", 1.0)]);
    gunicorn.arbiter.finish();
}

fn workers_older_than_the_agent_are_found_by_their_titles(tier: &Tier) {
    let mut gunicorn = Gunicorn::start("gtitl");
    gunicorn.tell("title");
    gunicorn.worker();
    let second = gunicorn.worker();
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    gunicorn.check(&agent, 2, 0.0, &[]);
    gunicorn.worker();
    gunicorn.tell("brief 0");
    gunicorn.tell(&format!("kill {second} {}", libc::SIGABRT));
    gunicorn.check(&agent, 2, 2.0, &[("exit", 1.0), ("timeout", 1.0)]);
}

fn without_the_collector_nothing_follows_gunicorn(tier: &Tier) {
    let on = start(tier, &[]);
    let is_counted = is_counted(&on);
    let off = start(tier, &["--no-collector.gunicorn"]);
    let mut gunicorn = Gunicorn::start("goff");
    gunicorn.worker();
    gunicorn.check(&on, 1, 1.0, &[]);
    let samples = off.scrape();
    let mut names = samples.names();
    assert_eq!(names.find(|name| name.contains("gunicorn_")), None);
    let [more, less] = [&on, &off].map(|agent| Objects::of_process(agent.pid()));
    let added = usize::from(is_counted);
    assert_eq!(more.programs.len(), less.programs.len() + added);
}

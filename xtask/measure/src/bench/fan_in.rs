//! Measures whole answers of the fan-in, over HTTP: rows of the section `merge`.
//!
//! One server of this process is all instances, each at an address of its own of the loopback network, and the router that
//! names them. Beside the agent runs promfetcher, if there is one; it must be of the generation that polls routers (0.44 and
//! older). All are in a network namespace of their own, because promfetcher listens on all interfaces.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};

use super::statistics::median;
use super::subject::{Launch, Subject, free_port};
use super::table::{Row, megabytes, milliseconds};
use super::{Bench, usage};
use crate::command;

/// The loads; each has about the same series in all.
const LOADS: [Load; 2] = [
    Load {
        instances: 50,
        series: 2000,
    },
    Load {
        instances: 200,
        series: 500,
    },
];
const ROUNDS: usize = 10;
/// The deadline of the caller.
const DEADLINE: &str = "X-Prometheus-Scrape-Timeout-Seconds: 10\r\n";
const DEADLINE_NS: f64 = 10e9;
const MORE_BYTES: u64 = 64_000_000;
const PATH: &str = "/v1/apps/organization/production/application/metrics";
/// An application of one instance: the answer says that the router was asked.
const READY: &str = "/v1/apps/ready.example.com/metrics";
/// The series of the instances' expositions begin with this.
const NAMES: &str = "application_";

/// Instances, and series of each.
#[derive(Clone, Copy)]
struct Load {
    instances: usize,
    series: usize,
}

/// For each load: what an answer takes.
pub(super) fn answers(bench: &Bench, replay: &Path) -> Result<Vec<Row>> {
    let measured = std::thread::scope(|scope| {
        let alone = scope.spawn(|| -> Result<Vec<Row>> {
            enter_namespace()?;
            let mut rows = Vec::new();
            for load in LOADS {
                rows.extend(load.measured(bench, replay)?);
            }
            Ok(rows)
        });
        alone.join()
    });
    measured.ok().context("a panic")?
}

/// Brings this thread and its children into a new network namespace.
fn enter_namespace() -> Result<()> {
    // SAFETY: takes no pointer.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    let error = std::io::Error::last_os_error();
    ensure!(result == 0, "new network namespace: {error}");
    command::read(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    Ok(())
}

impl Load {
    fn measured(self, bench: &Bench, replay: &Path) -> Result<Vec<Row>> {
        let series = self.series.to_string();
        let body = command::read(Command::new(replay).args(["exposition", &series]))?;
        let server = Server::start(self.instances, body.clone())?;
        let all = self.instances * body.lines().filter(|line| !line.starts_with('#')).count();
        let mut costs = Costs::of(start_agent(bench, &server)?)?;
        let mut theirs = match &bench.promfetcher {
            Some(peer) => Some(Costs::of(start_promfetcher(bench, &peer.binary, &server)?)?),
            None => None,
        };
        for _ in 0..ROUNDS {
            costs.add(all)?;
            theirs.as_mut().map_or(Ok(()), |theirs| theirs.add(all))?;
        }
        self.rows(&costs, theirs.as_ref())
    }

    fn rows(self, ours: &Costs, theirs: Option<&Costs>) -> Result<Vec<Row>> {
        let Self { instances, series } = self;
        let load = format!("{instances} instances of {series} series over HTTP");
        let times = |what: &str, of: fn(&Costs) -> &[f64]| {
            let mine = median(of(ours));
            let row = Row::new(format!("{what} per answer, {load}"), milliseconds(mine));
            let row = row.of("headcount", of(ours));
            theirs.map(of).into_iter().fold(row, |row, all| {
                let value = median(all);
                row.beside_promfetcher(milliseconds(value), Some(mine / value))
                    .of("promfetcher", all)
            })
        };
        let longest = ours.wall_ns.iter().copied().fold(0.0, f64::max);
        let complete = |costs: &Costs| format!("{} of {ROUNDS}", costs.complete);
        let shown = Row::new(format!("complete answers, {load}"), complete(ours))
            .target("all", ours.complete == ROUNDS);
        let more = ours.more_bytes()?;
        let memory = Row::new(
            format!("most memory beyond that when idle, {load}"),
            megabytes(more),
        )
        .target("≤ 64 MB", more <= MORE_BYTES);
        let mut rows = vec![
            times("CPU", |costs| &costs.cpu_ns),
            times("wall", |costs| &costs.wall_ns).target("≤ 10 s each", longest <= DEADLINE_NS),
        ];
        rows.extend(match theirs {
            None => [shown, memory],
            Some(theirs) => {
                let bytes = theirs.more_bytes()?;
                [
                    shown.beside_promfetcher(complete(theirs), None),
                    memory.beside_promfetcher(megabytes(bytes), Some(more as f64 / bytes as f64)),
                ]
            }
        });
        Ok(rows)
    }
}

fn start_agent(bench: &Bench, server: &Server) -> Result<Subject> {
    let config = bench.folder.join("fan-in.yml");
    let yaml = format!(
        "process_names: [{{comm: [x]}}]\nfan_in: {{gorouters: [{{url: 'http://127.0.0.1:{}/routes'}}]}}\n",
        server.port
    );
    std::fs::write(&config, yaml).with_context(|| format!("write {}", config.display()))?;
    let config = format!("-config.path={}", config.display());
    bench.start_agent(&[&config])
}

fn start_promfetcher(bench: &Bench, binary: &Path, server: &Server) -> Result<Subject> {
    let config = bench.folder.join("promfetcher.yml");
    let (port, health) = (free_port()?, free_port()?);
    let yaml = format!(
        "gorouters: [{{host: 127.0.0.1, port: {}}}]\nport: {port}\nhealth_check_port: {health}\n",
        server.port
    );
    std::fs::write(&config, yaml).with_context(|| format!("write {}", config.display()))?;
    let launch = Launch {
        name: "promfetcher",
        binary,
        arguments: vec![format!("--config={}", config.display())],
        ready: READY,
        processes: "",
    };
    Subject::start_on(port, &launch, &[], &bench.folder)
}

/// A program, and the costs of its answers.
struct Costs {
    subject: Subject,
    idle_bytes: u64,
    cpu_ns: Vec<f64>,
    wall_ns: Vec<f64>,
    /// Answers with all series of all instances.
    complete: usize,
}

impl Costs {
    /// None yet.
    fn of(subject: Subject) -> Result<Self> {
        subject.fetch(READY)?;
        usage::forget_peak(subject.pid())?;
        Ok(Self {
            idle_bytes: subject.memory()?.now_bytes,
            subject,
            cpu_ns: Vec::new(),
            wall_ns: Vec::new(),
            complete: 0,
        })
    }

    /// Adds an answer, which should have `all` series.
    fn add(&mut self, all: usize) -> Result<()> {
        let answer = self.subject.scrape_path(PATH, DEADLINE)?;
        let series = answer.body.lines().filter(|line| line.starts_with(NAMES));
        self.complete += usize::from(series.count() == all);
        self.cpu_ns.push(answer.cpu_ns);
        self.wall_ns.push(answer.wall_ns);
        Ok(())
    }

    fn more_bytes(&self) -> Result<u64> {
        Ok(self.subject.memory()?.peak_bytes - self.idle_bytes)
    }
}

/// All instances and their router. It ends when this is dropped.
struct Server {
    port: u16,
    listener: TcpListener,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    /// With instances that answer with `body`.
    fn start(instances: usize, body: String) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("listen")?;
        let port = listener.local_addr()?.port();
        let answers = Arc::new([routes(instances, port), body].map(|body| {
            let length = body.len();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
        }));
        let accepting = listener.try_clone()?;
        let serving = std::thread::spawn(move || {
            // The listener is shut down at the end.
            while let Ok((stream, _)) = accepting.accept() {
                // A client that has gone needs no answer.
                let _ = serve(stream, &answers);
            }
        });
        Ok(Self {
            port,
            listener,
            serving: Some(serving),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: takes numbers; the descriptor is open.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

fn serve(mut stream: TcpStream, [routes, body]: &[String; 2]) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut part = [0; 2048];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            count => head.extend(&part[..count]),
        }
    }
    let answer = match head.starts_with(b"GET /routes ") {
        true => routes,
        false => body,
    };
    stream.write_all(answer.as_bytes())
}

/// The table of a router.
fn routes(instances: usize, port: u16) -> String {
    let id = "3f2b8c1e-5d4a-4b7e-9c3d-1a2b3c4d5e6f";
    let endpoints = (0..instances).map(|n| {
        format!(
            r#"{{"address": "127.0.1.{n}:{port}", "tls": false, "ttl": 120, "tags": {{"process_type": "web",
            "instance_id": "{n}", "app_id": "{id}", "app_name": "application", "space_id": "{id}", "space_name": "production",
            "organization_id": "{id}", "organization_name": "organization"}}}}"#
        )
    });
    let endpoints: Vec<String> = endpoints.collect();
    let first = endpoints.first().map_or("", String::as_str);
    let all = endpoints.join(",");
    format!(r#"{{"app.example.com": [{all}], "ready.example.com": [{first}]}}"#)
}

//! Measures the counting of HTTP requests: section `http`.
//!
//! In come nginx and Gunicorn with one worker each, and wrk, which sends a small GET again and again on sixteen connections. Out
//! come the time of the kernel programs and the throughput. The programs see the sockets of the whole node, also those of wrk,
//! which is not watched; its part is taken from the figures of rounds in which nothing is watched.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use super::programs::{self, Empty, ProgramStatistics};
use super::statistics::{median, quantile};
use super::subject::{Subject, bound_to_us, free_port};
use super::table::{Row, nanoseconds, percent};
use crate::{command, http, python, setup};

const SECONDS: &str = "2s";
const CONNECTIONS: &str = "16";
/// wrk sends a request by one call, and receives the response by another one.
const CALLS_OF_WRK: f64 = 2.0;
const ROUNDS: usize = 10;
const START: Duration = Duration::from_secs(30);
/// Prefix of the names of the programs that count requests.
const PROGRAMS: &str = "http_";
const REQUEST_MOST_NS: f64 = 1000.0;
const CALL_MOST_NS: f64 = 60.0;

const APPLICATION: &str = "def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";

pub(super) fn cost(bench: &Bench) -> Result<Vec<Row>> {
    setup::ensure(setup::HTTP_BENCH)?;
    let site = Site::make(bench)?;
    let mut rows = Vec::new();
    for server in [Server::nginx(&site)?, Server::gunicorn(&site)?] {
        rows.extend(kernel_time(bench, &site, &server)?);
        rows.extend(throughput(bench, &site, &server)?);
    }
    Ok(rows)
}

/// The folder that names the servers, and configurations that watch them or nothing.
struct Site {
    folder: PathBuf,
    watched: String,
    unwatched: String,
}

impl Site {
    fn make(bench: &Bench) -> Result<Self> {
        let folder = bench.folder.join("http");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let configuration = |name: &str, pattern: &str| -> Result<String> {
            let text = format!(
                "process_names:\n- {{name: servers, cmdline: ['{pattern}'], http: true}}\n\
                 - {{name: '{{{{.Comm}}}}', cmdline: ['.+']}}\n"
            );
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            Ok(format!("-config.path={}", path.display()))
        };
        Ok(Self {
            watched: configuration(
                "watched.yaml",
                &format!("{}|^nginx: worker process", folder.display()),
            )?,
            unwatched: configuration("unwatched.yaml", "^no such program$")?,
            folder,
        })
    }
}

/// A server with one worker; it ends when this is dropped.
struct Server {
    name: &'static str,
    port: u16,
    child: Child,
}

impl Server {
    fn nginx(site: &Site) -> Result<Self> {
        let (port, folder) = (free_port()?, site.folder.display());
        let text = format!(
            "worker_processes 1; daemon off; pid {folder}/nginx.pid;
            events {{ worker_connections 1024; }}
            http {{
                access_log off; keepalive_requests 1000000000;
                server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }}
            }}"
        );
        let path = site.folder.join("nginx.conf");
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        let mut command = bound_to_us("/usr/sbin/nginx".as_ref());
        command.arg("-p").arg(&site.folder).arg("-c").arg(path);
        command.arg("-e").arg(site.folder.join("nginx.log"));
        Self::start("nginx", port, &mut command, site)
    }

    fn gunicorn(site: &Site) -> Result<Self> {
        let port = free_port()?;
        let path = site.folder.join("bench_app.py");
        fs::write(&path, APPLICATION).with_context(|| format!("write {}", path.display()))?;
        let mut command = bound_to_us(&python::servers()?.join("bin/python3"));
        command
            .args(["-m", "gunicorn", "bench_app:app", "--chdir"])
            .arg(&site.folder)
            .args(["--bind", &format!("127.0.0.1:{port}"), "--threads", "16"])
            .args([
                "--workers",
                "1",
                "--keep-alive",
                "60",
                "--no-control-socket",
            ]);
        Self::start("Gunicorn", port, &mut command, site)
    }

    fn start(name: &'static str, port: u16, command: &mut Command, site: &Site) -> Result<Self> {
        let log = File::create(site.folder.join(format!("{name}.out")))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", command::show(command)))?;
        let server = Self { name, port, child };
        let deadline = Instant::now() + START;
        while http::get(("127.0.0.1", port), "/", "").is_err() {
            ensure!(Instant::now() < deadline, "{name} does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Runs wrk against it; the number of requests. The agent is scraped once wrk runs, so it knows that wrk is not watched.
    fn load(&self, agent: &Subject) -> Result<f64> {
        let wrk = Command::new("/usr/bin/wrk")
            .args([
                "--threads",
                "1",
                "--connections",
                CONNECTIONS,
                "--duration",
                SECONDS,
            ])
            .arg(format!("http://127.0.0.1:{}/", self.port))
            .stdout(Stdio::piped())
            .spawn()
            .context("start wrk")?;
        agent.scrape()?;
        let output = wrk.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.contains(" requests in "));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        ensure!(!text.contains("Non-2xx"), "wrk had errors:\n{text}");
        number.with_context(|| format!("wrk reports no requests:\n{text}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(pid) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: takes two numbers; the child has not been waited for, so the number is still its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let _ = self.child.wait();
    }
}

/// Runs and time of the programs in one round of load, and its requests.
struct Round {
    runs: f64,
    beyond_empty_ns: f64,
    requests: f64,
}

fn round(bench: &Bench, server: &Server, configuration: &str) -> Result<Round> {
    let agent = bench.start_agent(&[configuration])?;
    let empty = Empty::attach()?;
    let requests = server.load(&agent)?;
    let empty_ns = empty.counted()?.each_ns();
    let (mut runs, mut time_ns) = (0.0, 0.0);
    for program in programs::of_process(agent.pid())? {
        if program.name.starts_with(PROGRAMS) {
            runs += program.runs;
            time_ns += program.time_ns;
        }
    }
    ensure!(
        runs > requests,
        "the programs that count requests did not run"
    );
    Ok(Round {
        runs,
        beyond_empty_ns: time_ns - runs * empty_ns,
        requests,
    })
}

/// Time of the programs beyond that of empty ones: of a call of a process that is not watched, and of a request to one that is.
fn kernel_time(bench: &Bench, site: &Site, server: &Server) -> Result<[Row; 2]> {
    const REPEATED: usize = 3;
    let _statistics = ProgramStatistics::enable()?;
    let (mut calls, mut requests) = (Vec::new(), Vec::new());
    for _ in 0..REPEATED {
        let unwatched = round(bench, server, &site.unwatched)?;
        let call_ns = unwatched.beyond_empty_ns / unwatched.runs;
        let watched = round(bench, server, &site.watched)?;
        let request_ns = watched.beyond_empty_ns / watched.requests;
        calls.push(call_ns);
        requests.push(request_ns - CALLS_OF_WRK * call_ns);
    }
    let (call_ns, request_ns) = (median(&calls), median(&requests));
    let name = server.name;
    Ok([
        Row::new(
            format!("{name}: kernel programs, a socket call of an unwatched process, beyond an empty program"),
            nanoseconds(call_ns),
        )
        .of("headcount", &calls)
        .target("≤ 60 ns", call_ns <= CALL_MOST_NS),
        Row::new(
            format!("{name}: kernel programs, a request to a watched process, beyond empty programs; Beyla and coroot as they publish it: 500 ns and 20,000 ns"),
            nanoseconds(request_ns),
        )
        .of("headcount", &requests)
        .target("≤ 1,000 ns", request_ns <= REQUEST_MOST_NS),
    ])
}

/// Requests a second with and without counting, and twice without, in turns.
fn throughput(bench: &Bench, site: &Site, server: &Server) -> Result<[Row; 2]> {
    const OFF: [&str; 2] = ["--no-collector.http", "--no-collector.http"];
    let kinds = [OFF[0], &site.watched, OFF[1]];
    let mut found = [const { Vec::new() }; 3];
    for turn in 0..ROUNDS {
        for step in 0..kinds.len() {
            let kind = (turn + step) % kinds.len();
            let agent = bench.start_agent(&[kinds[kind]])?;
            found[kind].push(server.load(&agent)?);
        }
    }
    let [off, on, again] = found;
    let compared = |what: &str, others: &[f64]| {
        let pairs = others.iter().zip(&off);
        let shares: Vec<f64> = pairs.map(|(other, off)| other / off - 1.0).collect();
        let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(&shares, share));
        Row::new(
            format!("{}: throughput, {what}", server.name),
            format!(
                "{} (quartiles {}, {})",
                percent(middle),
                percent(low),
                percent(high)
            ),
        )
    };
    let without = median(&off);
    Ok([
        compared(
            &format!("counted against not ({without:.0} requests in {SECONDS})"),
            &on,
        ),
        compared("not counted against not, the noise", &again),
    ])
}

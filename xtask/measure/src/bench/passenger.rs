//! Measures what instances of Passenger add to a scrape: section `passenger`.
//!
//! The instances are fakes: a directory as Passenger's, whose socket a thread of this process serves with a document of 20
//! processes, so that only the agent's work is measured. The processes sleep, and started when the document says, so the agent
//! finds the group of each. Two agents see the same instances, one with the collector and one without, and are scraped in turns:
//! the difference is the cost of asking and showing the instances, without the accounting of their processes. No package of
//! passenger-go-exporter exists, so it was measured once, by hand.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};

use super::scrapes::settle;
use super::statistics::median;
use super::subject::{Scrape, Subject, bound_to_us};
use super::table::{Row, megabytes, milliseconds};
use super::{Bench, metrics};

const INSTANCES: [usize; 3] = [0, 1, 10];
const PROCESSES: usize = 20;
const ROUNDS: usize = 60;
/// passenger-go-exporter 2024-03-14, one instance with a pool of one application, 200 scrapes.
const ORIGINAL: &str = "0.65 ms (1 tiny pool)";
/// Goals: CPU of one instance, and memory of ten.
const MOST_NS: f64 = 300_000.0;
const MOST_BYTES: u64 = 1_000_000;

/// For 0, 1 and 10 instances: an agent without the collector and one with it, scraped in turns.
pub(super) fn instances(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut none = None;
    for count in INSTANCES {
        let node = Node::measured(bench, count)?;
        rows.extend(node.rows());
        match &none {
            None => none = Some(node),
            Some(none) => rows.extend(node.added(none)),
        }
    }
    rows.push(Row::new(
        "passenger-go-exporter, as measured by hand",
        ORIGINAL.to_owned(),
    ));
    Ok(rows)
}

/// The costs of one agent.
#[derive(Default)]
struct Costs {
    cpu_ns: Vec<f64>,
    wall_ns: Vec<f64>,
    memory_bytes: u64,
}

/// The costs on a node with some instances.
struct Node {
    instances: usize,
    without: Costs,
    with: Costs,
}

impl Node {
    fn measured(bench: &Bench, instances: usize) -> Result<Self> {
        let registry = bench.folder.join("registry");
        fs::create_dir_all(&registry).with_context(|| format!("create {}", registry.display()))?;
        let fakes: Result<Vec<Fake>> = (0..instances).map(|n| Fake::start(&registry, n)).collect();
        let _fakes = fakes?;
        let core = ["-gather-smaps=false"];
        let off = bench.start_agent(&[&core[..], &["--no-collector.passenger"]].concat())?;
        let flag = format!("--collector.passenger.registry-dir={}", registry.display());
        let on = bench.start_agent(&[&core[..], &[&flag]].concat())?;
        settle(&off)?;
        join_groups(&on, instances)?;
        let [mut without, mut with] = [(); 2].map(|()| Costs::default());
        for _ in 0..ROUNDS {
            without.add(off.scrape()?, 0)?;
            with.add(on.scrape()?, instances)?;
        }
        without.memory_bytes = off.memory()?.now_bytes;
        with.memory_bytes = on.memory()?.now_bytes;
        Ok(Self {
            instances,
            without,
            with,
        })
    }

    fn rows(&self) -> Vec<Row> {
        let count = self.instances;
        let mut rows = Vec::new();
        for (costs, which) in [(&self.without, "off"), (&self.with, "on")] {
            let node = format!("{count} instances of {PROCESSES} processes, collector {which}");
            for (what, times) in [("CPU", &costs.cpu_ns), ("wall", &costs.wall_ns)] {
                let row = Row::new(
                    format!("{what} per scrape, {node}"),
                    milliseconds(median(times)),
                );
                rows.push(row.of("headcount", times));
            }
            let memory = megabytes(costs.memory_bytes);
            rows.push(Row::new(format!("RSS, {node}"), memory));
        }
        rows
    }

    /// What an instance adds; `none` is a node without instances.
    fn added(&self, none: &Self) -> Vec<Row> {
        let count = self.instances as f64;
        let pairs = self.with.cpu_ns.iter().zip(&self.without.cpu_ns);
        let differences: Vec<f64> = pairs.map(|(with, without)| with - without).collect();
        let asking = median(&differences) / count;
        let name = format!("CPU added by asking and showing an instance, of {count}");
        let asking = Row::new(name, milliseconds(asking)).target("≤ 0.3 ms", asking <= MOST_NS);
        let whole = (median(&self.with.cpu_ns) - median(&none.with.cpu_ns)) / count;
        let name = format!("the same, and the accounting of its {PROCESSES} processes");
        let whole = Row::new(name, milliseconds(whole));
        // Less the time of the collector without instances.
        let memory = self.with.memory_bytes + none.without.memory_bytes;
        let memory = memory.saturating_sub(self.without.memory_bytes + none.with.memory_bytes);
        let name = format!("memory added by asking and showing {count} instances");
        let memory = Row::new(name, megabytes(memory)).target("≤ 1 MB", memory <= MOST_BYTES);
        vec![asking, whole, memory]
    }
}

impl Costs {
    /// Adds a scrape, which must show the processes of so many instances.
    fn add(&mut self, scrape: Scrape, instances: usize) -> Result<()> {
        let shown = metrics::samples(&scrape.body, "passenger_go_process_processed").count();
        let served = instances * PROCESSES;
        ensure!(
            shown == served,
            "{shown} of {served} processes of Passenger are shown: nothing to compare"
        );
        self.cpu_ns.push(scrape.cpu_ns);
        self.wall_ns.push(scrape.wall_ns);
        Ok(())
    }
}

/// Makes scrapes until the agent knows the group of each instance's processes.
fn join_groups(agent: &Subject, instances: usize) -> Result<()> {
    const MOST: usize = 20;
    for _ in 0..MOST {
        let body = agent.scrape()?.body;
        if metrics::samples(&body, "passenger_app_group_info").count() == instances {
            return Ok(());
        }
    }
    bail!("after {MOST} scrapes the agent does not know the groups of {instances} instances")
}

/// An instance that answers with the same documents each time. Its directory is removed when this is dropped.
struct Fake {
    directory: PathBuf,
    is_over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
    _workers: Workers,
    /// Its lock shows the agent that the instance lives.
    _lock: File,
}

impl Fake {
    fn start(registry: &Path, number: usize) -> Result<Self> {
        let directory = registry.join(format!("passenger.bench{number:02}"));
        // A run that was interrupted has left its own.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("agents.s"))
            .with_context(|| format!("create {}", directory.display()))?;
        let pid = std::process::id().to_string();
        for (name, text) in [
            ("properties.json", properties(number, &pid)),
            ("watchdog.pid", pid.clone()),
            ("core.pid", pid),
            ("read_only_admin_password.txt", "x".repeat(24)),
            ("creation_finalized", String::new()),
        ] {
            fs::write(directory.join(name), text).with_context(|| format!("write {name}"))?;
        }
        let secret = directory.join("read_only_admin_password.txt");
        fs::set_permissions(&secret, Permissions::from_mode(0o400))?;
        let lock = File::create(directory.join("lock"))?;
        lock.try_lock().context("lock of a fake instance")?;
        let workers = Workers::start()?;
        let listener = UnixListener::bind(directory.join("agents.s/core_api"))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let documents = Arc::new([pool(number, &workers), SERVER.to_owned()]);
        let server = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let documents = Arc::clone(&documents);
                // Each connection by itself, because a client may open the next before it closes the last. It ends with its client.
                std::thread::spawn(move || answer(&stream, &documents));
            }
        });
        Ok(Self {
            directory,
            is_over,
            server: Some(server),
            _workers: workers,
            _lock: lock,
        })
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the server; it may have ended by itself.
        let _ = UnixStream::connect(self.directory.join("agents.s/core_api"));
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The processes of a fake. They end when this is dropped.
struct Workers {
    began: Duration,
    all: Vec<Child>,
    ended: Duration,
}

impl Workers {
    fn start() -> Result<Self> {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH);
        let mut workers = Self {
            began: now()?,
            all: Vec::new(),
            ended: Duration::ZERO,
        };
        for _ in 0..PROCESSES {
            let mut command = bound_to_us(Path::new("sleep"));
            let worker = command.arg("infinity").spawn().context("start a worker")?;
            workers.all.push(worker);
        }
        workers.ended = now()?;
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.all {
            // It may have ended by itself.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

/// Answers requests until the client has no more.
fn answer(mut stream: &UnixStream, [pool, server]: &[String; 2]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next().transpose()? {
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let (kind, body) = match request.contains(" /pool.xml ") {
            true => ("text/xml", pool),
            false => ("application/json", server),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nStatus: 200 OK\r\nContent-Type: {kind}\r\nConnection: keep-alive\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
    }
    Ok(())
}

fn properties(number: usize, pid: &str) -> String {
    format!(
        r#"{{"instance_dir": {{"created_at": 1795947476, "created_at_monotonic_usec": 63609196727, "major_version": 4, "minor_version": 0}},
        "instance_id": "bench", "integration_mode": "apache", "name": "bench{number:03}", "passenger_version": "6.0.17",
        "server_software": "Apache Phusion_Passenger/6.0.17", "watchdog_pid": {pid}}}"#
    )
}

const SERVER: &str = r#"{"thread1": {"active_client_count": 3, "disconnected_client_count": 0, "peak_active_client_count": 9,
    "total_bytes_consumed": 505000, "total_clients_accepted": 6000, "total_requests_begun": 7000,
    "turbocaching": {"fetches": 10, "hit_ratio": 0.5, "hits": 5, "store_success_ratio": 1.0, "store_successes": 2, "stores": 2}},
    "threads": 1}"#;

/// One application with these workers, with the elements of Passenger 6.0.17.
fn pool(number: usize, workers: &Workers) -> String {
    let (began, ended) = (workers.began.as_micros(), workers.ended.as_micros());
    let name = format!("/srv/bench/app{number} &#40;production&#41;");
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\" ?>\n<info version=\"3\"><passenger_version>6.0.17</passenger_version>\
         <group_count>1</group_count><process_count>{PROCESSES}</process_count><max>{PROCESSES}</max>\
         <capacity_used>{PROCESSES}</capacity_used><get_wait_list_size>0</get_wait_list_size><supergroups><supergroup>\
         <name>{name}</name><state>READY</state><get_wait_list_size>0</get_wait_list_size><capacity_used>{PROCESSES}</capacity_used>\
         <group default=\"true\"><name>{name}</name><component_name>{name}</component_name><app_root>/srv/bench/app{number}</app_root>\
         <app_type>ruby</app_type><environment>production</environment><uuid>zey3XPoQsMkmIbzI6SFF</uuid>\
         <enabled_process_count>{PROCESSES}</enabled_process_count><disabling_process_count>0</disabling_process_count>\
         <disabled_process_count>0</disabled_process_count><capacity_used>{PROCESSES}</capacity_used>\
         <get_wait_list_size>0</get_wait_list_size><disable_wait_list_size>0</disable_wait_list_size>\
         <processes_being_spawned>0</processes_being_spawned><life_status>ALIVE</life_status><user>root</user><uid>0</uid>\
         <group>root</group><gid>0</gid><options><app_root>/srv/bench/app{number}</app_root><app_type>ruby</app_type>\
         <start_command>ruby rack-loader.rb</start_command><environment>production</environment><api_key>bench</api_key>\
         <min_processes>1</min_processes><max_processes>0</max_processes></options><processes>"
    );
    for (process, worker) in workers.all.iter().enumerate() {
        let pid = worker.id();
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "<process><pid>{pid}</pid><sticky_session_id>1883770373</sticky_session_id><gupid>1c8bba9-bench{number}-{process}</gupid>\
             <concurrency>1</concurrency><sessions>{}</sessions><busyness>0</busyness><processed>6{process}</processed>\
             <spawner_creation_time>{began}</spawner_creation_time><spawn_start_time>{began}</spawn_start_time>\
             <spawn_end_time>{ended}</spawn_end_time><last_used>{ended}</last_used>\
             <last_used_desc>0s ago</last_used_desc><uptime>54s</uptime><life_status>ALIVE</life_status><enabled>ENABLED</enabled>\
             <has_metrics>true</has_metrics><cpu>0</cpu><rss>15576</rss><pss>8332</pss><private_dirty>2576</private_dirty>\
             <swap>0</swap><real_memory>2576</real_memory><vmsize>213376</vmsize><process_group_id>21193</process_group_id>\
             <command>Passenger RubyApp: /srv/bench/app{number}</command></process>",
            process % 2
        );
    }
    text.push_str("</processes></group></supergroup></supergroups></info>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fake_instance_answers_on_its_socket_and_leaves_nothing() {
        let registry = std::env::temp_dir().join(format!("bench-passenger-{}", std::process::id()));
        let fake = Fake::start(&registry, 7).expect("a fake instance");
        let socket = fake.directory.join("agents.s/core_api");
        let mut stream = UnixStream::connect(socket).expect("a listener");
        stream
            .write_all(
                b"GET /pool.xml HTTP/1.1\r\nhost: x\r\n\r\nGET /server.json HTTP/1.1\r\n\r\n",
            )
            .expect("two requests");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("no more requests");
        let answer = std::io::read_to_string(&stream).expect("two answers");
        assert_eq!(answer.matches("<process>").count(), 20);
        assert_eq!(answer.matches("total_requests_begun").count(), 1);
        drop(fake);
        fs::remove_dir(&registry).expect("an empty registry");
    }
}

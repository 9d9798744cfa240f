//! Measures what instances of Passenger add to a scrape: section `passenger`.
//!
//! The instances are fakes: a directory as Passenger's, whose socket a thread of this process serves with a document of 20
//! processes, so that only the agent's work is measured. The original cannot be beside it: Debian has no package of it. Its figure
//! is that of its measurement by hand.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};

use super::scrapes::settle;
use super::statistics::median;
use super::subject::Subject;
use super::table::{Row, megabytes, milliseconds};
use super::{Bench, metrics};

const INSTANCES: [usize; 3] = [0, 1, 10];
const PROCESSES: u32 = 20;
const ROUNDS: usize = 40;
/// passenger-go-exporter 2024-03-14, one instance with a pool of one application, 200 scrapes.
const ORIGINAL: &str = "0.65 ms (1 tiny pool)";
/// Targets: CPU of one instance, and memory of ten.
const MOST_NS: f64 = 300_000.0;
const MOST_BYTES: u64 = 1_000_000;

/// Agents with the collector off, and with 0, 1 and 10 instances, scraped in turns.
pub(super) fn instances(bench: &Bench) -> Result<Vec<Row>> {
    let core = ["-gather-smaps=false"];
    let off = bench.start_agent(&[&core[..], &["--no-collector.passenger"]].concat())?;
    let mut nodes = vec![Measured::new(
        "without the collector".to_owned(),
        off,
        Vec::new(),
    )];
    for count in INSTANCES {
        let registry = bench.folder.join(format!("registry-{count}"));
        let fakes: Result<Vec<Fake>> = (0..count).map(|n| Fake::start(&registry, n)).collect();
        fs::create_dir_all(&registry).with_context(|| format!("create {}", registry.display()))?;
        let flag = format!("--collector.passenger.registry-dir={}", registry.display());
        let agent = bench.start_agent(&[&core[..], &[&flag]].concat())?;
        let name = format!("{count} instances of {PROCESSES} processes");
        nodes.push(Measured::new(name, agent, fakes?));
    }
    for node in &nodes {
        settle(&node.agent)?;
    }
    for _ in 0..ROUNDS {
        for node in &mut nodes {
            node.scrape()?;
        }
    }
    rows(&nodes)
}

/// An agent, and what it asks.
struct Measured {
    name: String,
    agent: Subject,
    fakes: Vec<Fake>,
    cpu_ns: Vec<f64>,
    wall_ns: Vec<f64>,
}

impl Measured {
    fn new(name: String, agent: Subject, fakes: Vec<Fake>) -> Self {
        Self {
            name,
            agent,
            fakes,
            cpu_ns: Vec::new(),
            wall_ns: Vec::new(),
        }
    }

    fn scrape(&mut self) -> Result<()> {
        let scrape = self.agent.scrape()?;
        let seen = metrics::samples(&scrape.body, "passenger_go_process_processed").count();
        let served = self.fakes.len() * usize::try_from(PROCESSES)?;
        ensure!(
            seen == served,
            "{seen} of {served} processes of Passenger were seen: nothing to compare"
        );
        self.cpu_ns.push(scrape.cpu_ns);
        self.wall_ns.push(scrape.wall_ns);
        Ok(())
    }
}

fn rows(nodes: &[Measured]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for node in nodes {
        let cpu = Row::new(
            format!("CPU per scrape, {}", node.name),
            milliseconds(median(&node.cpu_ns)),
        );
        rows.push(cpu.of("headcount", &node.cpu_ns));
        let wall = Row::new(
            format!("wall per scrape, {}", node.name),
            milliseconds(median(&node.wall_ns)),
        );
        rows.push(wall.of("headcount", &node.wall_ns));
        let memory = megabytes(node.agent.memory()?.now_bytes);
        rows.push(Row::new(format!("RSS, {}", node.name), memory));
    }
    if let [_, none, .., most] = nodes {
        let count = most.fakes.len() as f64;
        let each = (median(&most.cpu_ns) - median(&none.cpu_ns)) / count;
        let row = Row::new("CPU added by an instance, of ten", milliseconds(each));
        rows.push(row.target("≤ 0.3 ms", each <= MOST_NS));
        rows.push(Row::new(
            "passenger-go-exporter, as measured by hand",
            ORIGINAL.to_owned(),
        ));
        let now = |node: &Measured| Ok::<u64, anyhow::Error>(node.agent.memory()?.now_bytes);
        let added = now(most)?.saturating_sub(now(none)?);
        let row = Row::new("memory added by ten instances", megabytes(added));
        rows.push(row.target("≤ 1 MB", added <= MOST_BYTES));
    }
    Ok(rows)
}

/// An instance that answers with the same documents each time. Its directory is removed when this is dropped.
struct Fake {
    directory: PathBuf,
    is_over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
    /// Held, by which the agent knows that the instance lives.
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
        let listener = UnixListener::bind(directory.join("agents.s/core_api"))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let documents = Arc::new([pool(number), SERVER.to_owned()]);
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

/// One application with [`PROCESSES`] processes, with the elements of Passenger 6.0.17.
fn pool(number: usize) -> String {
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
    for process in 0..PROCESSES {
        let pid = 100_000 + process;
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "<process><pid>{pid}</pid><sticky_session_id>1883770373</sticky_session_id><gupid>1c8bba9-bench{number}-{process}</gupid>\
             <concurrency>1</concurrency><sessions>{}</sessions><busyness>0</busyness><processed>6{process}</processed>\
             <spawner_creation_time>1795947443035558</spawner_creation_time><spawn_start_time>1795947443269135</spawn_start_time>\
             <spawn_end_time>1795947443295344</spawn_end_time><last_used>1795947497646891</last_used>\
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

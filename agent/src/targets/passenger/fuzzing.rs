//! Fuzz targets for the documents of an instance: any bytes, and pools that are written and read back.

use std::collections::HashSet;
use std::fmt::Write as _;

use arbitrary::{Arbitrary, Unstructured};
use serde_json::Value;

use super::pool::{
    AppPool, Application, MAX_APPLICATIONS, MAX_WORKERS, Worker, WorkerMemory, WorkerState,
};
use super::properties::Properties;
use super::server::ServerCounts;
use super::text::{self, MAX_NAME, MAX_WORD};

/// Parses the input as a pool, and makes a pool of it. Asserts that a parsed pool keeps its bounds, and that any pool reads back
/// from what [`write`] writes of it.
pub(crate) fn passenger_pool(input: &[u8]) {
    let found = AppPool::parse(input);
    assert_eq!(found, AppPool::parse(input));
    if let Ok(pool) = found {
        assert_bounds(&pool);
        assert_reads_back(pool, Style::Passenger);
    }
    let mut source = Unstructured::new(input);
    let Ok((style, made)) = Arbitrary::arbitrary(&mut source) else {
        return;
    };
    assert_reads_back(pool(made), style);
}

fn assert_bounds(pool: &AppPool) {
    assert!(pool.version.len() <= MAX_WORD);
    assert!(pool.applications.len() <= MAX_APPLICATIONS);
    let workers = || pool.applications.iter().flat_map(|one| &one.workers);
    assert!(workers().count() <= MAX_WORKERS);
    assert!(workers().all(|worker| worker.pid > 0 && worker.gupid.len() <= MAX_WORD));
    let gupids: HashSet<&str> = workers().map(|worker| &*worker.gupid).collect();
    assert_eq!(gupids.len(), workers().count());
    let names: HashSet<&str> = pool.applications.iter().map(|one| &*one.name).collect();
    assert_eq!(names.len(), pool.applications.len());
    assert!(
        names
            .iter()
            .all(|name| (1..=MAX_NAME).contains(&name.len()))
    );
}

fn assert_reads_back(mut pool: AppPool, style: Style) {
    let written = write(&pool, style);
    // A name that looks cut is cut again.
    for application in &mut pool.applications {
        application.name = text::name(&application.name).expect("a name");
    }
    assert_eq!(AppPool::parse(&written), Ok(pool));
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Style {
    /// As Passenger does: every character but letters and digits is written as a numeric reference.
    Passenger,
    /// In ISO-8859-1, with references only where they are needed.
    Latin1,
    /// In UTF-8, with CDATA, comments, white space and elements that mean nothing.
    Noise,
}

/// A pool with arbitrary numbers and names.
#[derive(Debug, Arbitrary)]
struct MadePool<'a> {
    numbers: [u64; 3],
    applications: Vec<MadeApplication<'a>>,
}

#[derive(Debug, Arbitrary)]
struct MadeApplication<'a> {
    name: &'a str,
    numbers: [u64; 2],
    workers: Vec<MadeWorker>,
}

#[derive(Debug, Arbitrary)]
struct MadeWorker {
    pid: u32,
    numbers: [u64; 5],
    state: u8,
    kilobytes: [Option<i64>; 5],
}

/// The pool that is meant: its names are distinct and begin with a number, its gupids are numbers.
fn pool(made: MadePool<'_>) -> AppPool {
    let mut gupids = 0..;
    let applications = made
        .applications
        .iter()
        .enumerate()
        .map(|(n, one)| Application {
            // XML has no reference to NUL.
            name: format!("{n}{}", one.name.replace('\0', "")),
            waiting: one.numbers[0],
            spawning: one.numbers[1],
            workers: one
                .workers
                .iter()
                .zip(&mut gupids)
                .map(|(one, n)| worker(one, n))
                .collect(),
        });
    AppPool {
        version: "6.0.17".to_owned(),
        max: made.numbers[0],
        capacity_used: made.numbers[1],
        waiting: made.numbers[2],
        applications: applications.collect(),
    }
}

fn worker(made: &MadeWorker, n: u64) -> Worker {
    let bytes = |kilobytes: Option<i64>| u64::try_from(kilobytes?).ok()?.checked_mul(1024);
    let [real, resident, proportional, private_dirty, swap] = made.kilobytes.map(bytes);
    let [
        sessions,
        processed,
        spawned_us,
        spawn_began_us,
        last_used_us,
    ] = made.numbers;
    Worker {
        pid: (made.pid >> 1).max(1),
        gupid: n.to_string(),
        sessions,
        processed,
        spawned_us,
        spawn_began_us,
        last_used_us,
        state: match made.state % 5 {
            0 => WorkerState::Enabled,
            1 => WorkerState::Disabling,
            2 => WorkerState::Disabled,
            3 => WorkerState::Detached,
            _ => WorkerState::ShuttingDown,
        },
        memory: WorkerMemory {
            real,
            resident,
            proportional,
            private_dirty,
            swap,
        },
    }
}

/// The document of a pool.
fn write(pool: &AppPool, style: Style) -> Vec<u8> {
    let is_latin1 = style != Style::Noise;
    let encoding = if is_latin1 { "iso-8859-1" } else { "utf-8" };
    let mut out = XmlText {
        text: String::new(),
        style,
    };
    let _ = write!(
        out.text,
        "<?xml version=\"1.0\" encoding=\"{encoding}\" ?>\n<info version=\"3\">"
    );
    out.field("passenger_version", &pool.version);
    out.field("max", pool.max);
    out.field("capacity_used", pool.capacity_used);
    out.field("get_wait_list_size", pool.waiting);
    out.text.push_str("<supergroups>");
    for application in &pool.applications {
        out.text
            .push_str("<supergroup><name>none</name><group default=\"true\">");
        out.application(application);
        out.text.push_str("</group></supergroup>");
    }
    out.text.push_str("</supergroups></info>");
    if is_latin1 {
        let byte = |c| u8::try_from(u32::from(c)).expect("a character of ISO-8859-1");
        out.text.chars().map(byte).collect()
    } else {
        out.text.into_bytes()
    }
}

struct XmlText {
    text: String,
    style: Style,
}

impl XmlText {
    fn application(&mut self, application: &Application) {
        self.field("name", &application.name);
        self.field("get_wait_list_size", application.waiting);
        self.field("processes_being_spawned", application.spawning);
        self.text
            .push_str("<options><name>no</name><api_key>secret</api_key></options><processes>");
        for worker in &application.workers {
            self.text.push_str("<process>");
            self.worker(worker);
            self.text.push_str("</process>");
        }
        self.text.push_str("</processes>");
    }

    fn worker(&mut self, worker: &Worker) {
        let (life_status, enabled) = match worker.state {
            WorkerState::Enabled => ("ALIVE", "ENABLED"),
            WorkerState::Disabling => ("ALIVE", "DISABLING"),
            WorkerState::Disabled => ("ALIVE", "DISABLED"),
            WorkerState::Detached => ("ALIVE", "DETACHED"),
            WorkerState::ShuttingDown => ("SHUTDOWN_TRIGGERED", "ENABLED"),
        };
        self.field("pid", worker.pid);
        self.field("gupid", &worker.gupid);
        self.field("sessions", worker.sessions);
        self.field("processed", worker.processed);
        self.field("spawn_start_time", worker.spawn_began_us);
        self.field("spawn_end_time", worker.spawned_us);
        self.field("last_used", worker.last_used_us);
        self.field("life_status", life_status);
        self.field("enabled", enabled);
        for (name, bytes) in [
            ("real_memory", worker.memory.real),
            ("rss", worker.memory.resident),
            ("pss", worker.memory.proportional),
            ("private_dirty", worker.memory.private_dirty),
            ("swap", worker.memory.swap),
        ] {
            match bytes {
                Some(bytes) => self.field(name, bytes / 1024),
                // Both mean that it is unknown.
                None if self.style == Style::Noise => {}
                None => self.field(name, -1),
            }
        }
    }

    fn field(&mut self, name: &str, value: impl ToString) {
        let _ = write!(self.text, "<{name}>");
        for c in value.to_string().chars() {
            self.character(c);
        }
        let _ = write!(self.text, "</{name}>");
        if self.style == Style::Noise {
            self.text
                .push_str("\n <!-- <pid> --><new a='>'><name/><pid>&none;</pid></new><?x?>");
        }
    }

    fn character(&mut self, c: char) {
        let is_markup = matches!(c, '<' | '>' | '&');
        let must_refer = match self.style {
            Style::Passenger => !c.is_ascii_alphanumeric(),
            Style::Latin1 => is_markup || u32::from(c) > 0xff,
            Style::Noise => false,
        };
        let written = match c {
            _ if must_refer => write!(self.text, "&#{};", u32::from(c)),
            _ if is_markup => write!(self.text, "<![CDATA[{c}]]><!---->"),
            _ => write!(self.text, "{c}"),
        };
        written.expect("memory");
    }
}

/// Parses the input as `server.json` and as `properties.json`. Asserts that accepted documents keep their bounds and equal the
/// result of a general JSON parser, if that one accepts them, too: it also refuses mistakes inside of skipped fields.
pub(crate) fn passenger_json(input: &[u8]) {
    let document: Option<Value> = serde_json::from_slice(input).ok();
    let counts = ServerCounts::parse(input);
    assert_eq!(counts, ServerCounts::parse(input));
    if let (Ok(counts), Some(document)) = (counts, &document) {
        assert_eq!(counts, sums(document));
    }
    let properties = Properties::parse(input);
    assert_eq!(properties, Properties::parse(input));
    let Ok(properties) = properties else { return };
    assert!((1..=64).contains(&properties.name.len()));
    assert!((1..=MAX_WORD).contains(&properties.version.len()));
    assert!((1..=MAX_WORD).contains(&properties.integration_mode.len()));
    assert!(i32::try_from(properties.watchdog_pid).is_ok_and(|pid| pid > 0));
    if let Some(document) = document {
        let directory = &member(&document, 0, "instance_dir");
        assert_eq!(member(directory, 0, "created_at"), properties.created_at);
        assert_eq!(member(directory, 1, "major_version"), 4);
        assert_eq!(
            member(&document, 1, "integration_mode"),
            properties.integration_mode
        );
        assert_eq!(member(&document, 2, "name"), properties.name);
        assert_eq!(
            member(&document, 3, "passenger_version"),
            properties.version
        );
        assert_eq!(
            member(&document, 4, "watchdog_pid"),
            properties.watchdog_pid
        );
    }
}

/// A member of an object. Serde also takes an array for a struct: then its element at `index`.
fn member(value: &Value, index: usize, name: &str) -> Value {
    let member = value.get(name).or_else(|| value.get(index));
    member.cloned().unwrap_or_default()
}

/// The sums over the members of a document whose names are `thread` and a number.
fn sums(document: &Value) -> ServerCounts {
    let is_thread = |name: &str| {
        name.strip_prefix("thread")
            .is_some_and(|n| n.parse::<u32>().is_ok())
    };
    let members = document.as_object().expect("an object");
    let threads = || {
        members
            .iter()
            .filter(|(name, _)| is_thread(name))
            .map(|(_, thread)| thread)
    };
    assert_eq!(members["threads"], threads().count());
    let turbocaches = threads().map(|thread| member(thread, 3, "turbocaching"));
    let turbocaches: Vec<Value> = turbocaches.collect();
    let sum = |values: &mut dyn Iterator<Item = Value>| {
        values.fold(0_u64, |sum, value| {
            sum.saturating_add(value.as_u64().unwrap_or(0))
        })
    };
    let of_thread = |index, name| sum(&mut threads().map(|thread| member(thread, index, name)));
    let of_cache =
        |index, name| sum(&mut turbocaches.iter().map(|cache| member(cache, index, name)));
    ServerCounts {
        clients_accepted: of_thread(0, "total_clients_accepted"),
        requests_begun: of_thread(1, "total_requests_begun"),
        clients_active: of_thread(2, "active_client_count"),
        turbocache_fetches: of_cache(0, "fetches"),
        turbocache_hits: of_cache(1, "hits"),
        turbocache_stores: of_cache(2, "stores"),
    }
}

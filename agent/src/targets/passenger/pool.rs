//! The pool of an instance, as `/pool.xml` shows it (document version 3).
//!
//! In come the bytes of the document, out come the fields that the metrics use, or why there are none. An element counts by its
//! path: `name`, `group` and `get_wait_list_size` occur on several levels. Other elements are skipped, as newer versions may have
//! more; so `options` with its secrets is never kept. A field that occurs twice, or is missing and not optional, refuses the
//! document. How the applications are shown is left to others.

use std::collections::HashSet;

use super::document::InvalidDocument;
use super::text;
use super::xml::{Elements, Once, decode};

/// Longest document, bytes.
pub(super) const MAX_DOCUMENT: usize = 4 << 20;
/// Most applications of a document.
pub(super) const MAX_APPLICATIONS: usize = 1024;
/// Most workers of a document, in all its applications.
pub(super) const MAX_WORKERS: usize = 4096;

/// The pool of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AppPool {
    /// `passenger_version`, at most 64 bytes of visible ASCII.
    pub(super) version: String,
    /// `max`: most processes.
    pub(super) max: u64,
    /// `capacity_used`: processes, those being spawned included.
    pub(super) capacity_used: u64,
    /// `get_wait_list_size` of the pool: requests that wait for any capacity.
    pub(super) waiting: u64,
    /// The applications, in the order of the document.
    pub(super) applications: Vec<Application>,
}

/// One application: a `group` of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Application {
    /// `name`: the root, and the environment in brackets under Apache and nginx. Not empty, at most 256 bytes: a longer one is cut
    /// and ends in a hash of the whole. Unique in the pool.
    pub(super) name: String,
    /// `get_wait_list_size` of the group: requests that wait for a process of this application.
    pub(super) waiting: u64,
    /// `processes_being_spawned`.
    pub(super) spawning: u64,
    pub(super) workers: Vec<Worker>,
}

/// One process of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worker {
    /// The process id in the pid namespace of the instance, above 0. Two workers have the same one while Passenger keeps a worker
    /// that has ended, and its id is used again.
    pub(super) pid: u32,
    /// `gupid`: unique in the pool, also if a pid is used again. At most 64 bytes of visible ASCII.
    pub(super) gupid: String,
    /// `sessions`: requests in progress.
    pub(super) sessions: u64,
    /// `processed`: requests finished since the process started.
    pub(super) processed: u64,
    /// `spawn_end_time`, microseconds since the epoch.
    pub(super) spawned_us: u64,
    /// `spawn_start_time`, microseconds since the epoch.
    pub(super) spawn_began_us: u64,
    /// `last_used`, microseconds since the epoch.
    pub(super) last_used_us: u64,
    pub(super) state: WorkerState,
    pub(super) memory: WorkerMemory,
}

/// The one state of a worker: `life_status` wins over `enabled`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum WorkerState {
    #[default]
    Enabled,
    Disabling,
    Disabled,
    Detached,
    /// `life_status` is not ALIVE.
    ShuttingDown,
}

/// The last measurement of a worker's memory, bytes; `None` if it was not measured, or the value is negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WorkerMemory {
    /// `real_memory`.
    pub(super) real: Option<u64>,
    /// `rss`.
    pub(super) resident: Option<u64>,
    /// `pss`.
    pub(super) proportional: Option<u64>,
    /// `private_dirty`.
    pub(super) private_dirty: Option<u64>,
    /// `swap`.
    pub(super) swap: Option<u64>,
}

impl AppPool {
    /// Parses the document. An unknown `enabled` is refused; an unknown `life_status` is one that is not ALIVE.
    pub(super) fn parse(document: &[u8]) -> Result<Self, InvalidDocument> {
        if document.len() > MAX_DOCUMENT {
            return Err(InvalidDocument::Limit("length of the document"));
        }
        let text = decode(document)?;
        let mut reading = PoolReading {
            elements: Elements::open(&text, "info")?,
            workers: 0,
        };
        let pool = reading.pool()?;
        reading.elements.finish()?;
        let workers = pool.applications.iter().flat_map(|one| &one.workers);
        distinct("name", pool.applications.iter().map(|one| &*one.name))?;
        distinct("gupid", workers.map(|one| &*one.gupid))?;
        Ok(pool)
    }
}

/// A document that is being read. Each function reads the content of the open element, and closes it.
struct PoolReading<'a> {
    elements: Elements<'a>,
    /// Workers up to now.
    workers: usize,
}

impl PoolReading<'_> {
    fn pool(&mut self) -> Result<AppPool, InvalidDocument> {
        let mut version = Once::new("passenger_version");
        let mut max = Once::new("max");
        let mut capacity_used = Once::new("capacity_used");
        let mut waiting = Once::new("get_wait_list_size");
        let mut applications = Once::new("supergroups");
        while let Some(tag) = self.elements.child()? {
            let elements = &mut self.elements;
            match &*tag {
                "passenger_version" => version.read(elements, text::word)?,
                "max" => max.read(elements, number)?,
                "capacity_used" => capacity_used.read(elements, number)?,
                "get_wait_list_size" => waiting.read(elements, number)?,
                "supergroups" => applications.set(self.applications()?)?,
                _ => elements.skip()?,
            }
        }
        Ok(AppPool {
            version: version.required()?,
            max: max.required()?,
            capacity_used: capacity_used.required()?,
            waiting: waiting.required()?,
            applications: applications.required()?,
        })
    }

    /// The groups of all supergroups.
    fn applications(&mut self) -> Result<Vec<Application>, InvalidDocument> {
        let mut applications = Vec::new();
        self.each("supergroup", |reading| {
            reading.each("group", |reading| {
                if applications.len() == MAX_APPLICATIONS {
                    return Err(InvalidDocument::Limit("number of applications"));
                }
                applications.push(reading.application()?);
                Ok(())
            })
        })?;
        Ok(applications)
    }

    fn application(&mut self) -> Result<Application, InvalidDocument> {
        let mut name = Once::new("name");
        let mut waiting = Once::new("get_wait_list_size");
        let mut spawning = Once::new("processes_being_spawned");
        let mut workers = Once::new("processes");
        while let Some(tag) = self.elements.child()? {
            let elements = &mut self.elements;
            match &*tag {
                "name" => name.read(elements, text::name)?,
                "get_wait_list_size" => waiting.read(elements, number)?,
                "processes_being_spawned" => spawning.read(elements, number)?,
                "processes" => workers.set(self.workers()?)?,
                _ => elements.skip()?,
            }
        }
        Ok(Application {
            name: name.required()?,
            waiting: waiting.required()?,
            spawning: spawning.required()?,
            workers: workers.required()?,
        })
    }

    fn workers(&mut self) -> Result<Vec<Worker>, InvalidDocument> {
        let mut workers = Vec::new();
        self.each("process", |reading| {
            if reading.workers == MAX_WORKERS {
                return Err(InvalidDocument::Limit("number of workers"));
            }
            reading.workers += 1;
            workers.push(reading.worker()?);
            Ok(())
        })?;
        Ok(workers)
    }

    fn worker(&mut self) -> Result<Worker, InvalidDocument> {
        let mut pid = Once::new("pid");
        let mut gupid = Once::new("gupid");
        let mut sessions = Once::new("sessions");
        let mut processed = Once::new("processed");
        let mut spawned_us = Once::new("spawn_end_time");
        let mut spawn_began_us = Once::new("spawn_start_time");
        let mut last_used_us = Once::new("last_used");
        let mut is_alive = Once::new("life_status");
        let mut enabled = Once::new("enabled");
        let mut memory = MemoryFields::new();
        while let Some(tag) = self.elements.child()? {
            let elements = &mut self.elements;
            match &*tag {
                "pid" => pid.read(elements, process_id)?,
                "gupid" => gupid.read(elements, text::word)?,
                "sessions" => sessions.read(elements, number)?,
                "processed" => processed.read(elements, number)?,
                "spawn_end_time" => spawned_us.read(elements, number)?,
                "spawn_start_time" => spawn_began_us.read(elements, number)?,
                "last_used" => last_used_us.read(elements, number)?,
                "life_status" => is_alive.read(elements, |text| Some(text == "ALIVE"))?,
                "enabled" => enabled.read(elements, WorkerState::of_enabled)?,
                other => match memory.field(other) {
                    Some(field) => field.read(elements, bytes)?,
                    None => elements.skip()?,
                },
            }
        }
        let enabled = enabled.required()?;
        let is_alive = is_alive.required()?;
        Ok(Worker {
            pid: pid.required()?,
            gupid: gupid.required()?,
            sessions: sessions.required()?,
            processed: processed.required()?,
            spawned_us: spawned_us.required()?,
            spawn_began_us: spawn_began_us.required()?,
            last_used_us: last_used_us.required()?,
            state: if is_alive {
                enabled
            } else {
                WorkerState::ShuttingDown
            },
            memory: memory.finish(),
        })
    }

    /// Calls `read` in each element of this name inside of the open one, which it closes.
    fn each(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Self) -> Result<(), InvalidDocument>,
    ) -> Result<(), InvalidDocument> {
        while let Some(tag) = self.elements.child()? {
            if tag == name {
                read(self)?;
            } else {
                self.elements.skip()?;
            }
        }
        Ok(())
    }
}

/// The fields of [`WorkerMemory`], in its order.
struct MemoryFields([Once<Option<u64>>; 5]);

impl MemoryFields {
    fn new() -> Self {
        Self(["real_memory", "rss", "pss", "private_dirty", "swap"].map(Once::new))
    }

    fn field(&mut self, name: &str) -> Option<&mut Once<Option<u64>>> {
        self.0.iter_mut().find(|field| field.name() == name)
    }

    fn finish(self) -> WorkerMemory {
        let [real, resident, proportional, private_dirty, swap] =
            self.0.map(|field| field.optional().flatten());
        WorkerMemory {
            real,
            resident,
            proportional,
            private_dirty,
            swap,
        }
    }
}

impl WorkerState {
    /// The state of a living worker, of the text of `enabled`.
    fn of_enabled(text: &str) -> Option<Self> {
        Some(match text {
            "ENABLED" => Self::Enabled,
            "DISABLING" => Self::Disabling,
            "DISABLED" => Self::Disabled,
            "DETACHED" => Self::Detached,
            _ => return None,
        })
    }
}

/// A decimal number without a sign.
fn number(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}

/// A process id: a value of the kernel's signed type above 0.
fn process_id(text: &str) -> Option<u32> {
    let pid = i32::try_from(number(text)?).ok()?;
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// The bytes of a number of kB; the inner `None` for a negative one, which means unknown.
fn bytes(text: &str) -> Option<Option<u64>> {
    match text.strip_prefix('-') {
        Some(digits) => number(digits).map(|_| None),
        None => number(text)?.checked_mul(1024).map(Some),
    }
}

fn distinct<'a>(
    name: &'static str,
    mut values: impl Iterator<Item = &'a str>,
) -> Result<(), InvalidDocument> {
    let mut seen = HashSet::new();
    if values.all(|value| seen.insert(value)) {
        Ok(())
    } else {
        Err(InvalidDocument::Twice(name))
    }
}

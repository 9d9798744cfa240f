//! The data of Gunicorn that the collector shows, as of one pass.

use std::sync::Arc;

use super::member::WorkerEnd;
use crate::process::RequestTally;

/// All shown applications and their living workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GunicornView {
    /// All applications that were ever shown, by name.
    pub applications: Vec<ApplicationRow>,
    /// Their living workers: by application, the oldest first.
    pub workers: Vec<WorkerRow>,
    /// Processes of Gunicorn that found no room; never falls.
    pub processes_full: u64,
    /// Applications that found no room; never falls.
    pub applications_full: u64,
}

/// One application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplicationRow {
    /// Its name.
    pub name: Arc<str>,
    /// Living workers with a request in flight. `None`: requests are not counted.
    pub busy: Option<u64>,
    /// All living workers.
    pub workers: u64,
    /// Workers that were started. Never falls.
    pub starts: u64,
    /// Workers that ended, in the order of [`WorkerEnd::ALL`]. Never fall.
    pub ends: [u64; WorkerEnd::ALL.len()],
    /// Start of its oldest living arbiter, nanoseconds since boot.
    pub start_ns: Option<u64>,
}

/// One living worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRow {
    /// The name of its application.
    pub app: Arc<str>,
    /// `worker_<pid>_<start second>`.
    pub worker_id: Arc<str>,
    /// Its process id.
    pub pid: String,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
    /// CPU time since its start, nanoseconds.
    pub cpu_ns: u64,
    /// CPU use of the last 10 s or more, percent of one core.
    pub cpu_percent: f64,
    /// Time since its start, nanoseconds.
    pub uptime_ns: u64,
    /// The requests that it has served. `None`: its requests are not counted.
    pub served: Option<Box<RequestTally>>,
}

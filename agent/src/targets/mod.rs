//! Targets: programs on this node that the agent asks for their own state over a socket.
//!
//! ```text
//!  state --candidates--> Board --> find (files) --> discovery (pure) --> client --> parsers (pure) --> families: a part of the scrape
//! ```
//!
//! One thread, `headcount-targets`, asks; it never listens. It does not see the process table: after each pass the state
//! publishes candidates on the `Board`, and the identity of a process is checked again before anything is read of it. File IO of
//! a kind stands in its `find` and runs in threads that may be left behind (`readers`).
//!
//! A kind of target is one folder and one row in `KINDS`: how its targets are found, asked, understood and shown. Bounds, turns,
//! deadlines, and the families that all kinds share are the same for all of them (`discovery`, `asking`, `outcomes`).

pub(crate) mod actor;
mod asking;
pub(crate) mod board;
mod client;
mod discovery;
mod failure;
pub(crate) mod fan_in;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gunicorn;
pub mod handle;
mod kind;
mod outcomes;
mod passenger;
mod processes;
mod readers;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use board::Board;
pub(crate) use client::HostNames;
use fan_in::FanInAnswers;
pub(crate) use kind::TargetKind;

use crate::config::{BrokerConfig, FanInConfig, PathRule};
use crate::exposition::Descriptor;
use crate::host::Host;

/// Which kinds of targets are asked, and how.
#[derive(Debug, Clone, Default)]
pub struct TargetSettings {
    /// Phusion Passenger; `None`: it is not asked.
    pub passenger: Option<PassengerSettings>,
    /// Fan-in, with at least one source; `None`: no instance is asked.
    pub fan_in: Option<FanInConfig>,
    /// Whether the arbiters of Gunicorn that the state publishes are asked.
    pub gunicorn: bool,
}

impl TargetSettings {
    /// The service broker of fan-in, if there is one, and the paths that applications may have.
    pub fn broker(&self) -> Option<(&BrokerConfig, &[PathRule])> {
        let fan_in = self.fan_in.as_ref()?;
        Some((fan_in.broker.as_ref()?, &fan_in.allowed_paths))
    }
}

/// How instances of Passenger are asked.
#[derive(Debug, Clone)]
pub struct PassengerSettings {
    /// Registry directories in addition to the default ones.
    pub registry_dirs: Vec<PathBuf>,
    /// Most instances that are asked.
    pub max_instances: usize,
    /// Whether each process of an application has series of its own.
    pub has_processes: bool,
}

/// The parts of the agent that the kinds of targets use.
pub(crate) struct Environment {
    pub(crate) host: Host,
    pub(crate) board: Arc<Board>,
    /// The name of a user, or the uid in decimal.
    pub(crate) user_name: Rc<dyn Fn(u32) -> String>,
    /// Fan-in, if it is enabled.
    pub(crate) fan_in: Option<Rc<FanInAnswers>>,
    /// Most bytes of the families of all kinds.
    pub(crate) most_bytes: usize,
}

/// A row of the table of kinds.
#[derive(Debug)]
pub(crate) struct KindRow {
    /// The name of its collector, and the value of the label `kind`.
    pub(crate) name: &'static str,
    /// Task names of processes through which its targets may be found.
    comms: &'static [&'static str],
    /// Its families, in the order in which METRICS.md lists them.
    pub(crate) descriptors: fn() -> Vec<&'static Descriptor>,
    /// Whether its targets may belong to other users, so that the thread keeps the rights to read their files.
    reads_others: fn(&TargetSettings) -> bool,
    is_enabled: fn(&TargetSettings) -> bool,
    /// Eighths of the bytes of all kinds that its families may take.
    eighths: usize,
    /// Makes it, on the targets thread, with its most bytes; `None` if it is not enabled.
    start: fn(&TargetSettings, &Environment, usize) -> Option<Box<dyn TargetKind>>,
}

/// All kinds of targets.
pub(crate) static KINDS: &[KindRow] = &[passenger::ROW, gunicorn::ROW, fan_in::ROW];

/// The needs of the enabled kinds.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// The names of their collectors.
    pub(crate) collectors: Vec<&'static str>,
    /// The task names of the processes that they want to know of.
    pub(crate) comms: Vec<&'static str>,
    /// Whether the thread must read files and processes of other users.
    pub(crate) reads_others: bool,
}

impl Needs {
    pub(crate) fn of(settings: &TargetSettings) -> Self {
        let mut needs = Self::default();
        for row in KINDS.iter().filter(|row| (row.is_enabled)(settings)) {
            needs.collectors.push(row.name);
            needs.comms.extend(row.comms);
            needs.reads_others |= (row.reads_others)(settings);
        }
        needs
    }
}

/// Makes the enabled kinds. To be called on the targets thread.
pub(crate) fn start(
    settings: &TargetSettings,
    environment: &Environment,
) -> Vec<Box<dyn TargetKind>> {
    let started = KINDS.iter().map(|row| {
        let most_bytes = environment.most_bytes / 8 * row.eighths;
        (row.start)(settings, environment, most_bytes)
    });
    started.flatten().collect()
}

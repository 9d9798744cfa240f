//! The gauges of the processes of a group, summed up at each pass.

use std::collections::BTreeMap;

use super::REST;
use crate::process::{Live, Memory, Proportional, State};

/// Wait channels of one group that are counted by name; the rest count as `other`.
const WCHANS: usize = 128;

/// The gauges of a group's live processes at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// Live processes, zombies included.
    pub processes: u64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Virtual memory, bytes.
    pub virtual_bytes: u64,
    /// Swapped-out memory, bytes.
    pub swapped_bytes: u64,
    /// Sum of the proportional memory of those processes that were read; `None` if none was.
    pub proportional: Option<Proportional>,
    /// Open file descriptors.
    pub open_files: u64,
    /// Largest share of its soft limit of open files that one process uses.
    pub worst_fd_ratio: f64,
    /// Start of the oldest process, nanoseconds since boot; `None` for an empty group.
    pub oldest_start_ns: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// Threads by state, in the order of [`State::ALL`]; each thread once.
    pub states: [u64; 5],
    /// Threads by the kernel function they wait in.
    pub wchans: BTreeMap<String, u64>,
}

impl Gauges {
    /// Adds one process.
    pub(super) fn add(&mut self, process: &Live<'_>) {
        self.processes += 1;
        let Memory {
            resident_bytes,
            virtual_bytes,
            swapped_bytes,
        } = process.memory();
        self.resident_bytes = self.resident_bytes.saturating_add(resident_bytes);
        self.virtual_bytes = self.virtual_bytes.saturating_add(virtual_bytes);
        self.swapped_bytes = self.swapped_bytes.saturating_add(swapped_bytes);
        if let Some(share) = process.proportional() {
            self.proportional.get_or_insert_default().add(share);
        }
        self.threads += u64::from(process.threads());
        let start_ns = process.start_ns();
        self.oldest_start_ns = Some(
            self.oldest_start_ns
                .map_or(start_ns, |old| old.min(start_ns)),
        );
        if let Some(open_files) = process.open_files() {
            self.open_files += open_files;
            if let Some(limit) = process.fd_limit() {
                // As in process-exporter's division: a limit of 0 gives +Inf, or nothing if no descriptor is open.
                let ratio = open_files as f64 / limit as f64;
                self.worst_fd_ratio = self.worst_fd_ratio.max(ratio);
            }
        }
        for state in process.states() {
            self.states[index_of(state)] += 1;
        }
        for wchan in process.wchans() {
            if let Some(count) = self.wchans.get_mut(wchan) {
                *count += 1;
                continue;
            }
            let is_full = self.wchans.len() >= WCHANS;
            let name = if is_full { REST } else { wchan };
            *self.wchans.entry(name.to_owned()).or_default() += 1;
        }
    }
}

fn index_of(state: State) -> usize {
    match state {
        State::Running => 0,
        State::Sleeping => 1,
        State::Waiting => 2,
        State::Zombie => 3,
        State::Other => 4,
    }
}

//! Proportional memory: who is to be read, and what was read.
//!
//! Reading it costs as much as a process has mapped and can block, so it is done elsewhere and comes when it comes. Who has
//! not run since its last reading is not read again.

use super::{AccountId, ProcessId, Table};

/// A process's share of the memory it maps, bytes: pages that several processes map are divided among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Proportional {
    /// In RAM.
    pub resident_bytes: u64,
    /// Swapped out.
    pub swapped_bytes: u64,
}

impl Proportional {
    /// Adds `more`.
    pub fn add(&mut self, more: Self) {
        let Self {
            resident_bytes,
            swapped_bytes,
        } = more;
        self.resident_bytes = self.resident_bytes.saturating_add(resident_bytes);
        self.swapped_bytes = self.swapped_bytes.saturating_add(swapped_bytes);
    }
}

/// One process to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Who.
    pub id: ProcessId,
    /// Its [`Sample::ran_marker`](super::Sample::ran_marker) when it was asked for.
    pub ran_marker: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What was asked for.
    pub wanted: Wanted,
    /// When, nanoseconds of the clock that the caller uses for it.
    pub read_ns: u64,
    /// What was read; `None` where unreadable.
    pub memory: Option<Proportional>,
}

/// What is known of one process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// Value of `ran_marker` at the last attempt.
    tried: Option<u64>,
    /// The last reading that succeeded, and when.
    last: Option<(u64, Proportional)>,
}

impl Known {
    pub(super) fn memory(&self) -> Option<Proportional> {
        self.last.map(|(_, memory)| memory)
    }
}

impl Table {
    /// Takes what was read. Of a process that is gone, or known by another identity since, nothing is kept.
    pub fn note_proportional(&mut self, readings: impl IntoIterator<Item = Reading>) {
        for reading in readings {
            let Reading {
                wanted,
                read_ns,
                memory,
            } = reading;
            if let Some(entry) = self.processes.entry_mut(wanted.id) {
                let known = &mut entry.proportional;
                known.tried = Some(wanted.ran_marker);
                known.last = memory.map(|memory| (read_ns, memory)).or(known.last);
            }
        }
    }

    /// Live processes with memory that ran since they were last read, the oldest reading first, and before it those never
    /// read; but for those in no group: `is_outside` tells.
    pub fn wanted_proportional(&self, is_outside: impl Fn(AccountId) -> bool) -> Vec<Wanted> {
        let mut found: Vec<(u64, Wanted)> = Vec::new();
        for (id, entry) in self.processes.iter() {
            let held = entry.held.as_ref().filter(|_| entry.seen == self.passes);
            let Some(held) = held.filter(|held| held.memory.virtual_bytes > 0) else {
                continue;
            };
            let Known { tried, last } = entry.proportional;
            if tried != Some(held.ran_marker) && !is_outside(entry.account) {
                let ran_marker = held.ran_marker;
                let read_ns = last.map_or(0, |(read_ns, _)| read_ns);
                found.push((read_ns, Wanted { id, ran_marker }));
            }
        }
        found.sort_by_key(|(read_ns, _)| *read_ns);
        found.into_iter().map(|(_, wanted)| wanted).collect()
    }

    /// When the oldest reading of a live process was made; `None` while there is none.
    pub fn oldest_proportional_ns(&self) -> Option<u64> {
        let live = self.processes.iter();
        live.filter(|(_, entry)| entry.seen == self.passes)
            .filter_map(|(_, entry)| entry.proportional.last.map(|(read_ns, _)| read_ns))
            .min()
    }
}

//! Reads values that a pass does not carry: open descriptors, wait channels and, for some sources, memory.

use std::collections::HashSet;
use std::sync::Arc;

use super::entry::Entry;
use super::store::Store;
use super::{AccountId, Pass, Probe, ProcessId};

/// The processes to read, and the names that were read.
#[derive(Debug, Default)]
pub(super) struct Probing {
    /// Processes that ran before the last pass saw them.
    ran: Vec<ProcessId>,
    /// Names of wait channels, each kept once; at most as many as the kernel has functions that wait.
    wchans: HashSet<Arc<str>>,
}

impl Probing {
    /// To be called at the begin of a pass.
    pub(super) fn clear(&mut self) {
        self.ran.clear();
    }

    /// Notes that the process ran since it was last read.
    pub(super) fn note(&mut self, id: ProcessId) {
        self.ran.push(id);
    }

    /// Reads the noted processes. Nothing is read for those in no group: `is_outside` selects them.
    pub(super) fn read(
        &mut self,
        processes: &mut Store,
        pass: &Pass,
        probe: &mut impl Probe,
        is_outside: impl Fn(AccountId) -> bool,
    ) {
        let Self { ran, wchans } = self;
        for id in ran.drain(..) {
            let Some(entry) = processes.entry_mut(id) else {
                continue;
            };
            entry.sight.probed = entry.sight.held.map(|held| held.ran_marker);
            if !is_outside(entry.account()) {
                read_one(id.tgid, entry, pass, probe, |name| intern(wchans, name));
            }
        }
    }
}

/// Reads a process, and those of its threads that ran. A thread cannot run without a change of its process's marker.
fn read_one(
    tgid: u32,
    entry: &mut Entry,
    pass: &Pass,
    probe: &mut impl Probe,
    mut intern: impl FnMut(String) -> Arc<str>,
) {
    let sight = &mut entry.sight;
    sight.open_files = probe.open_files(tgid);
    sight.wchan = probe.wchan(tgid, tgid).map(&mut intern);
    if let (true, Some(held)) = (pass.memory_elsewhere, &mut sight.held) {
        held.memory = probe.memory(tgid).unwrap_or(held.memory);
    }
    for thread in sight.threads.others_mut() {
        if thread.probed != Some(thread.sample.ran_marker) {
            thread.probed = Some(thread.sample.ran_marker);
            thread.wchan = probe.wchan(tgid, thread.sample.tid).map(&mut intern);
        }
    }
}

/// The one copy of `name`.
fn intern(names: &mut HashSet<Arc<str>>, name: String) -> Arc<str> {
    if let Some(known) = names.get(name.as_str()) {
        return Arc::clone(known);
    }
    let name: Arc<str> = name.into();
    names.insert(Arc::clone(&name));
    name
}

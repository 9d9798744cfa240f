//! A look at processes whose exec could not tell everything: its arguments found no room, or nobody knows its cgroup.
//!
//! They are read from `/proc` as soon as their exec is heard of, because many will be gone before the next pass. What is read
//! waits with the process: it decides if the process ends, and the next pass looks again if it does not. Few are read each time,
//! in turns by user; the kernel programs wake the agent for them at most every 10 ms.

use super::{Pipeline, budget::in_turns};
use crate::process::Arguments;

/// Processes that are read after a drain.
const MOST: usize = 8;

impl Pipeline {
    /// To be called after a drain that is not followed by a pass. Returns as [`Pipeline::drain`].
    pub(super) fn look_early(&mut self) -> bool {
        let partly_told = in_turns(self.table.take_partly_told(), |one| one.uid);
        let some = partly_told.into_iter().take(MOST);
        let observer = &mut self.observer;
        let read = some.map(|one| {
            (
                one.id,
                one.account,
                observer.facts(one.id, Arguments::MAX_BYTES),
            )
        });
        let read: Vec<_> = read.collect();
        if read.is_empty() {
            return false;
        }
        // Who has begun another program meanwhile was read as that.
        let is_pass_due = self.drain();
        for (id, account, facts) in read {
            let Some(now) = self.table.still_told(id, account) else {
                continue;
            };
            // One that ended just now is decided by what its exec told, and counted as incomplete.
            let Ok(facts) = facts else { continue };
            if let Some(cgroup_id) = now {
                self.observer.learn_first(cgroup_id, &facts);
            }
            self.table.note_facts(id, facts, &mut self.grouper);
        }
        is_pass_due
    }
}

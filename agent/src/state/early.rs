//! Reads `/proc` between passes for processes with an incomplete exec record: it had no room for the arguments, or the name of
//! the cgroup is unknown.
//!
//! The agent reads them as soon as the exec record arrives, because many of them will have ended before the next pass. The table
//! keeps the facts: they decide the group if the process ends; otherwise the next pass reads it again. Each call reads a few
//! processes, round-robin by user; the kernel programs wake the agent for them at most every 10 ms.

use super::Pipeline;
use super::budget::in_turns;
use crate::process::Arguments;

/// At most this many processes are read after a drain.
const MAX_PROCESSES: usize = 8;

/// To be called after a drain that is not followed by a pass. Returns whether a pass should follow now, as [`Pipeline::drain`]
/// does.
pub(super) fn read_incomplete(pipeline: &mut Pipeline) -> bool {
    let incomplete = in_turns(pipeline.table.take_incomplete_execs(), |one| one.uid);
    let some = incomplete.into_iter().take(MAX_PROCESSES);
    let observer = &mut pipeline.observer;
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
    // A process may have started another program meanwhile, and was then read as that one; its record is drained here.
    let is_pass_due = pipeline.drain();
    for (id, account, facts) in read {
        let Some(cgroup_id) = pipeline.table.waiting_exec(id, account) else {
            continue;
        };
        // A process that has just ended is decided by its exec record, and counted as incomplete.
        let Ok(facts) = facts else { continue };
        if let Some(cgroup_id) = cgroup_id {
            pipeline.observer.learn_first(cgroup_id, &facts);
        }
        pipeline.table.note_facts(id, facts, &mut pipeline.grouper);
    }
    is_pass_due
}

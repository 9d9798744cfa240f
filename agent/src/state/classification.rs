//! Decides the group of each living process by its `/proc` facts.
//!
//! In: the accounts of the table that are undecided after a pass. Out: decisions to the grouper. Processes with long arguments
//! are read within a budget (`budget.rs`).

use std::collections::HashMap;

use super::Pipeline;
use super::budget::{Budget, Deferred, ORDINARY_BYTES, in_turns};
use crate::process::{Arguments, Facts, Ledger as _, Pass, ProcessId, Unclassified};
use crate::source::procfs::ProcfsError;

/// Number of processes whose names are read between two drains of the records.
const READ_AT_ONCE: usize = 64;
/// The same for processes with long arguments, whose facts take up to 64 KiB of memory each.
const LONG_READ_AT_ONCE: usize = 8;

type Read = Result<Facts, ProcfsError>;

/// Decides the living processes, parents first; those with long arguments last, and within a budget.
pub(super) fn classify(pipeline: &mut Pipeline, deferred: &mut Deferred<ProcessId>, pass: &Pass) {
    let mut unclassified = pipeline.table.unclassified();
    // Processes in the group `other` come last, so that after a reload the bound of groups hits the same ones again.
    unclassified.sort_by_key(|one| pipeline.grouper.is_in_rest(one.account));
    let wanted = unclassified.iter().map(|one| one.id).collect();
    let cgroup_ids = pass.cgroup_ids(&wanted);
    pipeline.notes.concealed.begin();
    let mut classification = Classification {
        pipeline,
        deferred,
        cgroup_ids,
        pass_ns: pass.started_ns,
    };
    let long = classification.classify_ordinary(unclassified);
    classification.classify_long(long);
    pipeline.notes.concealed.end();
}

/// The decisions after one pass.
struct Classification<'a> {
    pipeline: &'a mut Pipeline,
    deferred: &'a mut Deferred<ProcessId>,
    /// The cgroup v2 ids of the undecided processes, from the pass.
    cgroup_ids: HashMap<ProcessId, u64>,
    /// When the pass began, nanoseconds since boot.
    pass_ns: u64,
}

impl Classification<'_> {
    /// Decides processes with ordinary arguments. Returns the others, with their users.
    fn classify_ordinary(&mut self, mut some: Vec<Unclassified>) -> Vec<(u32, Unclassified)> {
        let known_long = |one: &Unclassified| Some((self.deferred.user(&one.id)?, *one));
        let mut long: Vec<_> = some.iter().filter_map(known_long).collect();
        some.retain(|one| self.deferred.user(&one.id).is_none());
        for some in some.chunks(READ_AT_ONCE) {
            for (one, read) in self.read(some.iter().copied(), ORDINARY_BYTES) {
                match read {
                    Ok(facts) if facts.argv.is_cut() => {
                        long.push((facts.uid.unwrap_or_default(), one));
                    }
                    read => self.decide(&one, read),
                }
            }
        }
        long
    }

    /// Decides processes with long arguments. Those beyond the budget wait for the next pass, and their use waits in their
    /// accounts.
    fn classify_long(&mut self, mut long: Vec<(u32, Unclassified)>) {
        long.sort_by_key(|(_, one)| (one.id.start_ns, one.id.tgid));
        let long = in_turns(long, |(user, _)| *user);
        let mut budget = Budget::begin(self.pipeline.host.now_ns());
        let mut chunks = long.chunks(LONG_READ_AT_ONCE);
        let mut done = 0;
        for some in &mut chunks {
            if !budget.allows_more(self.pipeline.host.now_ns()) {
                break;
            }
            done += some.len();
            let some = some.iter().map(|(_, one)| *one);
            for (one, read) in self.read(some, Arguments::MAX_BYTES) {
                budget.spend(read.as_ref().map_or(0, |facts| facts.argv.bytes()));
                self.decide(&one, read);
            }
        }
        let left_out = &long[done..];
        self.pipeline.grouper.note_deferred(left_out.len());
        let left_out = left_out.iter().map(|(user, one)| (one.id, *user));
        self.deferred.note(left_out);
    }

    /// Reads the names of `some`, with at most `argv_bytes` of arguments each.
    fn read(
        &mut self,
        some: impl Iterator<Item = Unclassified>,
        argv_bytes: usize,
    ) -> Vec<(Unclassified, Read)> {
        let observer = &mut self.pipeline.observer;
        let read = some.map(|one| (one, observer.facts(one.id, argv_bytes)));
        let read = read.collect();
        // A process may have started another program after the last drain, and was then read as that program. Its exec record
        // is there by now: the earlier image is decided by the facts of its own exec record.
        self.pipeline.drain();
        read
    }

    fn decide(&mut self, one: &Unclassified, read: Read) {
        match (self.pipeline.table.still_unclassified(one), read) {
            (Some(now), Ok(facts)) => self.learn_of(&now, facts),
            (Some(now), Err(error)) if error.is_unanswered() => {
                self.pipeline.notes.unread += 1;
                place_unanswered(self.pipeline, &now);
            }
            (Some(now), Err(error))
                if error.is_gone() && self.pipeline.notes.concealed.note(now.id, self.pass_ns) =>
            {
                self.pipeline.observer.count_concealed(now.id);
                place_unanswered(self.pipeline, &now);
            }
            // The process has just ended, or can be read at another time: it waits. The next pass tries again or finds that it
            // is gone; with kernel programs, its exec record decides when its exit record comes.
            (_, Err(error)) => self.pipeline.notes.unread += usize::from(!error.is_gone()),
            (None, Ok(_)) => {}
        }
    }

    fn learn_of(&mut self, one: &Unclassified, facts: Facts) {
        let Pipeline {
            observer,
            table,
            grouper,
            publication,
            gunicorn,
            ..
        } = &mut *self.pipeline;
        // The id of the pass counts before that of the exec: the process may have been moved to another cgroup since.
        if let Some(cgroup_id) = self.cgroup_ids.get(&one.id).copied().or(one.cgroup_id) {
            observer.learn(cgroup_id, &facts);
        }
        publication.note(one.id, &facts);
        if let Some(gunicorn) = gunicorn {
            gunicorn.note(one.id, &facts);
        }
        match facts.provisional {
            true => table.note_facts(one.id, facts, grouper),
            false => place(self.pipeline, one, &facts),
        }
    }
}

/// Decides a process whose files do not answer or are concealed: by its exec record, else by its birth, else by its readable
/// files. The decision holds until the files answer.
fn place_unanswered(pipeline: &mut Pipeline, one: &Unclassified) {
    let Pipeline {
        observer,
        table,
        grouper,
        ..
    } = pipeline;
    if grouper.is_kept_open(one.account) {
        return;
    }
    if let Some(of_exec) = table.exec_facts(one.id) {
        grouper.place(one.account, one.parent, of_exec);
    } else if one.birth.is_some() {
        // It runs the image that it was born with.
        grouper.follow(one.account);
    } else if let Some(facts) = observer.brief_facts(one.id) {
        grouper.place(one.account, one.parent, &facts);
    }
    grouper.keep_open(one.account);
}

fn place(pipeline: &mut Pipeline, one: &Unclassified, facts: &Facts) {
    let Pipeline { table, grouper, .. } = pipeline;
    if facts.argv.is_empty() {
        // It is ending, or is a kernel thread: its exec record decides, else its birth. Its present parent may only have
        // adopted it as an orphan; the parent decides only if the birth is unknown, or the image it was born into was not
        // classified since a reload.
        let of_exec = table.exec_facts(one.id);
        let birth = one.birth.filter(|birth| !grouper.is_outdated(*birth));
        let above = birth.or(one.parent);
        grouper.place(one.account, above, of_exec.unwrap_or(facts));
    } else {
        grouper.place(one.account, one.parent, facts);
    }
    table.classified(one.id);
}

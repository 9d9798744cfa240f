//! Decides which group each living process belongs to, by what `/proc` says of it.

use super::{
    Pipeline,
    budget::{Budget, ORDINARY, in_turns},
};
use crate::{
    process::{Arguments, Facts, Ledger as _, Pass, ProcessId, Unclassified},
    source::procfs,
};
use std::collections::HashMap;

/// Processes whose names are read between two looks at the records.
const READ_AT_ONCE: usize = 64;
/// The same of processes with long arguments, which are held meanwhile.
const LONG_READ_AT_ONCE: usize = 8;

type Read = Result<Facts, procfs::Error>;

impl Pipeline {
    /// Decides the living, parents first; those with long arguments last, and within a budget.
    pub(super) fn classify(&mut self, pass: &Pass) {
        let mut unclassified = self.table.unclassified();
        // A bound of groups falls on the same ones again, after a reload.
        unclassified.sort_by_key(|one| self.grouper.is_in_rest(one.account));
        let wanted = unclassified.iter().map(|one| one.id).collect();
        let seen = pass.cgroup_ids(&wanted);
        let known_long = |one: &Unclassified| Some((self.deferred.user(&one.id)?, *one));
        let mut long: Vec<_> = unclassified.iter().filter_map(known_long).collect();
        unclassified.retain(|one| self.deferred.user(&one.id).is_none());
        for some in unclassified.chunks(READ_AT_ONCE) {
            for (one, read) in self.read(some.iter().copied(), ORDINARY) {
                match read {
                    Ok(facts) if facts.argv.is_cut() => {
                        long.push((facts.uid.unwrap_or_default(), one));
                    }
                    read => self.decide(&one, read, &seen),
                }
            }
        }
        self.classify_long(long, &seen);
    }

    /// Who finds no place in the budget waits for the next pass; what it uses waits in its account.
    fn classify_long(
        &mut self,
        mut long: Vec<(u32, Unclassified)>,
        seen: &HashMap<ProcessId, u64>,
    ) {
        long.sort_by_key(|(_, one)| (one.id.start_ns, one.id.tgid));
        let long = in_turns(long, |(user, _)| *user);
        let mut budget = Budget::begin(self.host.now_ns());
        let mut chunks = long.chunks(LONG_READ_AT_ONCE);
        let mut done = 0;
        for some in &mut chunks {
            if !budget.allows_more(self.host.now_ns()) {
                break;
            }
            done += some.len();
            let some = some.iter().map(|(_, one)| *one);
            for (one, read) in self.read(some, Arguments::MAX_BYTES) {
                budget.spend(read.as_ref().map_or(0, |facts| facts.argv.bytes()));
                self.decide(&one, read, seen);
            }
        }
        let left_out = &long[done..];
        self.grouper.note_deferred(left_out.len());
        let left_out = left_out.iter().map(|(user, one)| (one.id, *user));
        self.deferred.note(left_out);
    }

    /// Reads the names of some, with at most so many bytes of arguments.
    fn read(
        &mut self,
        some: impl Iterator<Item = Unclassified>,
        argv_bytes: usize,
    ) -> Vec<(Unclassified, Read)> {
        let observer = &mut self.observer;
        let read = some.map(|one| (one, observer.facts(one.id, argv_bytes)));
        let read = read.collect();
        // Who has begun another program since the records were taken was read as that. The record of it is there now,
        // and what the one before told of itself decides that one.
        self.drain();
        read
    }

    /// `seen`: cgroups that the pass told.
    fn decide(&mut self, one: &Unclassified, read: Read, seen: &HashMap<ProcessId, u64>) {
        match (self.table.still_unclassified(one), read) {
            (Some(now), Ok(facts)) => self.learn_of(&now, facts, seen),
            (Some(now), Err(error)) if error.is_unanswered() => {
                self.unread += 1;
                self.place_unanswered(&now);
            }
            // It ended just now, or can be read another time: it waits. The next pass tries again or sees that it
            // is gone; with kernel programs its exec decides when its end is told.
            (_, Err(error)) => self.unread += usize::from(!error.is_gone()),
            (None, Ok(_)) => {}
        }
    }

    fn learn_of(&mut self, one: &Unclassified, facts: Facts, seen: &HashMap<ProcessId, u64>) {
        // It may have been moved since its exec; the pass is but a moment old.
        if let Some(cgroup_id) = seen.get(&one.id).copied().or(one.cgroup_id) {
            self.observer.learn(cgroup_id, &facts);
        }
        match facts.provisional {
            true => self.table.note_facts(one.id, facts, &mut self.grouper),
            false => self.place(one, &facts),
        }
    }

    /// Its files do not answer: the facts of its exec decide, else what can be read of it. That holds until the files answer.
    fn place_unanswered(&mut self, one: &Unclassified) {
        if self.grouper.is_kept_open(one.account) {
            return;
        }
        if let Some(told) = self.table.told_by_exec(one.id) {
            self.grouper.place(one.account, one.parent, told);
        } else if one.birth.is_some() {
            // It runs the image that it was born with.
            self.grouper.follow(one.account);
        } else if let Some(facts) = self.observer.brief_facts(one.id) {
            self.grouper.place(one.account, one.parent, &facts);
        }
        self.grouper.keep_open(one.account);
    }

    fn place(&mut self, one: &Unclassified, facts: &Facts) {
        if facts.argv.is_empty() {
            // It is ending, or a kernel thread: what its exec told decides, else its birth. Its present parent may be
            // who takes the orphans, and decides only if the image it was born into was not looked at since a reload.
            let told = self.table.told_by_exec(one.id);
            let birth = one.birth.filter(|birth| !self.grouper.is_outdated(*birth));
            let above = birth.or(one.parent);
            self.grouper
                .place(one.account, above, told.unwrap_or(facts));
        } else {
            self.grouper.place(one.account, one.parent, facts);
        }
        self.table.classified(one.id);
    }
}

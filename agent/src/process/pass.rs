//! What a pass over all live processes changes in the table, and the view of live processes afterwards.

use std::sync::Arc;

use super::entry::{Entry, Origin, Phase};
use super::membership::Naming;
use super::proportional::KnownProportional;
use super::sight::Held;
use super::{
    AccountId, Facts, IncompleteExec, Ledger, Live, LiveThreads, Pass, Probe, ProcessId,
    ProportionalReading, Reopened, Sample, State, Table, Tally, ThreadSample, Unclassified, Wanted,
};

/// How long a process absent from the passes waits for its final totals. On an idle machine with lazy RCU, the hook on the free
/// of the task was seen to take half a minute.
const PENDING_NS: u64 = 60_000_000_000;

impl Table {
    /// Takes one pass: books the use of every process it saw, and closes absent processes for which no final record is
    /// expected.
    pub fn observe(&mut self, pass: &Pass, ledger: &mut impl Ledger) {
        self.passes += 1;
        self.statistics.live = 0;
        self.ran.clear();
        // Known processes first: each of them is looked up once, and a new process finds its parent whatever the order.
        let credited = |table: &mut Self, sample: &Sample, ledger: &mut _| {
            table.credit_live(sample, threads_of(&pass.threads, sample), pass, ledger)
        };
        let mut strangers: Vec<Sample> = Vec::new();
        for sample in &pass.processes {
            if !credited(self, sample, ledger) {
                let id = self.known_as(sample.id);
                let sample = Sample { id, ..*sample };
                if !credited(self, &sample, ledger) {
                    strangers.push(sample);
                }
            }
        }
        for sample in &strangers {
            if !pass.finals_follow {
                self.exhume(sample.id, sample.parent, ledger);
            }
            if !self.is_buried(sample.id) && !self.processes.contains(sample.id) {
                let parent = self.account_of(sample.parent);
                // A source without final records has no fork records either, so none is missing.
                self.unheard(sample.id, parent, pass.finals_follow, ledger);
            }
        }
        for sample in &strangers {
            credited(self, sample, ledger);
        }
        for sample in &pass.in_no_group {
            self.observe_briefly(sample, pass, ledger);
        }
        self.close_absent(pass, ledger);
        self.len_after_pass = self.processes.len();
    }

    /// Returns `false` if the table does not know the process.
    fn credit_live(
        &mut self,
        sample: &Sample,
        threads: &[ThreadSample],
        pass: &Pass,
        ledger: &mut impl Ledger,
    ) -> bool {
        let Some(entry) = self.processes.entry_mut(sample.id) else {
            return false;
        };
        self.statistics.live += 1;
        entry.sight.seen = self.passes;
        if entry.sight.absent_since_ns.take().is_some() {
            entry.membership.enter(ledger);
        }
        let may_credit = sample.id.start_ns <= pass.started_ns || !pass.finals_follow;
        let before = entry.sight.held.replace(Held {
            is_credited: may_credit,
            ..sample.into()
        });
        if let (true, Some(before), Some(now)) =
            (pass.memory_elsewhere, before, &mut entry.sight.held)
        {
            now.memory = before.memory;
        }
        entry.sight.threads.update(threads);
        if entry.sight.probed != Some(sample.ran_marker) {
            self.ran.push(sample.id);
        }
        // A process that has not run since it was last credited has used nothing more: its totals need no comparison.
        let has_run = |before: Held| !before.is_credited || before.ran_marker != sample.ran_marker;
        let counters = (may_credit && before.is_none_or(has_run)).then(|| {
            let threads = &entry.sight.threads;
            threads.complete(sample.counters, pass.switches_are_by_thread(sample.id.tgid))
        });
        let mut dropped_ns = 0;
        if sample.has_borrowed_ids && entry.origin == Origin::Forked {
            match (entry.membership.is_own(), counters) {
                // It runs a set-user-ID or set-group-ID program, and the record of that exec was lost. Another user's code ran
                // before: that use belongs to the image it was forked with.
                (false, Some(counters)) => dropped_ns = entry.credit_pass(&counters, ledger),
                // That image is unknown, so the share is dropped.
                (true, Some(counters)) if before.is_none_or(|before| !before.is_credited) => {
                    entry.drop_share(counters, ledger);
                    entry.is_use_fixed = true;
                }
                _ => {}
            }
        }
        let is_looked_at = may_credit || !sample.has_borrowed_ids;
        let is_inherited = !entry.membership.is_own() && !entry.counted.exit;
        if is_inherited && is_looked_at && sample.state != State::Zombie {
            entry.membership.separate(ledger);
            self.waiting.insert(sample.id);
        }
        if let Some(counters) = counters {
            entry.settle_launch(sample);
            dropped_ns = entry
                .credit_pass(&counters, ledger)
                .saturating_add(dropped_ns);
        }
        self.statistics.drop_cpu(dropped_ns);
        true
    }

    fn close_absent(&mut self, pass: &Pass, ledger: &mut impl Ledger) {
        self.statistics.pending = 0;
        if self.statistics.live == self.processes.len() as u64 {
            return;
        }
        let mut gone = Vec::new();
        for (id, entry) in self.processes.iter_mut() {
            if entry.sight.seen == self.passes || pass.unread.contains(&id.tgid) {
                continue;
            }
            if !pass.finals_follow || matches!(entry.phase, Phase::Projected) {
                gone.push((id, true));
                continue;
            }
            if id.start_ns > pass.started_ns {
                continue;
            }
            entry.membership.leave(ledger);
            let since_ns = *entry.sight.absent_since_ns.get_or_insert(pass.started_ns);
            if pass.started_ns - since_ns >= PENDING_NS {
                gone.push((id, false));
            } else {
                self.statistics.pending += 1;
                let is_young = id.start_ns >= self.since_ns;
                let dropped_ns = credit_at_exit(entry, is_young, self.summed, ledger);
                self.statistics.drop_cpu(dropped_ns.unwrap_or(0));
            }
        }
        for (id, confirmed) in gone {
            if !confirmed {
                self.statistics.unconfirmed += 1;
                self.credit_unconfirmed(id, ledger);
            }
            self.close(id, confirmed, ledger);
        }
    }

    /// Books the known use of a process that is gone without final totals. The totals of its exit record are booked, unless [a
    /// sum may hold them](credit_at_exit). Otherwise only the shares of its former images are, and only if a pass has seen the
    /// process: the sums hold processes that no pass has credited.
    fn credit_unconfirmed(&mut self, id: ProcessId, ledger: &mut impl Ledger) {
        let (summed, is_young) = (self.summed, self.is_young(id));
        let Some(entry) = self.processes.entry_mut(id) else {
            return;
        };
        let dropped_ns = match credit_at_exit(entry, is_young, summed, ledger) {
            Some(dropped_ns) => dropped_ns,
            None if entry.sight.held.is_some() => entry.credit_splits(ledger),
            None => 0,
        };
        self.statistics.drop_cpu(dropped_ns);
    }

    /// Live processes whose account waits for a decision, parents before children.
    pub fn unclassified(&mut self) -> Vec<Unclassified> {
        let waiting = self.waiting.iter();
        let mut found: Vec<_> = waiting
            .filter_map(|id| self.unclassified_one(*id))
            .collect();
        found.sort_unstable_by_key(|one| (one.id.start_ns, one.id.tgid));
        found
    }

    fn unclassified_one(&self, id: ProcessId) -> Option<Unclassified> {
        let entry = self.processes.get(id)?;
        let held = entry
            .sight
            .held
            .as_ref()
            .filter(|_| entry.sight.seen == self.passes)?;
        let facts = entry.membership.waiting_facts();
        Some(Unclassified {
            id,
            account: entry.account(),
            parent: self.account_of(held.parent),
            // A zombie may get the group of the image it was born into.
            birth: entry
                .membership
                .birth
                .filter(|birth| *birth != entry.account()),
            cgroup_id: facts.and_then(|facts| facts.cgroup_id),
        })
    }

    /// The present state of `one` after further records. `None` if its account is decided by now, or it runs another program.
    pub fn still_unclassified(&self, one: &Unclassified) -> Option<Unclassified> {
        let waits = self.waiting.contains(&one.id);
        let now = waits.then(|| self.unclassified_one(one.id)).flatten();
        now.filter(|now| now.account == one.account)
    }

    /// The facts from the exec record of a process that waits for a decision; `None` if no such record came.
    pub fn exec_facts(&self, id: ProcessId) -> Option<&Facts> {
        self.processes.get(id)?.membership.waiting_facts()
    }

    /// Keeps the `/proc` facts of a process that goes on waiting for a decision: they decide if it ends before.
    pub fn note_facts(&mut self, id: ProcessId, facts: Facts, ledger: &mut impl Ledger) {
        let bytes = facts.argv.bytes();
        if let Some(entry) = self.processes.entry_mut(id)
            && let Naming::Waiting(known) = &mut entry.membership.naming
            && !facts.argv.is_empty()
        {
            let cgroup_id = known.as_ref().and_then(|known| known.cgroup_id);
            *known = Some(Box::new(Facts { cgroup_id, ..facts }));
            self.hold_arguments(id, bytes, ledger);
        }
    }

    /// The `/proc` facts of `id` have decided its account.
    pub fn classified(&mut self, id: ProcessId) {
        self.waiting.remove(&id);
        if let Some(entry) = self.processes.entry_mut(id) {
            entry.membership.naming = Naming::Decided;
        }
    }

    /// Live processes in no group (`is_outside`) that were born after `since_ns`, nanoseconds since boot: they may be looked at
    /// again. For a source without exec records. As in process-exporter, a process born after the agent brings what it has used
    /// so far into its new group, and an older one brings nothing; nor does one that a former configuration may have had in a
    /// group.
    pub fn in_no_group_since(
        &self,
        since_ns: u64,
        is_outside: impl Fn(AccountId) -> bool,
    ) -> Vec<Reopened> {
        let young = self.processes.iter().filter(|(id, entry)| {
            let is_young = entry.sight.seen == self.passes && id.start_ns >= since_ns;
            is_young && is_outside(entry.account())
        });
        let reopened = young.map(|(id, entry)| {
            let brings_use = id.start_ns >= self.since_ns && !entry.is_use_fixed;
            Reopened {
                id,
                account: entry.account(),
                used: brings_use.then(|| Tally {
                    delta: entry.booked.total(),
                    ..Tally::default()
                }),
            }
        });
        reopened.collect()
    }

    /// The account of the process is undecided again.
    pub fn reopened(&mut self, id: ProcessId) {
        self.waiting.insert(id);
    }

    /// Accounts of the processes that are not known to be gone: the last pass saw them, could not read them, or began before
    /// their birth.
    pub fn present(&self) -> impl Iterator<Item = AccountId> {
        let is_present = |entry: &&Entry| entry.sight.seen == self.passes || !entry.has_ended();
        self.processes
            .iter()
            .map(|(_, entry)| entry)
            .filter(is_present)
            .map(Entry::account)
    }

    /// Reads what a pass does not carry, for processes and threads that ran since they were last read. A thread cannot run
    /// without a change of its process's marker. Nothing is read for processes in no group that cannot get into one before they
    /// run again: `is_outside` selects them.
    pub fn refresh(
        &mut self,
        pass: &Pass,
        probe: &mut impl Probe,
        is_outside: impl Fn(AccountId) -> bool,
    ) {
        let Self {
            processes,
            wchans,
            ran,
            ..
        } = self;
        let mut intern = |name: Option<String>| -> Option<Arc<str>> {
            let name = name?;
            if let Some(known) = wchans.get(name.as_str()) {
                return Some(Arc::clone(known));
            }
            let name: Arc<str> = name.into();
            wchans.insert(Arc::clone(&name));
            Some(name)
        };
        for id in ran.drain(..) {
            let Some(entry) = processes.entry_mut(id) else {
                continue;
            };
            entry.sight.probed = entry.sight.held.map(|held| held.ran_marker);
            if is_outside(entry.account()) {
                continue;
            }
            entry.sight.open_files = probe.open_files(id.tgid);
            entry.sight.wchan = intern(probe.wchan(id.tgid, id.tgid));
            if let (true, Some(held)) = (pass.memory_elsewhere, &mut entry.sight.held) {
                held.memory = probe.memory(id.tgid).unwrap_or(held.memory);
            }
            for thread in entry.sight.threads.others_mut() {
                if thread.probed != Some(thread.sample.ran_marker) {
                    thread.probed = Some(thread.sample.ran_marker);
                    thread.wchan = intern(probe.wchan(id.tgid, thread.sample.tid));
                }
            }
        }
    }

    /// The threads of each live process that may have several.
    pub fn live_threads(&mut self, pass: &Pass) -> impl Iterator<Item = LiveThreads<'_>> {
        let (since_ns, now_ns, passes) = (self.since_ns, pass.started_ns, self.passes);
        let processes = self.processes.iter_mut().map(|(_, entry)| entry);
        let live = processes.filter(move |entry| {
            entry.sight.seen == passes && !entry.sight.threads.live.is_empty()
        });
        live.map(move |entry| LiveThreads {
            account: entry.account(),
            threads: &mut entry.sight.threads,
            since_ns,
            now_ns,
        })
    }

    /// Processes since the last call whose exec record could not hold all facts, and that still run the same program.
    pub fn take_incomplete_execs(&mut self) -> Vec<IncompleteExec> {
        let found = std::mem::take(&mut self.held_arguments.incomplete);
        let is_there = |one: &IncompleteExec| self.waiting_exec(one.id, one.account).is_some();
        found.into_iter().filter(is_there).collect()
    }

    /// The cgroup v2 id from the exec record of `id`. `None` if the process has ended, is decided, or runs another program.
    pub fn waiting_exec(&self, id: ProcessId, account: AccountId) -> Option<Option<u64>> {
        let entry = self.processes.get(id)?;
        let facts = entry.membership.waiting_facts();
        let facts = facts.filter(|_| entry.account() == account);
        facts.map(|facts| facts.cgroup_id)
    }

    /// Takes readings. Ignores those of a process that is gone, has another identity by now, or runs another image.
    pub fn note_proportional(&mut self, readings: impl IntoIterator<Item = ProportionalReading>) {
        for reading in readings {
            let ProportionalReading {
                wanted,
                read_ns,
                memory,
            } = reading;
            let entry = self.processes.entry_mut(wanted.id);
            if let Some(entry) = entry.filter(|entry| entry.account() == wanted.account) {
                let known = &mut entry.sight.proportional;
                known.tried = Some(wanted.ran_marker);
                known.last = memory.map(|memory| (read_ns, memory)).or(known.last);
            }
        }
    }

    /// Live processes with memory that ran since they were last read: first those never read, then those with the oldest
    /// reading. Processes in no group are left out: `is_outside` selects them.
    pub fn wanted_proportional(&self, is_outside: impl Fn(AccountId) -> bool) -> Vec<Wanted> {
        let mut found: Vec<(u64, Wanted)> = Vec::new();
        for (id, entry) in self.processes.iter() {
            let held = entry
                .sight
                .held
                .as_ref()
                .filter(|_| entry.sight.seen == self.passes);
            let Some(held) = held.filter(|held| held.memory.virtual_bytes > 0) else {
                continue;
            };
            let KnownProportional { tried, last } = entry.sight.proportional;
            if tried != Some(held.ran_marker) && !is_outside(entry.account()) {
                let wanted = Wanted {
                    id,
                    ran_marker: held.ran_marker,
                    account: entry.account(),
                };
                found.push((last.map_or(0, |(read_ns, _)| read_ns), wanted));
            }
        }
        found.sort_by_key(|(read_ns, _)| *read_ns);
        found.into_iter().map(|(_, wanted)| wanted).collect()
    }

    /// Time of the oldest reading of a live process; `None` if there is none.
    pub fn oldest_proportional_ns(&self) -> Option<u64> {
        let live = self.processes.iter();
        live.filter(|(_, entry)| entry.sight.seen == self.passes)
            .filter_map(|(_, entry)| entry.sight.proportional.last.map(|(read_ns, _)| read_ns))
            .min()
    }

    /// The live process with this process id, if the last pass saw it.
    pub fn live_one(&self, tgid: u32) -> Option<Live<'_>> {
        let start_ns = *self.by_tgid.get(&tgid)?;
        let id = ProcessId { tgid, start_ns };
        let entry = self.processes.get(id)?;
        let held = entry
            .sight
            .held
            .as_ref()
            .filter(|_| entry.sight.seen == self.passes)?;
        Some(Live { id, held, entry })
    }

    /// Processes that the last pass saw.
    pub fn live(&self) -> impl Iterator<Item = Live<'_>> {
        self.processes
            .iter()
            .filter(|(_, entry)| entry.sight.seen == self.passes)
            .filter_map(|(id, entry)| {
                Some(Live {
                    id,
                    held: entry.sight.held.as_ref()?,
                    entry,
                })
            })
    }
}

/// Books the totals of the exit record of a process that is absent from a pass; its final record, if it comes, adds what is
/// missing. Returns the CPU time of dropped shares, nanoseconds. Returns `None` if that is done already, if no exit record
/// came, or if a sum by comm may hold its final totals.
///
/// A sum holds no process that was born before a pass began and ended after it: the kernel compares the two times. So a process
/// that a pass has credited is in no sum. For a process that no pass has seen, only sums matter that came with its exit record,
/// or one pass before it: a record may wait for the drain after the one that read the sums. Sums that come after this pass
/// cannot hold it, because it was born before this pass began.
fn credit_at_exit(
    entry: &mut Entry,
    is_young: bool,
    summed: Option<u64>,
    ledger: &mut impl Ledger,
) -> Option<u64> {
    let was_credited = entry.sight.held.is_some_and(|held| held.is_credited);
    let Phase::Exited(at_exit) = &entry.phase else {
        return None;
    };
    if !was_credited && summed.is_some_and(|summed| at_exit.passes <= summed + 1) {
        return None;
    }
    let counters = at_exit.counters;
    entry.phase = Phase::Running;
    if is_young {
        entry.booked.trust_records();
    }
    Some(entry.credit(&counters, ledger))
}

/// The threads of one process, from all threads sorted by (tgid, tid).
fn threads_of<'a>(all: &'a [ThreadSample], process: &Sample) -> &'a [ThreadSample] {
    if process.threads <= 1 || all.is_empty() {
        return &[];
    }
    let tgid = process.id.tgid;
    let from = all.partition_point(|thread| thread.tgid < tgid);
    let len = all[from..].partition_point(|thread| thread.tgid == tgid);
    &all[from..from + len]
}

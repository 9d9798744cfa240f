//! The process table: every process that the agent knows, the use that is booked for it, and the account it is booked to.
//!
//! ```text
//! fork record       the child shares its parent's account
//! first exec        the process gets its own account; its use since the fork goes with it (exceptions: launch.rs)
//! later exec        the old image keeps its share (a split); of too many between two passes the smallest are dropped
//! pass              the use of the process is booked; a process without its own account gets one
//! absent from pass  pending, until its final record comes, or unconfirmed after 60 s;
//!                   the totals of its exit record are booked, unless a sum by comm may hold them
//! final record      its totals are booked; the entry closes and leaves a tombstone, or stays while the process is a
//!                   zombie (projected). A repeated record adds only the difference
//! unconfirmed       the entry closes and leaves a tombstone
//! ```
//!
//! Bookings are differences of absolute totals, so duplicated, lost and reordered records do no harm. The use of a process before
//! the start of the agent is not booked. The table holds at most the processes after the last pass, a bounded number of those
//! born since (store.rs) and the bounded tombstones. After a drain for which a record found the ring full, the caller takes a
//! pass.

use super::entry::Entry;
use super::membership::Naming;
use super::owners::SocketOwners;
use super::phase::Phase;
use super::probing::Probing;
use super::registry::ProcessRegistry;
use super::served::RequestOwners;
use super::{
    AccountId, Event, Facts, IncompleteExec, Ledger, Live, LiveThreads, NetworkGauges,
    NetworkReading, Pass, Probe, ProcessId, ProportionalReading, Reopened, RequestReading,
    RequestTally, Sample, TableStatistics, Unclassified, Wanted,
};

/// How long a process absent from the passes waits for its final totals. On an idle machine with lazy RCU, the hook on the free
/// of the task was seen to take half a minute.
const PENDING_NS: u64 = 60_000_000_000;

/// All known processes, with the samples of passes.
#[derive(Debug)]
pub struct Table {
    pub(super) registry: ProcessRegistry,
    probing: Probing,
    sockets: SocketOwners,
    served: RequestOwners,
    /// Number of passes when the last sums by comm came.
    summed: Option<u64>,
}

impl Table {
    /// A table for a source that watches since `since_ns` (nanoseconds since boot). What processes born earlier used before
    /// their first reading is not booked.
    pub fn new(since_ns: u64) -> Self {
        Self {
            registry: ProcessRegistry {
                since_ns,
                ..ProcessRegistry::default()
            },
            probing: Probing::default(),
            sockets: SocketOwners::default(),
            served: RequestOwners::default(),
            summed: None,
        }
    }

    /// Counts about the table itself.
    pub fn statistics(&self) -> TableStatistics {
        TableStatistics {
            network: self.sockets.books(),
            requests: self.served.books(),
            ..self.registry.statistics
        }
    }

    /// Takes one record.
    pub fn apply(&mut self, event: Event, ledger: &mut impl Ledger) {
        self.registry.apply(event, ledger);
    }

    /// Sums by comm came: the use of some process whose exit record is here may be in them.
    pub fn note_sums(&mut self) {
        self.summed = Some(self.registry.processes.passes);
    }

    /// To be called at the end of each drain. It drops the oldest tombstones.
    ///
    /// Returns whether the caller has to take a pass, because the table has outgrown the last one (store.rs). The
    /// pass closes the entries of processes that have ended without a final record. The table therefore holds at most the
    /// processes after the last pass, 4,096 more, and those whose records came in one drain.
    pub fn end_drain(&mut self, ledger: &mut impl Ledger) -> bool {
        self.registry.graves.trim(ledger);
        self.registry.processes.has_outgrown()
    }

    /// Takes one pass: books the use of every process it saw, and closes absent processes for which no final record is
    /// expected.
    pub fn observe(&mut self, pass: &Pass, ledger: &mut impl Ledger) {
        self.registry.processes.passes += 1;
        self.registry.statistics.live = 0;
        self.probing.clear();
        // Known processes first: each of them is looked up once, and a new process finds its parent in any order.
        let mut unknown: Vec<Sample> = Vec::new();
        for sample in &pass.processes {
            if !self.credit_live(sample, pass, ledger) {
                let id = self.registry.known_as(sample.id);
                let sample = Sample { id, ..*sample };
                if !self.credit_live(&sample, pass, ledger) {
                    unknown.push(sample);
                }
            }
        }
        let registry = &mut self.registry;
        for Sample { id, parent, .. } in &unknown {
            if !pass.finals_follow {
                registry.exhume(*id, *parent, ledger);
            }
            if !registry.graves.contains(*id) && !registry.processes.contains(*id) {
                let parent = registry.processes.account_of(*parent);
                // A source without final records has no fork records either, so none is missing.
                registry.add_unannounced(*id, parent, pass.finals_follow, ledger);
            }
        }
        for sample in &unknown {
            self.credit_live(sample, pass, ledger);
        }
        let passes = self.registry.processes.passes;
        for sample in &pass.in_no_group {
            if let Some(entry) = self.registry.processes.entry_mut(sample.id) {
                self.registry.statistics.live += 1;
                let dropped_ns = entry.observe_briefly(sample, pass, passes, ledger);
                self.registry.statistics.drop_cpu(dropped_ns);
            }
        }
        self.close_absent(pass, ledger);
        self.registry.processes.end_pass();
    }

    /// Returns `false` if the table does not know the process.
    fn credit_live(&mut self, sample: &Sample, pass: &Pass, ledger: &mut impl Ledger) -> bool {
        let passes = self.registry.processes.passes;
        let Some(entry) = self.registry.processes.entry_mut(sample.id) else {
            return false;
        };
        let observed = entry.observe(sample, pass, passes, ledger);
        self.registry.statistics.live += 1;
        self.registry.statistics.drop_cpu(observed.dropped_ns);
        if observed.has_run {
            self.probing.note(sample.id);
        }
        if observed.is_separated {
            self.registry.undecided.insert(sample.id);
        }
        true
    }

    fn close_absent(&mut self, pass: &Pass, ledger: &mut impl Ledger) {
        let (registry, summed) = (&mut self.registry, self.summed);
        registry.statistics.pending = 0;
        if registry.statistics.live == registry.processes.len() as u64 {
            return;
        }
        let (passes, since_ns) = (registry.processes.passes, registry.since_ns);
        let mut gone = Vec::new();
        for (id, entry) in registry.processes.iter_mut() {
            if entry.sight.seen == passes || pass.unread.contains(&id.tgid) {
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
            let is_young = id.start_ns >= since_ns;
            let absent_ns = *entry.sight.absent_since_ns.get_or_insert(pass.started_ns);
            if pass.started_ns - absent_ns >= PENDING_NS {
                gone.push((id, false));
            } else {
                registry.statistics.pending += 1;
                let dropped_ns = entry.credit_at_exit(is_young, summed, ledger);
                registry.statistics.drop_cpu(dropped_ns.unwrap_or(0));
            }
        }
        for (id, confirmed) in gone {
            if !confirmed && let Some(entry) = registry.processes.entry_mut(id) {
                registry.statistics.unconfirmed += 1;
                let is_young = id.start_ns >= since_ns;
                let dropped_ns = entry.credit_unconfirmed(is_young, summed, ledger);
                registry.statistics.drop_cpu(dropped_ns);
            }
            registry.close(id, confirmed, ledger);
        }
    }

    /// Reads values that a pass does not carry, for processes and threads that ran since they were last read. Nothing is read for
    /// processes in no group that cannot get into one before they run again: `is_outside` selects them.
    pub fn refresh(
        &mut self,
        pass: &Pass,
        probe: &mut impl Probe,
        is_outside: impl Fn(AccountId) -> bool,
    ) {
        self.probing
            .read(&mut self.registry.processes, pass, probe, is_outside);
    }

    /// Live processes whose account waits for a decision, parents before children.
    pub fn unclassified(&self) -> Vec<Unclassified> {
        self.registry.undecided.live(&self.registry.processes)
    }

    /// The present state of `one` after further records. `None` if its account is decided by now, or it runs another program.
    pub fn still_unclassified(&self, one: &Unclassified) -> Option<Unclassified> {
        let registry = &self.registry;
        registry.undecided.still(one, &registry.processes)
    }

    /// The facts from the exec record of a process that waits for a decision; `None` if no such record came.
    pub fn exec_facts(&self, id: ProcessId) -> Option<&Facts> {
        self.registry.processes.get(id)?.membership.waiting_facts()
    }

    /// Keeps the `/proc` facts of a process that goes on waiting for a decision: they decide if it ends before.
    pub fn note_facts(&mut self, id: ProcessId, facts: Facts, ledger: &mut impl Ledger) {
        let ProcessRegistry {
            processes,
            undecided,
            ..
        } = &mut self.registry;
        let bytes = facts.argv.bytes();
        if let Some(entry) = processes.entry_mut(id)
            && let Naming::Waiting(known) = &mut entry.membership.naming
            && !facts.argv.is_empty()
        {
            let cgroup_id = known.as_ref().and_then(|known| known.cgroup_id);
            *known = Some(Box::new(Facts { cgroup_id, ..facts }));
            undecided.hold_arguments(id, bytes, processes, ledger);
        }
    }

    /// The `/proc` facts of `id` have decided its account.
    pub fn classified(&mut self, id: ProcessId) {
        self.registry.undecided.remove(id);
        if let Some(entry) = self.registry.processes.entry_mut(id) {
            entry.membership.naming = Naming::Decided;
        }
    }

    /// The account of the process is undecided again.
    pub fn reopened(&mut self, id: ProcessId) {
        self.registry.undecided.insert(id);
    }

    /// To be called after a pass: then all use so far is booked, and it stays where it is. All living processes become
    /// [unclassified](Table::unclassified); until a process is decided anew, its old decision holds.
    ///
    /// So does a process that has ended but that the pass still saw (mostly a zombie), if the new configuration may decide
    /// otherwise: `is_outdated` selects such accounts. A process that no pass will see again keeps its group, for all records
    /// that still come.
    ///
    /// Returns the accounts that become undecided, in the order in which the grouper has to learn of it.
    pub fn reclassify(&mut self, is_outdated: impl Fn(AccountId) -> bool) -> Vec<AccountId> {
        let registry = &mut self.registry;
        let undecided = &mut registry.undecided;
        undecided.reclassify(&mut registry.processes, is_outdated)
    }

    /// Live processes in no group (`is_outside`) that were born after `since_ns`, nanoseconds since boot: they may be looked at
    /// again. For a source without exec records. As in process-exporter, a process born after the agent brings its use so far
    /// into its new group, and an older one brings nothing; nor does one that a former configuration may have had in a group.
    pub fn in_no_group_since(
        &self,
        since_ns: u64,
        is_outside: impl Fn(AccountId) -> bool,
    ) -> Vec<Reopened> {
        let live = self.registry.processes.live().filter(|live| {
            let is_young = live.id.start_ns >= since_ns;
            is_young && is_outside(live.account())
        });
        let reopened = live.map(|live| {
            let brings_use = self.registry.is_young(live.id) && !live.entry.is_use_fixed;
            Reopened {
                id: live.id,
                account: live.account(),
                used: brings_use.then(|| live.used().into()),
            }
        });
        reopened.collect()
    }

    /// Start of the process with this process id, nanoseconds since boot, if a pass need read only its `stat`: the last pass
    /// saw it, it is decided to be in no group, and it was born before `since_ns`, so that no pass looks at it again. Only where
    /// `/proc` is the only source.
    pub fn in_no_group(
        &self,
        tgid: u32,
        since_ns: u64,
        is_outside: impl Fn(AccountId) -> bool,
    ) -> Option<u64> {
        let live = self.live_one(tgid)?;
        let is_outside = live.id.start_ns < since_ns && is_outside(live.account());
        let is_undecided = self.registry.undecided.contains(live.id);
        let is_settled = live.entry.membership.is_own() && !is_undecided;
        (is_settled && is_outside).then_some(live.id.start_ns)
    }

    /// Accounts of the processes that are not known to be gone: the last pass saw them, could not read them, or began before
    /// their birth.
    pub fn present(&self) -> impl Iterator<Item = AccountId> {
        let passes = self.registry.processes.passes;
        let is_present = move |entry: &&Entry| entry.sight.seen == passes || !entry.has_ended();
        let entries = self.registry.processes.iter().map(|(_, entry)| entry);
        entries.filter(is_present).map(Entry::account)
    }

    /// The threads of each live process that may have several.
    pub fn live_threads(&mut self, pass: &Pass) -> impl Iterator<Item = LiveThreads<'_>> {
        let (since_ns, now_ns) = (self.registry.since_ns, pass.started_ns);
        let passes = self.registry.processes.passes;
        let processes = self.registry.processes.iter_mut().map(|(_, entry)| entry);
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
        let found = self.registry.undecided.take_incomplete();
        let is_there = |one: &IncompleteExec| self.waiting_exec(one.id, one.account).is_some();
        found.into_iter().filter(is_there).collect()
    }

    /// The cgroup v2 id from the exec record of `id`. `None` if the process has ended, is decided, or runs another program.
    pub fn waiting_exec(&self, id: ProcessId, account: AccountId) -> Option<Option<u64>> {
        let entry = self.registry.processes.get(id)?;
        let facts = entry.membership.waiting_facts();
        let facts = facts.filter(|_| entry.account() == account);
        facts.map(|facts| facts.cgroup_id)
    }

    /// Takes readings. Ignores those of a process that is gone, has another identity by now, or runs another image.
    pub fn note_proportional(&mut self, readings: impl IntoIterator<Item = ProportionalReading>) {
        for reading in readings {
            let entry = self.registry.processes.entry_mut(reading.wanted.id);
            if let Some(entry) = entry.filter(|entry| entry.account() == reading.wanted.account) {
                entry.sight.proportional.note(&reading);
            }
        }
    }

    /// Live processes with memory that ran since they were last read: first those never read, then those with the oldest
    /// reading. Processes in no group are left out: `is_outside` selects them.
    pub fn wanted_proportional(&self, is_outside: impl Fn(AccountId) -> bool) -> Vec<Wanted> {
        let wanted = self.live().filter_map(|live| live.wanted());
        let mut found: Vec<_> = wanted
            .filter(|(_, wanted)| !is_outside(wanted.account))
            .collect();
        found.sort_by_key(|(read_ns, _)| *read_ns);
        found.into_iter().map(|(_, wanted)| wanted).collect()
    }

    /// Time of the oldest reading of a live process; `None` if there is none.
    pub fn oldest_proportional_ns(&self) -> Option<u64> {
        self.live().filter_map(|live| live.proportional_ns()).min()
    }

    /// Books the traffic of sockets since the reading before, each sum to the account that its process has now. To be called
    /// after a pass that began after the reading, when its processes are classified: then the table knows each process that had a
    /// socket, unless its records were lost, and few bookings wait for a decision.
    ///
    /// Returns the processes whose sums the kernel need not keep any more.
    pub fn book_network(
        &mut self,
        reading: &NetworkReading,
        ledger: &mut impl Ledger,
    ) -> Vec<ProcessId> {
        let Self {
            registry, sockets, ..
        } = self;
        sockets.take(reading, |id| registry.owner_account(id), ledger)
    }

    /// Books the requests that processes have served since the reading before, as [`Self::book_network`] does for sockets.
    ///
    /// Returns the processes whose counts the kernel need not keep any more.
    pub fn book_requests(
        &mut self,
        reading: &RequestReading,
        ledger: &mut impl Ledger,
    ) -> Vec<ProcessId> {
        let Self {
            registry, served, ..
        } = self;
        served.take(reading, |id| registry.owner_account(id), ledger)
    }

    /// The account of each process of the last reading of requests, and the requests that it has served since it is watched.
    pub fn serving(&self) -> impl Iterator<Item = (AccountId, &RequestTally)> {
        self.served.all()
    }

    /// The live processes of the last reading of requests, their accounts, and the requests that they have served since they are
    /// watched.
    pub fn living_servers(&self) -> impl Iterator<Item = (ProcessId, AccountId, &RequestTally)> {
        self.served.living()
    }

    /// Account, scope and gauges of each process with living sockets. To be called after [`Self::book_network`], with the same
    /// reading.
    pub fn living_sockets<'a>(
        &'a self,
        reading: &'a NetworkReading,
    ) -> impl Iterator<Item = (AccountId, usize, &'a NetworkGauges)> {
        self.sockets.living(reading)
    }

    /// The live process with this process id, if the last pass saw it.
    pub fn live_one(&self, tgid: u32) -> Option<Live<'_>> {
        let processes = &self.registry.processes;
        processes.live_one(processes.latest(tgid)?)
    }

    /// The account of a process, as it is now or was at its end; `None` if the table has forgotten it.
    pub fn account_of(&mut self, id: ProcessId) -> Option<AccountId> {
        Some(self.registry.owner_account(id)?.account)
    }

    /// Whether the process is not known to be gone: it has not ended, or its final totals are awaited.
    pub fn is_known(&self, id: ProcessId) -> bool {
        let known = self.registry.processes.latest(id.tgid);
        known.is_some_and(|known| known.tick() == id.tick())
    }

    /// Processes that the last pass saw.
    pub fn live(&self) -> impl Iterator<Item = Live<'_>> {
        self.registry.processes.live()
    }
}

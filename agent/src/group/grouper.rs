//! The grouper: which account belongs to which group, and what each group has used and holds.
//!
//! Bookings come from the process table, decisions from a placer (selectors and name templates). Group counters never
//! fall. Groups are bounded, all together and for each item that says so: beyond `max_groups` the processes of a new name,
//! or of new labels, go to the group `other`, and are counted.

use super::{
    Gauges, Group, Labels, Placement, Verdict,
    account::{Accounts, Decision, GroupIndex},
};
use crate::process::{
    AccountId, Coarse, Counters, Delta, Facts, Ledger, Live, Memory, State, Tally,
};
use std::collections::HashMap;

/// The group that takes those for which no more groups may be made.
const REST: &str = "other";
/// Wait channels told apart in one group; the rest share the value `other`.
const WCHANS: usize = 128;

/// Says where a process belongs.
pub type Placer = Box<dyn Fn(&Facts) -> Verdict + Send>;

/// Counts about the grouper itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Accounts in use.
    pub accounts: u64,
    /// Accounts that went to the group `other`, because there were groups enough.
    pub overflowed: u64,
    /// Accounts decided by incomplete facts: the process was gone, and its event could not carry all.
    pub incomplete: u64,
    /// CPU time that was told only as a sum by comm and matched no group, nanoseconds.
    pub unattributed_cpu_ns: u64,
}

/// See the module.
pub struct Grouper {
    placer: Placer,
    max_groups: usize,
    accounts: Accounts,
    /// Accounts that wait for an ancestor.
    unmatched: Vec<AccountId>,
    groups: Vec<Group>,
    by_name: HashMap<(String, Labels), GroupIndex>,
    /// Groups that each item has made.
    made: HashMap<usize, u32>,
    statistics: Statistics,
}

impl std::fmt::Debug for Grouper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Grouper")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

impl Ledger for Grouper {
    fn open(&mut self, ancestor: Option<AccountId>) -> AccountId {
        self.accounts.open(ancestor)
    }

    fn share(&mut self, account: AccountId) {
        self.accounts.share(account);
    }

    fn close(&mut self, id: AccountId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(account) = self.accounts.account_mut(id) else {
                return;
            };
            account.users = account.users.saturating_sub(1);
            if account.users > 0 {
                return;
            }
            if account.decision == Decision::Open {
                // Nobody ever saw its facts, and nobody will.
                self.follow_ancestor(id);
            }
            let Some(gone) = self.accounts.remove(id) else {
                return;
            };
            let heir = gone
                .ancestor
                .and_then(|heir| self.accounts.account_mut(heir));
            if let (Some(heir), Some(waiting)) = (heir, gone.waiting) {
                heir.waiting.get_or_insert_default().add(&waiting);
            }
            next = gone.ancestor;
        }
    }

    fn identify(&mut self, id: AccountId, facts: &Facts) {
        if self
            .accounts
            .get(id)
            .is_none_or(|account| account.decision != Decision::Open)
        {
            return;
        }
        self.statistics.incomplete += u64::from(facts.incomplete);
        match (self.placer)(facts) {
            Verdict::Member(placement) => {
                let group = self.group(placement);
                self.decide(id, Decision::Member(group));
            }
            Verdict::Excluded { .. } => self.decide(id, Decision::Nowhere),
            Verdict::Unmatched => self.follow_ancestor(id),
        }
    }

    fn book(&mut self, id: AccountId, tally: &Tally) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        match account.decision {
            Decision::Open | Decision::Unmatched => {
                account.waiting.get_or_insert_default().add(tally)
            }
            Decision::Member(group) => self.groups[group.0].total.add(tally),
            Decision::Nowhere => {}
        }
    }
}

impl Grouper {
    /// A grouper that makes at most `max_groups` groups and one more for the rest.
    pub fn new(placer: Placer, max_groups: usize) -> Self {
        Self {
            placer,
            max_groups,
            accounts: Accounts::default(),
            unmatched: Vec::new(),
            groups: Vec::new(),
            by_name: HashMap::new(),
            made: HashMap::new(),
            statistics: Statistics::default(),
        }
    }

    /// All groups there ever were, in the order of their making.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Counts about the grouper itself.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            accounts: self.accounts.len() as u64,
            ..self.statistics
        }
    }

    /// Whether it is decided that the account is in no group.
    pub fn is_outside(&self, account: AccountId) -> bool {
        self.accounts
            .get(account)
            .is_some_and(|account| account.decision == Decision::Nowhere)
    }

    /// Decides the account of a living process: by its own facts, else with its present parent.
    pub fn place(&mut self, id: AccountId, parent: Option<AccountId>, facts: &Facts) {
        self.adopt(id, parent);
        self.identify(id, facts);
    }

    fn adopt(&mut self, id: AccountId, ancestor: Option<AccountId>) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        if account.decision != Decision::Open || ancestor == Some(id) {
            return;
        }
        let former = std::mem::replace(&mut account.ancestor, ancestor);
        if let Some(ancestor) = ancestor {
            self.accounts.share(ancestor);
        }
        if let Some(former) = former {
            self.close(former);
        }
    }

    /// Books a sum by comm to the group that its comm alone gives.
    pub fn book_coarse(&mut self, coarse: &Coarse) {
        let facts = coarse.comm.as_ref().map(|comm| Facts {
            comm: comm.clone(),
            argv: vec![comm.clone()],
            incomplete: true,
            ..Facts::default()
        });
        let tally = Tally {
            delta: whole(&coarse.counters),
            lifecycle: coarse.lifecycle,
        };
        match facts.map_or(Verdict::Unmatched, |facts| (self.placer)(&facts)) {
            Verdict::Member(placement) => {
                let group = self.group(placement);
                self.groups[group.0].total.add(&tally);
            }
            Verdict::Excluded { .. } => {}
            Verdict::Unmatched => {
                let Delta {
                    user_ns, system_ns, ..
                } = tally.delta;
                let coarse_ns = user_ns.saturating_add(system_ns);
                let sum = &mut self.statistics.unattributed_cpu_ns;
                *sum = sum.saturating_add(coarse_ns);
            }
        }
    }

    /// Decides the accounts whose ancestor has been decided meanwhile. To be called after each batch.
    pub fn settle(&mut self) {
        for id in std::mem::take(&mut self.unmatched) {
            // The number may be another account's by now.
            let account = self.accounts.get(id);
            if account.is_some_and(|account| account.decision == Decision::Unmatched) {
                self.follow_ancestor(id);
            }
        }
    }

    fn follow_ancestor(&mut self, id: AccountId) {
        let above = self.nearest(id);
        let decision = above
            .and_then(|id| self.accounts.get(id))
            .map(|account| account.decision);
        let decision = decision.unwrap_or(Decision::Nowhere);
        if decision != Decision::Open {
            return self.decide(id, decision);
        }
        self.unmatched.push(id);
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        account.decision = Decision::Unmatched;
        if account.ancestor != above {
            // Past those that follow somebody themselves: lines stay short, however deep processes are nested.
            let former = std::mem::replace(&mut account.ancestor, above);
            above
                .into_iter()
                .for_each(|above| self.accounts.share(above));
            former.into_iter().for_each(|former| self.close(former));
        }
    }

    /// The nearest ancestor that does not itself follow one.
    fn nearest(&self, id: AccountId) -> Option<AccountId> {
        let mut above = self.accounts.get(id)?.ancestor?;
        // Two reparented processes could name each other; no real line is longer than accounts exist.
        for _ in 0..=self.accounts.len() {
            let account = self.accounts.get(above)?;
            if above == id {
                return None;
            }
            if account.decision != Decision::Unmatched {
                return Some(above);
            }
            above = account.ancestor?;
        }
        None
    }

    fn decide(&mut self, id: AccountId, decision: Decision) {
        let Some(account) = self.accounts.account_mut(id) else {
            return;
        };
        account.decision = decision;
        let waited = account.waiting.take();
        let ancestor = account.ancestor.take();
        if let (Decision::Member(group), Some(waited)) = (decision, waited) {
            self.groups[group.0].total.add(&waited);
        }
        if let Some(ancestor) = ancestor {
            self.close(ancestor);
        }
    }

    fn group(&mut self, placement: Placement) -> GroupIndex {
        let identity = (placement.name, placement.labels);
        if let Some(known) = self.by_name.get(&identity) {
            return *known;
        }
        let made = self.made.entry(placement.item).or_default();
        let is_full = self.groups.len() >= self.max_groups
            || placement.max_groups.is_some_and(|most| *made >= most);
        *made += u32::from(!is_full);
        self.statistics.overflowed += u64::from(is_full);
        let rest = || (REST.to_owned(), Labels::new());
        let identity = if is_full { rest() } else { identity };
        let next = GroupIndex(self.groups.len());
        let index = *self.by_name.entry(identity.clone()).or_insert(next);
        if index == next {
            let (name, labels) = identity;
            self.groups.push(Group {
                name,
                labels,
                ..Group::default()
            });
        }
        index
    }

    /// Sums up what the live members of each group hold.
    pub fn measure<'a>(&mut self, live: impl Iterator<Item = Live<'a>>) {
        for group in &mut self.groups {
            group.gauges = Gauges::default();
        }
        for process in live {
            let decision = self
                .accounts
                .get(process.account())
                .map(|account| account.decision);
            if let Some(Decision::Member(group)) = decision {
                add(&mut self.groups[group.0].gauges, &process);
            }
        }
    }
}

fn add(gauges: &mut Gauges, process: &Live<'_>) {
    gauges.processes += 1;
    let Memory {
        resident_bytes,
        virtual_bytes,
        swapped_bytes,
    } = process.memory();
    gauges.resident_bytes = gauges.resident_bytes.saturating_add(resident_bytes);
    gauges.virtual_bytes = gauges.virtual_bytes.saturating_add(virtual_bytes);
    gauges.swapped_bytes = gauges.swapped_bytes.saturating_add(swapped_bytes);
    gauges.threads += u64::from(process.threads());
    let start_ns = process.start_ns();
    gauges.oldest_start_ns = Some(
        gauges
            .oldest_start_ns
            .map_or(start_ns, |old| old.min(start_ns)),
    );
    if let Some(open_files) = process.open_files() {
        gauges.open_files += open_files;
        if let Some(limit) = process.fd_limit() {
            // As process-exporter divides: a limit of 0 gives +Inf, or nothing when nothing is open.
            let ratio = open_files as f64 / limit as f64;
            gauges.worst_fd_ratio = gauges.worst_fd_ratio.max(ratio);
        }
    }
    for state in process.states() {
        gauges.states[index_of(state)] += 1;
    }
    for wchan in process.wchans() {
        if let Some(count) = gauges.wchans.get_mut(wchan) {
            *count += 1;
            continue;
        }
        let is_full = gauges.wchans.len() >= WCHANS;
        let name = if is_full { REST } else { wchan };
        *gauges.wchans.entry(name.to_owned()).or_default() += 1;
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

/// `counters` as a difference to nothing.
fn whole(counters: &Counters) -> Delta {
    let Counters {
        cpu,
        faults,
        io,
        switches,
        run_queue_wait_ns,
    } = counters;
    let io = io.unwrap_or_default();
    let switches = switches.unwrap_or_default();
    Delta {
        user_ns: cpu.user_ns,
        system_ns: cpu.system_ns,
        read_bytes: io.read_bytes,
        write_bytes: io.write_bytes,
        major_faults: faults.major,
        minor_faults: faults.minor,
        voluntary_switches: switches.voluntary,
        nonvoluntary_switches: switches.nonvoluntary,
        run_queue_wait_ns: run_queue_wait_ns.unwrap_or(0),
    }
}

#[cfg(test)]
#[path = "grouper_tests.rs"]
mod tests;

//! Applies the same history to the groups and checks that no counter of a group falls.

use std::collections::BTreeMap;

use crate::group::{Grouper, Placement, Policy, Verdict};
use crate::process::{Event, Facts, Pass, Table, Tally};

/// Places a process by the length of its first argument: in one of five groups, of which three have room; with its parent;
/// or in no group.
fn place(facts: &Facts) -> Verdict {
    let length = facts.argv.first().map_or(0, <[u8]>::len);
    match length % 7 {
        5 => Verdict::Unmatched,
        6 => Verdict::Excluded { item: 1 },
        n => Verdict::Member(Placement {
            item: 0,
            name: format!("g{n}"),
            labels: Vec::new(),
            max_groups: Some(3),
            counts_requests: false,
            shows_servers: false,
            is_cut: false,
        }),
    }
}

/// All numbers of a tally as an array.
pub(super) fn numbers(tally: &Tally) -> [u64; 15] {
    let Tally { delta, lifecycle } = tally;
    [
        delta.user_ns,
        delta.system_ns,
        delta.read_bytes,
        delta.write_bytes,
        delta.major_faults,
        delta.minor_faults,
        delta.voluntary_switches,
        delta.nonvoluntary_switches,
        delta.run_queue_wait_ns,
        lifecycle.forks,
        lifecycle.execs,
        lifecycle.exits_success,
        lifecycle.exits_failure,
        lifecycle.exits_signal,
        lifecycle.oom_kills,
    ]
}

pub(super) struct CheckedGroups {
    table: Table,
    grouper: Grouper,
    /// The last numbers of each group, by its id.
    shown: BTreeMap<u64, [u64; 15]>,
    /// Number of groups that no longer exist.
    gone: u64,
}

impl CheckedGroups {
    pub(super) fn new(since_ns: u64) -> Self {
        let policy = Policy {
            max_groups: 4,
            children: true,
            remove_empty: false,
        };
        Self {
            table: Table::new(since_ns),
            grouper: Grouper::new(Box::new(place), policy),
            shown: BTreeMap::new(),
            gone: 0,
        }
    }

    pub(super) fn apply(&mut self, event: Event) {
        self.table.apply(event, &mut self.grouper);
        self.grouper.settle();
    }

    pub(super) fn observe(&mut self, pass: &Pass) {
        self.table.observe(pass, &mut self.grouper);
        for one in self.table.unclassified() {
            let exec = self.table.exec_facts(one.id).cloned();
            let facts = exec.unwrap_or_default();
            self.grouper.place(one.account, one.parent, &facts);
            self.table.classified(one.id);
        }
        self.grouper.settle();
        self.grouper.measure(self.table.live());
    }

    /// Checks that no counter of a group fell since the last call, and returns the sum over all groups.
    pub(super) fn check(&mut self) -> Tally {
        let mut all = Tally::default();
        for group in self.grouper.groups() {
            all.add(&group.total);
            let now = numbers(&group.total);
            let before = self.shown.insert(group.id, now).unwrap_or_default();
            let fell = before.iter().zip(now).any(|(before, now)| *before > now);
            assert!(!fell, "{} fell from {before:?} to {now:?}", group.name);
        }
        let present: Vec<u64> = self.grouper.groups().iter().map(|group| group.id).collect();
        self.gone += self.shown.keys().filter(|id| !present.contains(id)).count() as u64;
        self.shown.retain(|id, _| present.contains(id));
        assert!(self.gone <= self.grouper.statistics().folded_groups);
        // At most four groups, and the one that takes the rest.
        assert!(self.shown.len() == present.len() && present.len() <= 5);
        all
    }
}

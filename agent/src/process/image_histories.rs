//! Random sequences of execs: no image is booked more than it used, and every dropped share is counted.

use std::collections::HashMap;

use proptest::prelude::*;

use super::entry::SHARES;
use super::histories::{counters, sample};
use super::sums::Sums;
use super::*;

const PARENT: ProcessId = ProcessId {
    tgid: 1,
    start_ns: 1,
};
const CHILD: ProcessId = ProcessId {
    tgid: 2,
    start_ns: 2000,
};
/// Real user id of the child.
const UID: u32 = 1000;

#[derive(Debug, Clone)]
enum ImageStep {
    Run(u64),
    Exec(Launch),
    /// Several execs of which only the last has a record, and the use after each of the others.
    MergedExecs(Launch, Vec<u64>),
    Pass {
        is_setuid: bool,
    },
}

fn launch() -> impl Strategy<Value = Launch> {
    let unless = Launch::Unless { real_uid: UID };
    prop::sample::select(vec![Launch::Taken, Launch::Left, unless])
}

fn step() -> impl Strategy<Value = ImageStep> {
    let merged = prop::collection::vec(0u64..100, 1..4);
    prop_oneof![
        8 => (0u64..1000).prop_map(ImageStep::Run),
        8 => launch().prop_map(ImageStep::Exec),
        2 => (launch(), merged).prop_map(|(launch, used)| ImageStep::MergedExecs(launch, used)),
        1 => any::<bool>().prop_map(|is_setuid| ImageStep::Pass { is_setuid }),
    ]
}

/// One process, forked by another.
struct History {
    now_ns: u64,
    used_ns: u64,
    /// The accounts of all images so far, and the most that may be booked to each.
    accounts: HashMap<AccountId, u64>,
    has_execed: bool,
    table: Table,
    sums: Sums,
}

impl History {
    fn new() -> Self {
        let mut history = Self {
            now_ns: 3000,
            used_ns: 0,
            accounts: HashMap::new(),
            has_execed: false,
            table: Table::new(1000),
            sums: Sums::default(),
        };
        history.observe(vec![sample(PARENT, 0)]);
        let (child, parent) = (CHILD, PARENT);
        history.apply(Event::Forked { child, parent });
        history
    }

    fn apply(&mut self, event: Event) {
        self.table.apply(event, &mut self.sums);
    }

    fn observe(&mut self, processes: Vec<Sample>) {
        self.now_ns += 10;
        let pass = Pass {
            started_ns: self.now_ns,
            finals_follow: true,
            processes,
            ..Pass::default()
        };
        self.table.observe(&pass, &mut self.sums);
    }

    fn account(&self) -> AccountId {
        let processes = &self.table.registry.processes;
        processes.account_of(CHILD.tgid).unwrap()
    }

    /// The present image uses `ns` of CPU time.
    fn run(&mut self, ns: u64) {
        self.used_ns += ns;
        *self.accounts.entry(self.account()).or_default() += ns;
    }

    fn exec(&mut self, launch: Launch, merged: &[u64]) {
        let before = self.account();
        let first = counters(self.used_ns);
        self.used_ns += merged.iter().sum::<u64>();
        let former = Former {
            launch,
            merged: (!merged.is_empty()).then(|| {
                Box::new(Merged {
                    execs: merged.len() as u64,
                    counters: first,
                })
            }),
        };
        self.apply(Event::Execed {
            id: CHILD,
            facts: Box::default(),
            parent: PARENT.tgid,
            counters: counters(self.used_ns),
            former,
        });
        // Only the launch of the first program may move from another image.
        let is_taken = !self.has_execed && launch != Launch::Left && merged.is_empty();
        let launch_ns = self.accounts.get(&before).copied().unwrap_or(0);
        let limit = self.accounts.entry(self.account()).or_default();
        *limit += if is_taken { launch_ns } else { 0 };
        self.has_execed = true;
    }

    fn take(&mut self, step: &ImageStep) {
        match step {
            ImageStep::Run(ns) => self.run(*ns),
            ImageStep::Exec(launch) => self.exec(*launch, &[]),
            ImageStep::MergedExecs(launch, used) => self.exec(*launch, used),
            ImageStep::Pass { is_setuid } => {
                let before = self.account();
                let child = Sample {
                    effective_uid: Some(if *is_setuid { 0 } else { UID }),
                    has_borrowed_ids: *is_setuid,
                    ..sample(CHILD, self.used_ns)
                };
                self.observe(vec![sample(PARENT, 0), child]);
                // A fork that a pass finds alive gets an account of its own.
                let limit = self.accounts.get(&before).copied().unwrap_or(0);
                self.accounts.entry(self.account()).or_insert(limit);
            }
        }
    }

    fn booked_ns(&self, account: AccountId) -> u64 {
        let tally = self.sums.by_account.get(&account);
        tally.map_or(0, |tally| tally.delta.cpu_ns())
    }
}

proptest! {
    #[test]
    fn no_image_is_billed_for_more_than_it_used(steps in prop::collection::vec(step(), 1..80)) {
        let mut history = History::new();
        for step in &steps {
            history.take(step);
            for account in history.sums.by_account.keys() {
                let most_ns = history.accounts.get(account).copied().unwrap_or(0);
                let booked_ns = history.booked_ns(*account);
                prop_assert!(booked_ns <= most_ns, "{account:?}: {booked_ns} of {most_ns}");
            }
        }
        history.apply(super::histories::released(CHILD, history.used_ns));
        let dropped_ns = history.table.statistics().dropped_cpu_ns;
        let booked_ns = history.sums.total.delta.cpu_ns();
        prop_assert_eq!(booked_ns + dropped_ns, history.used_ns);
        let users = history.sums.users.values().sum::<i64>();
        prop_assert_eq!(users, 2, "its parent's and its tombstone's");
    }
}

/// A process that uses `used` CPU times in successive programs and ends. Returns the booked shares and the dropped CPU time.
fn programs(used: &[u64]) -> (Vec<u64>, u64) {
    let mut history = History::new();
    for ns in used {
        history.exec(Launch::Taken, &[]);
        history.run(*ns);
    }
    history.apply(super::histories::released(CHILD, history.used_ns));
    let shares = history.sums.by_account.values();
    let shares = shares.map(|tally| tally.delta.cpu_ns());
    let shares = shares.filter(|ns| *ns > 0).collect();
    (shares, history.table.statistics().dropped_cpu_ns)
}

#[test]
fn of_too_many_programs_the_smallest_share_is_dropped_and_counted() {
    let mut used: Vec<u64> = (0..=SHARES as u64).map(|n| 10 + n).collect();
    assert_eq!(programs(&used).1, 0);
    // With one more program the first share is not the smallest any more, and the dropped share is booked to no other program.
    used[0] = 3000;
    used[3] = 1;
    used.push(7);
    let (shares, dropped_ns) = programs(&used);
    let mut expected = used;
    expected.remove(3);
    assert_eq!(shares, expected);
    assert_eq!(dropped_ns, 1);
}

/// Returns the CPU time booked to the parent's image and to the program. No share may be dropped.
fn launched(launch: Launch, now: Sample, by_pass: bool) -> (u64, u64) {
    let mut history = History::new();
    let image = history.account();
    history.run(1000);
    history.exec(launch, &[]);
    let program = history.account();
    history.run(5);
    if by_pass {
        history.observe(vec![sample(PARENT, 0), now]);
    }
    history.apply(super::histories::released(CHILD, history.used_ns));
    assert_eq!(history.table.statistics().dropped_cpu_ns, 0);
    (history.booked_ns(image), history.booked_ns(program))
}

#[test]
fn launch_stays_with_the_former_image_where_the_exec_changed_hands() {
    let uids = |effective, has_borrowed_ids| Sample {
        effective_uid: Some(effective),
        has_borrowed_ids,
        ..sample(CHILD, 1005)
    };
    let (own, root, setuid) = (uids(UID, false), uids(0, false), uids(0, true));
    let unless = |real_uid| Launch::Unless { real_uid };
    for (launch, now, by_pass, is_left) in [
        (Launch::Taken, own, true, false),
        // The exec record decides, even if the process changes its ids later.
        (Launch::Taken, setuid, true, false),
        (Launch::Left, setuid, true, true),
        (Launch::Left, own, true, true),
        (Launch::Left, own, false, true),
        (unless(UID), own, true, false),
        (unless(UID), setuid, true, true),
        // The process has set its real and effective user id to root.
        (unless(UID), root, true, true),
        // A set-group-ID program.
        (unless(UID), uids(UID, true), true, true),
        // A daemon that root started and that gave up its rights.
        (unless(0), uids(33, false), true, false),
        // The process ends before any pass sees it: the records of tracepoints do not suffice.
        (unless(UID), own, false, false),
    ] {
        let expected = if is_left { (1000, 5) } else { (0, 1005) };
        let found = launched(launch, now, by_pass);
        assert_eq!(found, expected, "{launch:?} {by_pass} {now:?}");
    }
}

#[test]
fn first_sight_of_a_set_user_id_program_drops_earlier_use() {
    let setuid = Sample {
        effective_uid: Some(0),
        has_borrowed_ids: true,
        ..sample(CHILD, 1000)
    };
    for finals_follow in [false, true] {
        let mut table = Table::new(1000);
        let mut sums = Sums::default();
        let mut pass = |used| {
            let sample = Sample {
                counters: counters(used),
                ran_marker: used,
                ..setuid
            };
            let pass = Pass {
                started_ns: 3000 + used,
                finals_follow,
                processes: vec![sample],
                ..Pass::default()
            };
            table.observe(&pass, &mut sums);
            (sums.total.delta.cpu_ns(), table.statistics().dropped_cpu_ns)
        };
        assert_eq!(pass(1000), (0, 1000));
        assert_eq!(pass(1005), (5, 1000));
    }
}

#[test]
fn fork_whose_set_user_id_exec_record_was_lost_bills_its_image() {
    let mut history = History::new();
    let image = history.account();
    history.run(1000);
    history.take(&ImageStep::Pass { is_setuid: true });
    assert_ne!(history.account(), image);
    assert_eq!(history.booked_ns(image), 1000);
    assert_eq!(history.booked_ns(history.account()), 0);
}

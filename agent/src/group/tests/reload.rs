//! A change of the configuration at any moment: the process table and the grouper together.

use crate::group::{Grouper, Placement, Placer, Policy, Verdict};
use crate::process::{
    Counters, Cpu, Event, ExitStatus, Facts, Former, Memory, Pass, Probe, ProcessId, Released,
    Sample, State, Table, Tally,
};

/// A table and a grouper, driven as the pipeline drives them.
pub(super) struct ReloadNode {
    pub(super) table: Table,
    pub(super) grouper: Grouper,
}

pub(super) fn facts(comm: &str) -> Facts {
    Facts {
        comm: comm.as_bytes().to_vec(),
        argv: [comm].iter().collect(),
        ..Facts::default()
    }
}

pub(super) fn counters(user_ns: u64) -> Counters {
    Counters {
        cpu: Cpu {
            user_ns,
            system_ns: 0,
        },
        ..Counters::default()
    }
}

impl ReloadNode {
    /// A node whose source watches since 1000.
    pub(super) fn new(placer: Placer, max_groups: usize) -> Self {
        let policy = Policy {
            max_groups,
            children: true,
            remove_empty: false,
        };
        Self {
            table: Table::new(1000),
            grouper: Grouper::new(placer, policy),
        }
    }

    pub(super) fn apply(&mut self, event: Event) {
        self.table.apply(event, &mut self.grouper);
        self.grouper.settle();
    }

    /// A pass that sees these processes, with their CPU time.
    pub(super) fn observe(&mut self, now_ns: u64, live: impl Iterator<Item = (ProcessId, u64)>) {
        let samples = live.map(|(id, used)| sample(id, used, State::Sleeping));
        self.observe_samples(now_ns, samples.collect());
    }

    fn observe_samples(&mut self, started_ns: u64, processes: Vec<Sample>) {
        let pass = Pass {
            started_ns,
            finals_follow: true,
            processes,
            ..Pass::default()
        };
        self.table.observe(&pass, &mut self.grouper);
    }

    /// Classifies all undecided processes; `name` returns the comm of those that can be read.
    pub(super) fn classify(&mut self, name: impl Fn(ProcessId) -> Option<String>) {
        for one in self.table.unclassified() {
            if let Some(name) = name(one.id) {
                self.grouper.place(one.account, one.parent, &facts(&name));
                self.table.classified(one.id);
            }
        }
        self.grouper.settle();
        self.grouper.measure(self.table.live());
    }

    pub(super) fn reconfigure(&mut self, placer: Placer) {
        self.grouper.reconfigure(placer, Vec::new(), |_| false);
        self.reclassify();
    }

    fn reclassify(&mut self) {
        let Self { table, grouper } = self;
        for account in table.reclassify(|account| grouper.is_outdated(account)) {
            grouper.undecide(account);
        }
    }

    /// All bookings that wait in accounts.
    pub(super) fn waiting(&mut self) -> Tally {
        let mut all = Tally::default();
        for account in self.grouper.accounts.iter_mut() {
            let waiting = account.waiting.iter();
            waiting.for_each(|waiting| all.add(&waiting.used));
        }
        all
    }

    /// Name, CPU time and live processes of each group.
    fn shown(&self) -> Vec<(&str, u64, u64)> {
        let groups = self.grouper.groups().iter();
        groups
            .map(|group| {
                let used = group.total.delta.user_ns;
                (group.name.as_str(), used, group.gauges.processes)
            })
            .collect()
    }
}

fn sample(id: ProcessId, used: u64, state: State) -> Sample {
    Sample {
        effective_uid: None,
        has_borrowed_ids: false,
        cgroup_id: None,
        id,
        parent: 1,
        state,
        counters: counters(used),
        memory: Memory::default(),
        threads: 1,
        fd_limit: None,
        ran_marker: used,
    }
}

const fn id(tgid: u32) -> ProcessId {
    ProcessId {
        tgid,
        start_ns: 2000,
    }
}

/// Names the group of each process `prefix` plus its comm; `x` matches nothing, `-` is excluded.
fn prefixed(prefix: &str) -> Placer {
    let prefix = prefix.to_owned();
    Box::new(move |facts| match &facts.comm[..] {
        b"x" => Verdict::Unmatched,
        b"-" => Verdict::Excluded { item: 0 },
        comm => {
            let name = format!("{prefix}{}", String::from_utf8_lossy(comm));
            Verdict::Member(Placement::plain(0, name))
        }
    })
}

fn named(names: &'static [(u32, &'static str)]) -> impl Fn(ProcessId) -> Option<String> {
    move |id| {
        let found = names.iter().find(|(tgid, _)| *tgid == id.tgid);
        found.map(|(_, name)| (*name).to_owned())
    }
}

/// A node with these processes, all called `a`, all in the group `1a`, each with 10 used.
fn with_members(tgids: &[u32]) -> ReloadNode {
    let mut node = ReloadNode::new(prefixed("1"), 9);
    node.observe(3000, tgids.iter().map(|tgid| (id(*tgid), 10)));
    node.classify(|_| Some("a".to_owned()));
    node
}

fn ends(node: &mut ReloadNode, tgid: u32, used: u64) {
    node.apply(Event::Exited {
        id: id(tgid),
        counters: counters(used),
        status: ExitStatus::Success,
        oom_killed: false,
    });
    released(node, tgid, used);
}

fn released(node: &mut ReloadNode, tgid: u32, used: u64) {
    node.apply(Event::Released(Box::new(Released {
        id: id(tgid),
        parent: 1,
        facts: facts("a"),
        counters: counters(used),
        projected: false,
        repeated: false,
    })));
}

#[test]
fn living_processes_move_and_their_earlier_use_does_not() {
    let mut node = with_members(&[5, 6]);
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(5, "a"), (6, "b")]));
    assert_eq!(node.shown(), [("1a", 20, 0), ("2a", 0, 1), ("2b", 0, 1)]);
    node.observe(4000, [(id(5), 11), (id(6), 12)].into_iter());
    ends(&mut node, 6, 15);
    assert_eq!(node.shown(), [("1a", 20, 0), ("2a", 1, 1), ("2b", 5, 1)]);
    node.reconfigure(prefixed("1"));
    node.classify(named(&[(5, "a")]));
    node.observe(5000, std::iter::once((id(5), 13)));
    assert_eq!(node.shown()[0], ("1a", 22, 1));
}

#[test]
fn unreadable_process_keeps_its_group_until_it_can_be_read() {
    let mut node = with_members(&[5, 6, 7]);
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(5, "a")]));
    node.observe(4000, (5..8).map(|tgid| (id(tgid), 11)));
    assert_eq!(node.shown(), [("1a", 32, 2), ("2a", 1, 1)]);
    ends(&mut node, 7, 14);
    node.observe(5000, (5..7).map(|tgid| (id(tgid), 11)));
    node.classify(named(&[(6, "a"), (7, "a")]));
    assert_eq!(node.shown(), [("1a", 35, 0), ("2a", 1, 2)]);
    assert_eq!(node.waiting(), Tally::default());
}

#[test]
fn late_records_after_a_reload_are_booked_once_in_the_former_group() {
    let mut node = with_members(&[5, 6]);
    // Both have ended; the final record of one is still to come, and that of the other comes again.
    node.apply(Event::Exited {
        id: id(5),
        counters: counters(12),
        status: ExitStatus::Success,
        oom_killed: false,
    });
    ends(&mut node, 6, 20);
    node.observe(4000, std::iter::empty());
    node.reconfigure(prefixed("2"));
    released(&mut node, 5, 15);
    released(&mut node, 5, 15);
    released(&mut node, 6, 21);
    assert_eq!(node.shown(), [("1a", 36, 2)]);
    assert_eq!(node.grouper.groups()[0].total.lifecycle.exits_success, 2);
}

#[test]
fn a_zombie_is_decided_by_the_new_configuration() {
    let mut node = with_members(&[5]);
    node.observe_samples(4000, vec![sample(id(5), 11, State::Zombie)]);
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(5, "a")]));
    assert_eq!(node.shown(), [("1a", 11, 0), ("2a", 0, 1)]);
    released(&mut node, 5, 13);
    assert_eq!(node.shown(), [("1a", 11, 0), ("2a", 2, 1)]);
}

#[test]
fn a_zombie_of_an_unchanged_item_stays_in_its_group() {
    let mut node = with_members(&[5, 6]);
    let zombie = |tgid| sample(id(tgid), 11, State::Zombie);
    node.observe_samples(4000, vec![zombie(5), sample(id(6), 11, State::Sleeping)]);
    node.grouper
        .reconfigure(prefixed("2"), Vec::new(), |item| item == Some(0));
    node.reclassify();
    node.classify(named(&[(5, "b"), (6, "a")]));
    assert_eq!(node.shown(), [("1a", 22, 1), ("2a", 0, 1)]);
    // The next configuration changes the item.
    node.reconfigure(prefixed("3"));
    node.classify(named(&[(5, "a"), (6, "a")]));
    assert_eq!(node.shown()[0], ("1a", 22, 0));
    assert_eq!(node.shown()[2], ("3a", 0, 2));
}

#[test]
fn zombies_of_a_forgotten_image_are_decided_by_the_new_configuration() {
    let mut node = born();
    // Process 5 forks 6 and 7, which end at once, and ends itself: process 1 adopts the orphans and does not reap them.
    for tgid in [6, 7] {
        node.apply(Event::Forked {
            child: id(tgid),
            parent: id(5),
        });
    }
    ends(&mut node, 5, 10);
    let zombies = || [6, 7].map(|tgid| sample(id(tgid), 1, State::Zombie));
    let init = || sample(id(1), 0, State::Sleeping);
    node.observe_samples(4000, [init()].into_iter().chain(zombies()).collect());
    node.classify(named(&[]));
    assert_eq!(node.shown()[1], ("1a", 12, 2));
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(1, "init"), (6, "x"), (7, "x")]));
    let shown = node.shown();
    assert_eq!((shown[1], shown[2]), (("1a", 12, 0), ("2init", 0, 3)));
}

#[test]
fn a_zombie_that_is_not_read_after_a_reload_stays_until_it_is_read() {
    let mut node = with_members(&[5]);
    node.observe_samples(4000, vec![sample(id(5), 11, State::Zombie)]);
    node.reconfigure(prefixed("2"));
    node.classify(named(&[]));
    assert_eq!(node.shown(), [("1a", 11, 1)]);
    released(&mut node, 5, 13);
    assert_eq!(node.shown(), [("1a", 13, 1)]);
}

#[test]
fn process_unmatched_after_a_reload_follows_its_parent_once_that_is_classified() {
    let parent = ProcessId {
        tgid: 1,
        start_ns: 2000,
    };
    let mut node = with_members(&[1, 5]);
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(5, "x")]));
    let live = || [(parent, 10), (id(5), 13)].into_iter();
    node.observe(4000, live());
    assert_eq!(node.shown()[0].1, 20, "it waits");
    node.classify(named(&[(1, "a")]));
    assert_eq!(node.shown(), [("1a", 20, 0), ("2a", 3, 2)]);
    // Another reload before the process was looked at.
    node.reconfigure(prefixed("3"));
    node.reconfigure(prefixed("4"));
    node.classify(named(&[(1, "-"), (5, "x")]));
    node.observe(5000, live().map(|(id, used)| (id, used + 1)));
    node.grouper.measure(node.table.live());
    assert_eq!(node.shown(), [("1a", 20, 0), ("2a", 3, 0)]);
}

#[test]
fn ever_new_names_stay_within_the_bound() {
    let mut node = with_members(&[5, 6]);
    for n in 0..100 {
        node.reconfigure(prefixed(&format!("{n}-")));
        node.classify(named(&[(5, "a"), (6, "b")]));
        node.observe(4000 + n, [(id(5), 11 + n), (id(6), 11 + n)].into_iter());
    }
    let shown = node.shown();
    assert!(shown.len() <= 10, "{shown:?}");
    assert_eq!(shown.iter().map(|(_, used, _)| used).sum::<u64>(), 220);
    let is_rest = |(name, used, _): &(&str, u64, u64)| *name == "other" && *used > 0;
    assert!(shown.iter().any(is_rest), "{shown:?}");
    assert!(
        shown.contains(&("99-a", 1, 1)),
        "the newest name has its own group: {shown:?}"
    );
}

#[test]
fn forgotten_group_applies_to_unclassified_processes() {
    let policy = Policy {
        max_groups: 9,
        children: true,
        remove_empty: true,
    };
    let mut node = with_members(&[5, 6]);
    node.grouper.policy = policy;
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(6, "a")]));
    let accounts: Vec<_> = node.table.live().map(|live| live.account()).collect();
    // The process that is not read keeps its old group.
    node.grouper.forget_empty(accounts.iter().copied());
    assert_eq!(node.shown().len(), 2);
    node.grouper.forget_empty(accounts.into_iter().skip(1));
    node.observe(4000, [(id(5), 11), (id(6), 12)].into_iter());
    assert_eq!(node.shown(), [("2a", 2, 1)]);
}

/// Process 1, in the group `1init`, forks process 5, which runs the program `a`.
fn born() -> ReloadNode {
    let mut node = ReloadNode::new(prefixed("1"), 9);
    node.observe(1500, std::iter::once((id(1), 0)));
    node.classify(|_| Some("init".to_owned()));
    node.apply(Event::Forked {
        child: id(5),
        parent: id(1),
    });
    node.apply(Event::Execed {
        former: Former::default(),
        id: id(5),
        facts: Box::new(facts("a")),
        parent: 1,
        counters: counters(1),
    });
    node.observe(3000, [(id(1), 0), (id(5), 10)].into_iter());
    node.classify(named(&[(5, "a")]));
    node
}

/// The same, but process 5 was not read since a reload.
fn born_and_unread() -> ReloadNode {
    let mut node = born();
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(1, "init")]));
    node
}

#[test]
fn process_that_ends_before_it_is_classified_again_keeps_its_group() {
    let expected = [("1init", 0, 0), ("1a", 15, 1), ("2init", 0, 1)];
    let mut node = born_and_unread();
    ends(&mut node, 5, 15);
    assert_eq!(node.shown(), expected);
    // The same without an exit record, but with final totals.
    let mut node = born_and_unread();
    released(&mut node, 5, 15);
    assert_eq!(node.shown(), expected);
    // It runs another program: that one is decided anew, and earlier use stays where it was booked.
    let mut node = born_and_unread();
    node.apply(Event::Execed {
        former: Former::default(),
        id: id(5),
        facts: Box::new(facts("b")),
        parent: 1,
        counters: counters(13),
    });
    ends(&mut node, 5, 15);
    let found = node.shown();
    assert_eq!((found[1].1, found[3]), (13, ("2b", 2, 0)), "{found:?}");
}

#[test]
fn use_that_waits_for_a_parent_never_classified_again_goes_to_its_former_group() {
    let mut node = born();
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(5, "x")]));
    // It waits for process 1; then it runs another program, which does not.
    node.apply(Event::Execed {
        former: Former::default(),
        id: id(5),
        facts: Box::new(facts("b")),
        parent: 1,
        counters: counters(13),
    });
    node.observe(4000, [(id(1), 0), (id(5), 14)].into_iter());
    assert_eq!(node.waiting().delta.user_ns, 4);
    ends(&mut node, 5, 14);
    ends(&mut node, 1, 0);
    assert_eq!(node.waiting(), Tally::default());
    let used = node.shown().into_iter().map(|(name, used, _)| (name, used));
    let expected = [("1init", 3), ("1a", 10), ("2b", 1)];
    assert_eq!(used.collect::<Vec<_>>(), expected);
}

#[test]
fn the_bound_of_an_item_is_not_that_of_its_number_before() {
    let mut node = with_members(&[5, 6]);
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(5, "a"), (6, "b")]));
    let bounded = |facts: &Facts| {
        let Verdict::Member(placement) = prefixed("3")(facts) else {
            return Verdict::Unmatched;
        };
        Verdict::Member(Placement {
            max_groups: Some(1),
            ..placement
        })
    };
    node.reconfigure(Box::new(bounded));
    node.classify(named(&[(5, "a"), (6, "b")]));
    let names = node.shown().into_iter().map(|(name, ..)| name);
    assert_eq!(names.collect::<Vec<_>>(), ["1a", "2a", "2b", "3a", "other"]);
}

/// Counts the calls.
#[derive(Default)]
struct Asked(u32);

impl Probe for Asked {
    fn open_files(&mut self, _: u32) -> Option<u64> {
        self.0 += 1;
        None
    }
    fn wchan(&mut self, _: u32, _: u32) -> Option<String> {
        None
    }
    fn memory(&mut self, _: u32) -> Option<Memory> {
        None
    }
}

#[test]
fn idle_process_outside_all_groups_is_read_when_a_reload_puts_it_into_one() {
    let mut asked = Asked::default();
    let mut node = ReloadNode::new(prefixed("1"), 9);
    let mut pass = |node: &mut ReloadNode, name| {
        node.observe(3000, std::iter::once((id(5), 10)));
        node.classify(named(name));
        let ReloadNode { table, grouper } = node;
        let is_outside = |account| grouper.is_outside(account);
        table.refresh(&Pass::default(), &mut asked, is_outside);
        asked.0
    };
    assert_eq!(pass(&mut node, &[(5, "-")]), 0);
    assert_eq!(pass(&mut node, &[]), 0);
    node.reconfigure(prefixed("2"));
    node.classify(named(&[(5, "a")]));
    assert_eq!(pass(&mut node, &[]), 1);
    assert_eq!(pass(&mut node, &[]), 1);
}

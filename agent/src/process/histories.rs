//! Random histories of a small node: the booked use never exceeds the real use and never falls. It equals the real use if no
//! record is lost, even if records are repeated or late.

use proptest::prelude::*;

use super::sums::Sums;
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Fork {
        parent: usize,
    },
    Exec {
        process: usize,
    },
    Run {
        process: usize,
        ns: u64,
    },
    Exit {
        process: usize,
        end: End,
    },
    /// `ending`: a process that ends during the pass, and whether the pass still sees it.
    Pass {
        ending: Option<(usize, End, bool)>,
    },
    Wait,
}

/// How a process's final totals reach the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In a final record, with the same fate as the exit record.
    Reported,
    /// Not at all: the kernel leaves them out.
    LeftOut,
    /// In a sum by comm: ring and overflow hash are full.
    Summed,
}

/// The fate of one record on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Twice,
    /// Arrives only with the drain of the next pass.
    Late,
    Lost,
}

fn step(ends: usize) -> impl Strategy<Value = Step> {
    let nth = 0usize..64;
    let end = end(ends);
    prop_oneof![
        4 => nth.clone().prop_map(|parent| Step::Fork { parent }),
        2 => nth.clone().prop_map(|process| Step::Exec { process }),
        6 => (nth.clone(), 1u64..1000).prop_map(|(process, ns)| Step::Run { process, ns }),
        3 => (nth.clone(), end.clone()).prop_map(|(process, end)| Step::Exit { process, end }),
        3 => prop::option::of((nth, end, any::<bool>())).prop_map(|ending| Step::Pass { ending }),
        1 => Just(Step::Wait),
    ]
}

/// `ends`: the number of variants of [`End`] to choose from, the first ones.
fn end(ends: usize) -> impl Strategy<Value = End> + Clone {
    prop::sample::select([End::Reported, End::LeftOut, End::Summed][..ends].to_vec())
}

fn fate(may_lose: bool) -> impl Strategy<Value = Fate> {
    let lost = if may_lose { 1 } else { 0 };
    prop_oneof![
        8 => Just(Fate::Arrives),
        1 => Just(Fate::Twice),
        1 => Just(Fate::Late),
        lost => Just(Fate::Lost),
    ]
}

struct Node {
    now_ns: u64,
    live: Vec<(ProcessId, u64)>,
    used_ns: u64,
    forks: u64,
    execs: u64,
    exits: u64,
    late: Vec<Event>,
    /// Use beyond the exit record, of processes whose final totals were left out.
    unreported_ns: u64,
    /// Sums by comm that wait to be read, and sums that were booked.
    summed_ns: Option<u64>,
    coarse_ns: u64,
    /// Start of the last pass, as the kernel knows it.
    pass_started_ns: u64,
    table: Table,
    sums: Sums,
}

pub(super) fn counters(ns: u64) -> Counters {
    Counters {
        cpu: Cpu {
            user_ns: ns,
            system_ns: 0,
        },
        ..Counters::default()
    }
}

impl Node {
    fn new() -> Self {
        let init = ProcessId {
            tgid: 1,
            start_ns: 1,
        };
        let mut node = Self {
            now_ns: 1000,
            live: vec![(init, 500)],
            used_ns: 0,
            forks: 0,
            execs: 0,
            exits: 0,
            late: Vec::new(),
            unreported_ns: 0,
            summed_ns: None,
            coarse_ns: 0,
            pass_started_ns: 0,
            table: Table::new(1000),
            sums: Sums::default(),
        };
        node.pass();
        node
    }

    fn deliver(&mut self, event: Event, fate: Fate) {
        match fate {
            Fate::Lost => {}
            Fate::Late => self.late.push(event),
            Fate::Arrives => self.table.apply(event, &mut self.sums),
            Fate::Twice => {
                self.table.apply(event.clone(), &mut self.sums);
                self.late.push(event);
            }
        }
    }

    fn take(&mut self, step: &Step, fate: Fate) {
        self.now_ns += 10;
        let pick = |process: usize, live: &Vec<(ProcessId, u64)>| process % live.len();
        match *step {
            Step::Fork { parent } => {
                let parent = self.live[pick(parent, &self.live)].0;
                // The lowest free process id, so that ids are reused soon.
                let tgid = (2..)
                    .find(|n| self.live.iter().all(|(id, _)| id.tgid != *n))
                    .unwrap();
                let child = ProcessId {
                    tgid,
                    start_ns: self.now_ns,
                };
                self.live.push((child, 0));
                self.forks += 1;
                self.deliver(Event::Forked { child, parent }, fate);
            }
            Step::Exec { process } => {
                let (id, used) = self.live[pick(process, &self.live)];
                self.execs += 1;
                let facts = Box::new(Facts::default());
                // An exec record that arrives twice would count as two execs; the kernel sends each once.
                let fate = match fate {
                    Fate::Twice => Fate::Arrives,
                    once => once,
                };
                let event = Event::Execed {
                    former: Former::default(),
                    id,
                    facts,
                    parent: 1,
                    counters: counters(used),
                };
                self.deliver(event, fate);
            }
            Step::Run { process, ns } => {
                let at = pick(process, &self.live);
                self.live[at].1 += ns;
                self.used_ns += ns;
            }
            Step::Exit { process, end } => {
                let at = pick(process, &self.live);
                self.end(at, end, fate);
            }
            Step::Pass { ending } => {
                let ending = ending.map(|(process, end, is_seen)| (process, end, is_seen, fate));
                self.pass_while(ending);
            }
            Step::Wait => self.now_ns += 61_000_000_000,
        }
    }

    fn end(&mut self, at: usize, end: End, fate: Fate) {
        if at == 0 {
            return;
        }
        let (id, used) = self.live.remove(at);
        self.exits += 1;
        let at_exit = used - used / 8;
        self.deliver(
            Event::Exited {
                id,
                counters: counters(at_exit),
                status: ExitStatus::Success,
                oom_killed: false,
            },
            fate,
        );
        match end {
            End::Reported => self.deliver(released(id, used), fate),
            End::LeftOut => self.unreported_ns += used - at_exit,
            // As in agent-ebpf's release.rs: no sum holds a process that a pass may have credited.
            End::Summed if id.start_ns > self.pass_started_ns => {
                *self.summed_ns.get_or_insert(0) += used;
            }
            End::Summed => {}
        }
    }

    fn pass(&mut self) {
        self.pass_while(None);
    }

    /// The kernel learns of the pass before the pass sees any process; records are taken before the pass is booked.
    fn pass_while(&mut self, ending: Option<(usize, End, bool, Fate)>) {
        self.now_ns += 10;
        let started_ns = self.now_ns;
        self.pass_started_ns = started_ns;
        let late = std::mem::take(&mut self.late);
        let mut live = self.live.clone();
        if let Some((process, end, is_seen, fate)) = ending {
            let at = process % self.live.len();
            self.now_ns += 1;
            if !is_seen && at > 0 {
                live.remove(at);
            }
            self.end(at, end, fate);
        }
        for event in late {
            self.table.apply(event, &mut self.sums);
        }
        if let Some(ns) = self.summed_ns.take() {
            self.table.note_sums();
            self.coarse_ns += ns;
        }
        self.table.end_drain(&mut self.sums);
        let processes = live.iter().map(|(id, used)| sample(*id, *used)).collect();
        let pass = Pass {
            started_ns,
            finals_follow: true,
            processes,
            ..Pass::default()
        };
        self.table.observe(&pass, &mut self.sums);
    }

    /// How often accounts should be in use: once for each entry, split, birth and tombstone.
    fn users(&self) -> i64 {
        let entries = self.table.registry.processes.iter();
        let by_entries: usize = entries
            .map(|(_, entry)| {
                let splits = entry.splits.iter().filter(|split| split.account.is_some());
                1 + usize::from(entry.membership.birth.is_some()) + splits.count()
            })
            .sum();
        let graves = self.table.registry.graves.len();
        i64::try_from(by_entries + graves).unwrap()
    }

    fn booked_ns(&self) -> u64 {
        self.sums.total.delta.cpu_ns() + self.coarse_ns
    }
}

pub(super) fn sample(id: ProcessId, used: u64) -> Sample {
    Sample {
        effective_uid: None,
        has_borrowed_ids: false,
        id,
        parent: 1,
        state: State::Sleeping,
        counters: counters(used),
        memory: Memory::default(),
        threads: 1,
        fd_limit: None,
        cgroup_id: None,
        ran_marker: used,
    }
}

proptest! {
    #[test]
    fn without_loss_all_is_booked_exactly(
        steps in prop::collection::vec((step(1), fate(false)), 1..120)
    ) {
        let mut node = Node::new();
        for (step, fate) in &steps {
            node.take(step, *fate);
            prop_assert!(node.booked_ns() <= node.used_ns);
        }
        node.pass();
        node.pass();
        let Lifecycle { forks, execs, exits_success, .. } = node.sums.total.lifecycle;
        prop_assert_eq!(node.booked_ns(), node.used_ns);
        prop_assert_eq!((forks, execs, exits_success), (node.forks, node.execs, node.exits));
        prop_assert_eq!(node.table.statistics().live, node.live.len() as u64);
        prop_assert_eq!(node.table.statistics().unconfirmed, 0);
    }

    #[test]
    fn without_final_record_the_totals_of_the_exit_record_are_booked_by_the_second_pass(
        steps in prop::collection::vec((step(2), fate(false)), 1..120)
    ) {
        let mut node = Node::new();
        for (step, fate) in &steps {
            node.take(step, *fate);
            prop_assert!(node.booked_ns() <= node.used_ns);
        }
        node.pass();
        node.pass();
        prop_assert!(node.booked_ns() + node.unreported_ns >= node.used_ns);
        prop_assert!(node.booked_ns() <= node.used_ns);
    }

    #[test]
    fn with_loss_nothing_is_booked_twice_and_the_table_is_bounded(
        steps in prop::collection::vec((step(3), fate(true)), 1..160)
    ) {
        let mut node = Node::new();
        for (step, fate) in &steps {
            node.take(step, *fate);
            prop_assert!(node.booked_ns() <= node.used_ns);
            let Lifecycle { forks, execs, exits_success, .. } = node.sums.total.lifecycle;
            prop_assert!(forks <= node.forks && execs <= node.execs && exits_success <= node.exits);
        }
        node.pass();
        node.now_ns += 61_000_000_000;
        node.pass();
        prop_assert!(node.booked_ns() <= node.used_ns);
        prop_assert_eq!(node.table.statistics().pending, 0);
        prop_assert_eq!(node.table.registry.processes.len(), node.live.len());
        prop_assert_eq!(node.sums.users.values().sum::<i64>(), node.users());
    }
}

#[test]
fn each_image_gets_its_share() {
    let mut node = Node::new();
    node.take(&Step::Fork { parent: 0 }, Fate::Arrives);
    let (exec, run) = (Step::Exec { process: 1 }, |ns| Step::Run { process: 1, ns });
    node.take(&run(7), Fate::Arrives);
    node.take(&exec, Fate::Arrives); // the launch belongs to the first image
    node.take(&run(100), Fate::Arrives);
    node.take(&exec, Fate::Arrives);
    node.take(&run(30), Fate::Arrives);
    let end = End::Reported;
    node.take(&Step::Exit { process: 1, end }, Fate::Arrives);
    let shares: Vec<_> = node
        .sums
        .by_account
        .values()
        .map(|tally| tally.delta.user_ns)
        .filter(|ns| *ns > 0)
        .collect();
    assert_eq!(shares, [107, 30]);
}

/// One process that used 80 and whose final record never came; its exit record reported 70.
fn an_end_without_final_record(node: &mut Node) -> ProcessId {
    node.take(&Step::Fork { parent: 0 }, Fate::Arrives);
    let (id, _) = node.live.remove(1);
    let event = Event::Exited {
        id,
        counters: counters(70),
        status: ExitStatus::Success,
        oom_killed: false,
    };
    node.table.apply(event, &mut node.sums);
    id
}

pub(super) fn released(id: ProcessId, used: u64) -> Event {
    Event::Released(Box::new(Released {
        id,
        parent: 1,
        facts: Facts::default(),
        counters: counters(used),
        projected: false,
        repeated: false,
    }))
}

#[test]
fn without_final_record_the_next_pass_books_the_totals_of_the_exit_record() {
    let mut node = Node::new();
    an_end_without_final_record(&mut node);
    node.pass();
    assert_eq!(node.booked_ns(), 70);
    assert_eq!(node.table.statistics().pending, 1);
    node.pass();
    assert_eq!(node.booked_ns(), 70);
    node.take(&Step::Wait, Fate::Arrives);
    node.pass();
    assert_eq!(node.booked_ns(), 70);
    assert_eq!(node.table.statistics().unconfirmed, 1);
}

#[test]
fn final_record_adds_use_that_the_exit_record_lacked() {
    for is_closed in [false, true] {
        let mut node = Node::new();
        let id = an_end_without_final_record(&mut node);
        node.pass();
        if is_closed {
            node.take(&Step::Wait, Fate::Arrives);
            node.pass();
        }
        for _ in 0..2 {
            node.table.apply(released(id, 80), &mut node.sums);
            assert_eq!(node.booked_ns(), 80);
        }
        assert_eq!(node.table.statistics().unconfirmed, u64::from(is_closed));
    }
}

/// An exit record that waits for the drain after the one that read the sums.
#[test]
fn exit_record_after_a_sum_that_may_hold_it_books_nothing() {
    let mut node = Node::new();
    node.table.note_sums();
    node.pass();
    an_end_without_final_record(&mut node);
    node.pass();
    assert_eq!(node.booked_ns(), 0);
}

#[test]
fn without_final_record_nothing_is_booked_that_may_be_in_a_sum() {
    let mut node = Node::new();
    an_end_without_final_record(&mut node);
    node.table.note_sums();
    node.pass();
    node.take(&Step::Wait, Fate::Arrives);
    node.pass();
    assert_eq!(node.booked_ns(), 0);
}

#[test]
fn history_before_the_agent_is_not_booked() {
    let mut node = Node::new();
    assert_eq!(node.booked_ns(), 0);
    node.take(&Step::Run { process: 0, ns: 5 }, Fate::Arrives);
    node.pass();
    assert_eq!(node.booked_ns(), 5);
}

#[test]
fn a_transient_read_error_counts_nothing_twice() {
    // H14 of docs/dev/compatibility.md: 8 s credited, unreadable for one scrape, then back.
    let id = ProcessId {
        tgid: 9,
        start_ns: 2000,
    };
    let mut table = Table::new(1000);
    let mut sums = Sums::default();
    let seen = Pass {
        started_ns: 3000,
        processes: vec![sample(id, 800)],
        ..Pass::default()
    };
    table.observe(&seen, &mut sums);
    table.observe(
        &Pass {
            unread: vec![9],
            ..Pass::default()
        },
        &mut sums,
    );
    assert_eq!(table.statistics().live, 0);
    table.observe(&seen, &mut sums);
    assert_eq!(
        (table.statistics().live, sums.total.delta.user_ns),
        (1, 800)
    );
    // A pass misses the process, and the next one sees it again.
    table.observe(&Pass::default(), &mut sums);
    table.observe(&seen, &mut sums);
    assert_eq!(
        (table.statistics().live, sums.total.delta.user_ns),
        (1, 800)
    );
}

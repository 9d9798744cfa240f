//! Random histories of a small node: what is booked is never more than what was used, never falls, and is exactly it
//! when no record is lost, whatever is repeated or late.

use super::sums::Sums;
use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Fork { parent: usize },
    Exec { who: usize },
    Run { who: usize, ns: u64 },
    Exit { who: usize },
    Pass,
    Wait,
}

/// What happens to one record on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Twice,
    /// Comes only with the next pass's drain.
    Late,
    Lost,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0usize..64;
    prop_oneof![
        4 => who.clone().prop_map(|parent| Step::Fork { parent }),
        2 => who.clone().prop_map(|who| Step::Exec { who }),
        6 => (who.clone(), 1u64..1000).prop_map(|(who, ns)| Step::Run { who, ns }),
        3 => who.prop_map(|who| Step::Exit { who }),
        3 => Just(Step::Pass),
        1 => Just(Step::Wait),
    ]
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
            table: Table::new(1000),
            sums: Sums::default(),
        };
        node.pass();
        node
    }

    fn tell(&mut self, event: Event, fate: Fate) {
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
        let pick = |who: usize, live: &Vec<(ProcessId, u64)>| who % live.len();
        match *step {
            Step::Fork { parent } => {
                let parent = self.live[pick(parent, &self.live)].0;
                // Few numbers, so that they are used again soon.
                let tgid = (2..)
                    .find(|n| self.live.iter().all(|(id, _)| id.tgid != *n))
                    .unwrap();
                let child = ProcessId {
                    tgid,
                    start_ns: self.now_ns,
                };
                self.live.push((child, 0));
                self.forks += 1;
                self.tell(Event::Forked { child, parent }, fate);
            }
            Step::Exec { who } => {
                let (id, used) = self.live[pick(who, &self.live)];
                self.execs += 1;
                let facts = Box::new(Facts::default());
                // An exec told twice would be two execs; the kernel tells each once.
                let fate = if fate == Fate::Twice {
                    Fate::Arrives
                } else {
                    fate
                };
                let event = Event::Execed {
                    id,
                    facts,
                    parent: 1,
                    counters: counters(used),
                };
                self.tell(event, fate);
            }
            Step::Run { who, ns } => {
                let at = pick(who, &self.live);
                self.live[at].1 += ns;
                self.used_ns += ns;
            }
            Step::Exit { who } => {
                let at = pick(who, &self.live);
                if at == 0 {
                    return;
                }
                let (id, used) = self.live.remove(at);
                self.exits += 1;
                let status = ExitStatus::Success;
                self.tell(
                    Event::Exited {
                        id,
                        counters: counters(used - used / 8),
                        status,
                        oom_killed: false,
                    },
                    fate,
                );
                let released = Released {
                    id,
                    parent: 1,
                    facts: Facts::default(),
                    counters: counters(used),
                    projected: false,
                };
                self.tell(Event::Released(Box::new(released)), fate);
            }
            Step::Pass => self.pass(),
            Step::Wait => self.now_ns += 61_000_000_000,
        }
    }

    fn pass(&mut self) {
        self.now_ns += 10;
        for event in std::mem::take(&mut self.late) {
            self.table.apply(event, &mut self.sums);
        }
        let processes = self
            .live
            .iter()
            .map(|(id, used)| sample(*id, *used))
            .collect();
        let pass = Pass {
            started_ns: self.now_ns,
            finals_follow: true,
            processes,
            ..Pass::default()
        };
        self.table.observe(&pass, &mut self.sums);
    }

    /// How often accounts should be in use: by each process, and by each tombstone.
    fn users(&self) -> i64 {
        let entries = self.table.processes.iter();
        let by_entries: usize = entries
            .map(|(_, entry)| 1 + usize::from(entry.birth.is_some()) + entry.splits.len())
            .sum();
        let graves = self.table.finals.len() + self.table.unconfirmed.len();
        i64::try_from(by_entries + graves).unwrap()
    }

    fn booked_ns(&self) -> u64 {
        self.sums.total.delta.user_ns + self.sums.total.delta.system_ns
    }
}

pub(super) fn sample(id: ProcessId, used: u64) -> Sample {
    Sample {
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
        steps in prop::collection::vec((step(), fate(false)), 1..120)
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
    fn with_loss_nothing_is_booked_twice_and_the_table_is_bounded(
        steps in prop::collection::vec((step(), fate(true)), 1..160)
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
        prop_assert_eq!(node.table.processes.len(), node.live.len());
        prop_assert_eq!(node.sums.users.values().sum::<i64>(), node.users());
    }
}

#[test]
fn each_image_gets_its_share() {
    let mut node = Node::new();
    node.take(&Step::Fork { parent: 0 }, Fate::Arrives);
    let exec = Step::Exec { who: 1 };
    node.take(&Step::Run { who: 1, ns: 7 }, Fate::Arrives);
    node.take(&exec, Fate::Arrives); // the launch belongs to the first image
    node.take(&Step::Run { who: 1, ns: 100 }, Fate::Arrives);
    node.take(&exec, Fate::Arrives);
    node.take(&Step::Run { who: 1, ns: 30 }, Fate::Arrives);
    node.take(&Step::Exit { who: 1 }, Fate::Arrives);
    let shares: Vec<_> = node
        .sums
        .by_account
        .values()
        .map(|tally| tally.delta.user_ns)
        .filter(|ns| *ns > 0)
        .collect();
    assert_eq!(shares, [107, 30]);
}

/// One process that used 80 and whose final record never came; 70 are known from its end.
fn an_end_without_final_record(node: &mut Node) {
    node.take(&Step::Fork { parent: 0 }, Fate::Arrives);
    let (id, _) = node.live.remove(1);
    let event = Event::Exited {
        id,
        counters: counters(70),
        status: ExitStatus::Success,
        oom_killed: false,
    };
    node.table.apply(event, &mut node.sums);
}

#[test]
fn without_final_record_what_the_end_told_is_booked_after_a_minute() {
    let mut node = Node::new();
    an_end_without_final_record(&mut node);
    node.pass();
    assert_eq!(node.booked_ns(), 0, "the final record may still come");
    node.take(&Step::Wait, Fate::Arrives);
    node.pass();
    assert_eq!(node.booked_ns(), 70);
    assert_eq!(node.table.statistics().unconfirmed, 1);
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
    node.take(&Step::Run { who: 0, ns: 5 }, Fate::Arrives);
    node.pass();
    assert_eq!(node.booked_ns(), 5);
}

#[test]
fn a_transient_read_error_counts_nothing_twice() {
    // The contract's H14: 8 s credited, unreadable for one scrape, then back.
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
    // Missed altogether, then back.
    table.observe(&Pass::default(), &mut sums);
    table.observe(&seen, &mut sums);
    assert_eq!(
        (table.statistics().live, sums.total.delta.user_ns),
        (1, 800)
    );
}

//! Random histories of a small node whose configuration changes. No counter of a group falls, and nothing is counted twice. If
//! every process is in some group, all groups together have exactly the real use, except for bookings that wait for a decision.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::reload::{ReloadNode, counters};
use crate::group::{Placement, Placer, Verdict};
use crate::process::{Event, ExitStatus, Facts, Former, ProcessId, Released, Tally};

/// Number of programs, not counting process 1's.
pub(super) const PROGRAMS: usize = 4;
/// Number of configurations that put every process into a group; two further ones leave some out.
pub(super) const COMPLETE: usize = 5;

#[derive(Debug, Clone)]
enum ReloadStep {
    Fork { parent: usize },
    Exec { who: usize, program: usize },
    Run { who: usize, ns: u64 },
    Exit { who: usize },
    Pass { unread: usize },
    Reload { configuration: usize, unread: usize },
}

/// The fate of one event on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EventFate {
    Arrives,
    Twice,
    /// Arrives only with the drain of the next pass.
    Late,
}

fn step(configurations: usize) -> impl Strategy<Value = ReloadStep> {
    let who = 0usize..64;
    prop_oneof![
        4 => who.clone().prop_map(|parent| ReloadStep::Fork { parent }),
        3 => (who.clone(), 0..PROGRAMS).prop_map(|(who, program)| ReloadStep::Exec { who, program }),
        6 => (who.clone(), 1u64..1000).prop_map(|(who, ns)| ReloadStep::Run { who, ns }),
        3 => who.clone().prop_map(|who| ReloadStep::Exit { who }),
        2 => who.clone().prop_map(|unread| ReloadStep::Pass { unread }),
        3 => (0..configurations, who)
            .prop_map(|(configuration, unread)| ReloadStep::Reload { configuration, unread }),
    ]
}

fn fate() -> impl Strategy<Value = EventFate> {
    prop_oneof![
        8 => Just(EventFate::Arrives),
        1 => Just(EventFate::Twice),
        2 => Just(EventFate::Late),
    ]
}

pub(super) fn comm(program: usize) -> String {
    format!("c{program}")
}

/// The placer of a configuration. Each puts process 1 into the group `init`.
pub(super) fn placer(configuration: usize) -> Placer {
    Box::new(move |facts: &Facts| {
        let name = String::from_utf8_lossy(&facts.comm).into_owned();
        let Some(program) = name.strip_prefix('c').and_then(|n| n.parse::<u32>().ok()) else {
            return Verdict::Member(Placement::plain(0, name));
        };
        let into = |name: String| Verdict::Member(Placement::plain(1, name));
        match (configuration, program) {
            (0, _) => into(name),
            (1, 0) | (4, 1) | (6, 3) => Verdict::Unmatched,
            (1, n) => into(format!("c{}", n % 2)),
            (2, _) => into("all".to_owned()),
            (3, n) => Verdict::Member(Placement {
                max_groups: Some(2),
                ..Placement::plain(2, format!("bounded{n}"))
            }),
            (5, 2) | (6, 0) => Verdict::Excluded { item: 3 },
            (n, _) => into(format!("{n}-{name}")),
        }
    })
}

/// Bookings of each group.
type GroupTallies = BTreeMap<String, Tally>;

struct ReloadHistory {
    node: ReloadNode,
    /// Identity, CPU time and program of each process.
    live: Vec<(ProcessId, u64, String)>,
    now_ns: u64,
    used_ns: u64,
    /// Forks, execs, exits.
    happened: [u64; 3],
    late: Vec<Event>,
    shown: GroupTallies,
    /// Number of groups that fell, or are gone.
    fallen: u64,
}

impl ReloadHistory {
    fn new() -> Self {
        let init = ProcessId {
            tgid: 1,
            start_ns: 1,
        };
        let mut history = Self {
            node: ReloadNode::new(placer(0), 8),
            live: vec![(init, 500, "init".to_owned())],
            now_ns: 1000,
            used_ns: 0,
            happened: [0; 3],
            late: Vec::new(),
            shown: GroupTallies::new(),
            fallen: 0,
        };
        history.pass(None);
        history
    }

    fn apply(&mut self, event: Event, fate: EventFate) {
        if fate != EventFate::Late {
            self.node.apply(event.clone());
        }
        if fate != EventFate::Arrives {
            self.late.push(event);
        }
    }

    fn take(&mut self, step: &ReloadStep, fate: EventFate) {
        self.now_ns += 10;
        let pick = |who: usize| who % self.live.len();
        match *step {
            ReloadStep::Fork { parent } => {
                let (parent, _, program) = self.live[pick(parent)].clone();
                // The lowest free process id, so that ids are reused soon.
                let is_free = |n: &u32| self.live.iter().all(|(id, ..)| id.tgid != *n);
                let child = ProcessId {
                    tgid: (2..).find(is_free).unwrap(),
                    start_ns: self.now_ns,
                };
                self.live.push((child, 0, program));
                self.happened[0] += 1;
                // A fork record arrives before those of the child's own children.
                let is_late = fate == EventFate::Late;
                self.apply(
                    Event::Forked { child, parent },
                    if is_late { EventFate::Arrives } else { fate },
                );
            }
            ReloadStep::Exec { who, program } => {
                let at = pick(who);
                if at == 0 {
                    return;
                }
                self.live[at].2 = comm(program);
                let (id, used, program) = self.live[at].clone();
                self.happened[1] += 1;
                let event = Event::Execed {
                    former: Former::default(),
                    id,
                    facts: Box::new(super::reload::facts(&program)),
                    parent: 1,
                    counters: counters(used),
                };
                // The kernel sends each exec record once; a second one would count as another exec.
                let is_late = fate == EventFate::Late;
                self.apply(event, if is_late { fate } else { EventFate::Arrives });
            }
            ReloadStep::Run { who, ns } => {
                let at = pick(who);
                self.live[at].1 += ns;
                self.used_ns += ns;
            }
            ReloadStep::Exit { who } => {
                let at = pick(who);
                if at == 0 {
                    return;
                }
                let (id, used, _) = self.live.remove(at);
                self.happened[2] += 1;
                let exited = Event::Exited {
                    id,
                    counters: counters(used - used / 8),
                    status: ExitStatus::Success,
                    oom_killed: false,
                };
                self.apply(exited, fate);
                let released = Released {
                    id,
                    parent: 1,
                    facts: Facts::default(),
                    counters: counters(used),
                    projected: false,
                    repeated: false,
                };
                self.apply(Event::Released(Box::new(released)), fate);
            }
            ReloadStep::Pass { unread } => self.pass(Some(pick(unread))),
            ReloadStep::Reload {
                configuration,
                unread,
            } => {
                let unread = pick(unread);
                self.pass(Some(unread));
                self.node.reconfigure(placer(configuration));
                self.classify(Some(unread));
            }
        }
    }

    /// `unread`: index of the process whose facts cannot be read.
    fn pass(&mut self, unread: Option<usize>) {
        self.now_ns += 10;
        for event in std::mem::take(&mut self.late) {
            self.node.apply(event);
        }
        let live = self.live.iter().map(|(id, used, _)| (*id, *used));
        self.node.observe(self.now_ns, live);
        self.classify(unread);
    }

    fn classify(&mut self, unread: Option<usize>) {
        let unread = unread.map(|at| self.live[at].0);
        let live = &self.live;
        self.node.classify(|id| {
            let (.., program) = live.iter().find(|(other, ..)| *other == id)?;
            (Some(id) != unread).then(|| program.clone())
        });
    }

    /// Checks that no group has less than before, or is gone with its bookings.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let groups = self.node.grouper.groups();
        let now: GroupTallies = groups
            .iter()
            .map(|group| (group.name.clone(), group.total))
            .collect();
        prop_assert!(now.len() == groups.len() && now.len() <= 9, "{now:?}");
        for (name, before) in &self.shown {
            let later = now.get(name).copied().unwrap_or_default();
            let parts = |tally: &Tally| {
                let Tally { delta, lifecycle } = tally;
                let ends = lifecycle.exits_success;
                [delta.user_ns, lifecycle.forks, lifecycle.execs, ends]
            };
            let is_risen = parts(before)
                .iter()
                .zip(parts(&later))
                .all(|(a, b)| *a <= b);
            self.fallen += u64::from(!is_risen);
            prop_assert!(
                is_risen || name != "other",
                "other was {before:?} and is {later:?}"
            );
        }
        let folded = self.node.grouper.statistics().folded_groups;
        prop_assert!(
            self.fallen <= folded,
            "{} groups fell, {folded} were folded",
            self.fallen
        );
        let all = sum(&now);
        prop_assert!(all.delta.user_ns <= self.used_ns);
        self.shown = now;
        Ok(())
    }
}

fn sum(totals: &GroupTallies) -> Tally {
    let mut all = Tally::default();
    totals.values().for_each(|total| all.add(total));
    all
}

proptest! {
    #[test]
    fn all_groups_together_have_exactly_the_use(
        steps in prop::collection::vec((step(COMPLETE), fate()), 1..120)
    ) {
        let mut history = ReloadHistory::new();
        for (step, fate) in &steps {
            history.take(step, *fate);
            history.check()?;
        }
        history.pass(None);
        history.pass(None);
        history.check()?;
        let mut all = sum(&history.shown);
        all.add(&history.node.waiting());
        let Tally { delta, lifecycle } = all;
        let happened = [lifecycle.forks, lifecycle.execs, lifecycle.exits_success];
        prop_assert_eq!(delta.user_ns, history.used_ns);
        prop_assert_eq!(happened, history.happened);
    }

    #[test]
    fn unmatched_process_is_in_no_group_and_counted_use_stays(
        steps in prop::collection::vec((step(COMPLETE + 2), fate()), 1..120)
    ) {
        let mut history = ReloadHistory::new();
        for (step, fate) in &steps {
            history.take(step, *fate);
            history.check()?;
        }
    }
}

//! Groups of processes whose forks and execs are reported by records: the process table and the grouper together.

use crate::group::{Grouper, Placement, Policy, Verdict};
use crate::process::{
    Counters, Cpu, Event, ExitStatus, Facts, Former, Pass, ProcessId, Released, Sample, State,
    Table,
};

const PARENT: ProcessId = ProcessId {
    tgid: 1,
    start_ns: 1,
};
const CHILD: ProcessId = ProcessId {
    tgid: 2,
    start_ns: 150,
};

/// A node whose process 1 is in the group `a`; processes called `x` match nothing.
struct Lineage {
    table: Table,
    grouper: Grouper,
}

fn facts(comm: &str) -> Facts {
    Facts {
        comm: comm.as_bytes().to_vec(),
        argv: [comm].iter().collect(),
        ..Facts::default()
    }
}

fn used(user_ns: u64) -> Counters {
    Counters {
        cpu: Cpu {
            user_ns,
            system_ns: 0,
        },
        ..Counters::default()
    }
}

impl Lineage {
    fn new(children: bool) -> Self {
        let placer = |facts: &Facts| match &facts.comm[..] {
            b"x" => Verdict::Unmatched,
            _ => Verdict::Member(Placement::plain(0, "a".to_owned())),
        };
        let policy = Policy {
            max_groups: 9,
            children,
            remove_empty: true,
        };
        let mut node = Self {
            table: Table::new(100),
            grouper: Grouper::new(Box::new(placer), policy),
        };
        node.pass(110, &[PARENT]);
        for one in node.table.unclassified() {
            node.grouper.place(one.account, one.parent, &facts("a"));
            node.table.classified(one.id);
        }
        node.apply(Event::Forked {
            child: CHILD,
            parent: PARENT,
        });
        node
    }

    fn apply(&mut self, event: Event) {
        self.table.apply(event, &mut self.grouper);
        self.grouper.settle();
    }

    fn exec(&mut self, comm: &str) {
        self.apply(Event::Execed {
            former: Former::default(),
            id: CHILD,
            facts: Box::new(facts(comm)),
            parent: 1,
            counters: used(1),
        });
    }

    fn end(&mut self) {
        self.end_of(CHILD);
    }

    fn end_of(&mut self, id: ProcessId) {
        self.end_as(id, "x");
    }

    /// Ends a process; its final record has this comm.
    fn end_as(&mut self, id: ProcessId, comm: &str) {
        self.apply(Event::Exited {
            id,
            counters: used(10),
            status: ExitStatus::Success,
            oom_killed: false,
        });
        self.apply(Event::Released(Box::new(Released {
            id,
            parent: 1,
            facts: facts(comm),
            counters: used(10),
            projected: false,
            repeated: false,
        })));
    }

    fn pass(&mut self, started_ns: u64, live: &[ProcessId]) {
        let sample = |id: &ProcessId| Sample {
            parent: 1,
            state: State::Sleeping,
            ..Sample::of_process(*id)
        };
        let pass = Pass {
            started_ns,
            finals_follow: true,
            processes: live.iter().map(sample).collect(),
            ..Pass::default()
        };
        self.table.observe(&pass, &mut self.grouper);
    }

    /// CPU time, forks and exits counted in the group; `None` if it was forgotten.
    fn of_group(&self) -> Option<(u64, u64, u64)> {
        let total = self.grouper.groups().first()?.total;
        let lifecycle = total.lifecycle;
        Some((
            total.delta.user_ns,
            lifecycle.forks,
            lifecycle.exits_success,
        ))
    }
}

#[test]
fn a_program_that_matches_nothing_is_in_the_group_of_its_ancestor_or_in_none() {
    for (children, expected) in [(true, (10, 1, 1)), (false, (0, 1, 0))] {
        let mut node = Lineage::new(children);
        node.exec("x");
        node.end();
        assert_eq!(node.of_group(), Some(expected), "children={children}");
    }
}

#[test]
fn a_fork_that_runs_no_program_is_in_the_group_of_its_image() {
    for children in [true, false] {
        let mut node = Lineage::new(children);
        node.end();
        assert_eq!(node.of_group(), Some((10, 1, 1)));
        // The same if a pass saw the process, but its facts were not read before it ended.
        let mut node = Lineage::new(children);
        node.pass(200, &[PARENT, CHILD]);
        node.end();
        assert_eq!(node.of_group(), Some((10, 1, 1)), "children={children}");
    }
}

/// A fork bomb that the agent looks at does this all the time.
#[test]
fn child_of_an_unread_fork_is_in_the_group_of_the_image() {
    let grandchild = ProcessId {
        tgid: 3,
        start_ns: 210,
    };
    for children in [true, false] {
        let mut node = Lineage::new(children);
        node.pass(200, &[PARENT, CHILD]);
        node.apply(Event::Forked {
            child: grandchild,
            parent: CHILD,
        });
        node.end();
        node.end_of(grandchild);
        assert_eq!(node.of_group(), Some((20, 2, 2)), "children={children}");
        // The same if it calls exec before it is read: its child still has the old image.
        let mut node = Lineage::new(children);
        node.pass(200, &[PARENT, CHILD]);
        node.apply(Event::Forked {
            child: grandchild,
            parent: CHILD,
        });
        node.exec("b");
        node.end_of(grandchild);
        assert_eq!(node.of_group(), Some((10, 2, 1)), "children={children}");
    }
}

#[test]
fn process_that_may_still_live_keeps_its_group() {
    let mut node = Lineage::new(true);
    // Process 1 is gone; the pass began before the child was born.
    node.pass(120, &[]);
    node.grouper.forget_empty(node.table.present());
    assert!(node.of_group().is_some());
    node.end();
    node.pass(200, &[]);
    node.grouper.forget_empty(node.table.present());
    assert_eq!(node.of_group(), None);
}

#[test]
fn a_fork_whose_parents_birth_was_lost_is_looked_at_like_any_other() {
    let mut node = Lineage::new(true);
    let id = |tgid| ProcessId {
        tgid,
        start_ns: 160,
    };
    node.apply(Event::Forked {
        child: id(9),
        parent: id(8),
    });
    node.pass(200, &[PARENT, id(8), id(9)]);
    let undecided = node.table.unclassified().into_iter().map(|one| one.id.tgid);
    assert_eq!(undecided.collect::<Vec<_>>(), [8, 9]);
}

#[test]
fn forks_of_a_process_whose_birth_was_lost_are_in_its_group() {
    for children in [true, false] {
        let mut node = Lineage::new(children);
        node.end();
        let [unheard, fork] = [3, 4].map(|tgid| ProcessId {
            tgid,
            start_ns: 150 + u64::from(tgid),
        });
        node.apply(Event::Forked {
            child: fork,
            parent: unheard,
        });
        node.end_of(fork);
        node.end_as(unheard, "a");
        // Three processes have used CPU time and ended; two of their forks were reported.
        assert_eq!(node.of_group(), Some((30, 2, 3)), "{children}");
        assert_eq!(node.table.statistics().unannounced, 1);
    }
}

#[test]
fn a_fork_of_one_without_a_reported_start_is_of_its_group() {
    let mut node = Lineage::new(true);
    let fork = ProcessId {
        tgid: 4,
        start_ns: 160,
    };
    for parent in [1, 9] {
        node.apply(Event::Forked {
            child: ProcessId {
                tgid: fork.tgid + parent,
                ..fork
            },
            parent: ProcessId {
                tgid: parent,
                start_ns: 0,
            },
        });
    }
    // The parent of the second fork is unknown.
    assert_eq!(node.of_group(), Some((0, 2, 0)));
    assert_eq!(node.table.statistics().unannounced, 0);
}

//! Random histories of processes with sockets, on a node whose configuration changes. After each pass, the payload of all groups,
//! of no group and of no process is the payload of the node, less what waits; no counter falls; and at the end nothing waits.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::reload::{ReloadNode, facts};
use super::reload_histories::{COMPLETE, PROGRAMS, comm, placer};
use crate::process::network::model::ModelKernel;
use crate::process::{
    Counters, Event, ExitStatus, Facts, Former, Payload, ProcessId, Released, SCOPES,
};

#[derive(Debug, Clone)]
enum SocketStep {
    Fork {
        parent: usize,
    },
    Exec {
        who: usize,
        program: usize,
    },
    Exit {
        who: usize,
        is_reported: bool,
    },
    Open {
        who: usize,
        scope: usize,
    },
    /// Of a process that lives, or that has ended and left sockets.
    Close {
        who: usize,
        scope: usize,
    },
    Carry {
        who: usize,
        scope: usize,
        bytes: u64,
    },
    CarryUnknown {
        scope: usize,
        bytes: u64,
    },
    CarryFull {
        bytes: u64,
    },
    Pass {
        unread: usize,
        begun_by: Option<usize>,
    },
    Reload {
        configuration: usize,
    },
}

fn step() -> impl Strategy<Value = SocketStep> {
    let (who, scope, bytes) = (0usize..64, 0..SCOPES, 1u64..1000);
    let place = (who.clone(), scope.clone());
    prop_oneof![
        4 => who.clone().prop_map(|parent| SocketStep::Fork { parent }),
        3 => (who.clone(), 0..PROGRAMS).prop_map(|(who, program)| SocketStep::Exec { who, program }),
        3 => (who.clone(), any::<bool>())
            .prop_map(|(who, is_reported)| SocketStep::Exit { who, is_reported }),
        4 => place.clone().prop_map(|(who, scope)| SocketStep::Open { who, scope }),
        2 => place.prop_map(|(who, scope)| SocketStep::Close { who, scope }),
        8 => (who.clone(), scope.clone(), bytes.clone())
            .prop_map(|(who, scope, bytes)| SocketStep::Carry { who, scope, bytes }),
        1 => (scope, bytes.clone())
            .prop_map(|(scope, bytes)| SocketStep::CarryUnknown { scope, bytes }),
        1 => bytes.prop_map(|bytes| SocketStep::CarryFull { bytes }),
        4 => (who.clone(), prop::option::of(who))
            .prop_map(|(unread, begun_by)| SocketStep::Pass { unread, begun_by }),
        1 => (0..COMPLETE + 2).prop_map(|configuration| SocketStep::Reload { configuration }),
    ]
}

const fn payload(bytes: u64) -> Payload {
    Payload {
        sent_bytes: bytes,
        received_bytes: bytes / 2,
    }
}

/// Bytes sent and received.
type Directions = [u64; 2];

const fn pair(payload: Payload) -> Directions {
    [payload.sent_bytes, payload.received_bytes]
}

struct SocketHistory {
    node: ReloadNode,
    kernel: ModelKernel,
    /// Identity and program of each process.
    live: Vec<(ProcessId, String)>,
    /// Processes that ended; some have left sockets.
    ended: Vec<ProcessId>,
    now_ns: u64,
    shown: BTreeMap<String, Directions>,
    others: [Directions; 3],
    folded: u64,
}

impl SocketHistory {
    fn new() -> Self {
        let init = ProcessId {
            tgid: 1,
            start_ns: 1,
        };
        Self {
            node: ReloadNode::new(placer(0), 8),
            kernel: ModelKernel::default(),
            live: vec![(init, "init".to_owned())],
            ended: Vec::new(),
            now_ns: 1000,
            shown: BTreeMap::new(),
            others: [[0; 2]; 3],
            folded: 0,
        }
    }

    fn fork(&mut self, parent: ProcessId, program: String) {
        self.now_ns += 10;
        let child = ProcessId {
            tgid: u32::try_from(self.now_ns).unwrap(),
            start_ns: self.now_ns,
        };
        self.live.push((child, program));
        self.node.apply(Event::Forked { child, parent });
    }

    fn take(&mut self, step: &SocketStep) -> Result<(), TestCaseError> {
        let pick = |who: usize| who % self.live.len();
        match *step {
            SocketStep::Fork { parent } => {
                let (parent, program) = self.live[pick(parent)].clone();
                self.fork(parent, program);
            }
            SocketStep::Exec { who, program } => {
                let at = pick(who);
                self.live[at].1 = comm(program);
                let (id, program) = self.live[at].clone();
                self.node.apply(Event::Execed {
                    former: Former::default(),
                    id,
                    facts: Box::new(facts(&program)),
                    parent: 1,
                    counters: Counters::default(),
                });
            }
            SocketStep::Exit { who, is_reported } => {
                let at = pick(who);
                if at > 0 {
                    let (id, _) = self.live.remove(at);
                    self.ended.push(id);
                    self.exit(id, is_reported);
                }
            }
            SocketStep::Open { who, scope } => self.kernel.open(self.live[pick(who)].0, scope),
            SocketStep::Close { who, scope } => {
                let all: Vec<_> = self.owners().collect();
                self.kernel.close(all[who % all.len()], scope);
            }
            SocketStep::Carry { who, scope, bytes } => {
                // Only a process that lives, or has a socket, can own the traffic of a socket.
                let owners = self.owners().filter(|id| {
                    self.kernel.has_socket(*id) || self.live.iter().any(|(live, _)| live == id)
                });
                let owners: Vec<_> = owners.collect();
                let id = owners[who % owners.len()];
                self.kernel.credit(id, scope, payload(bytes));
            }
            SocketStep::CarryUnknown { scope, bytes } => {
                self.kernel.credit_unknown(scope, payload(bytes));
            }
            SocketStep::CarryFull { bytes } => self.kernel.credit_full(payload(bytes)),
            SocketStep::Pass { unread, begun_by } => {
                self.pass(Some(unread), begun_by);
                self.check()?;
            }
            SocketStep::Reload { configuration } => {
                self.pass(None, None);
                self.node.reconfigure(placer(configuration));
                self.classify(None);
                self.check()?;
            }
        }
        Ok(())
    }

    fn owners(&self) -> impl Iterator<Item = ProcessId> {
        let live = self.live.iter().map(|(id, _)| *id);
        live.chain(self.ended.iter().copied())
    }

    fn exit(&mut self, id: ProcessId, is_reported: bool) {
        self.node.apply(Event::Exited {
            id,
            counters: Counters::default(),
            status: ExitStatus::Success,
            oom_killed: false,
        });
        if is_reported {
            self.node.apply(Event::Released(Box::new(Released {
                id,
                parent: 1,
                facts: Facts::default(),
                counters: Counters::default(),
                projected: false,
                repeated: false,
            })));
        }
    }

    /// A reading, a pass, and the booking of the reading. `begun_by`: a process that forks between reading and pass, and whose
    /// child carries something at once, which the reading has not.
    fn pass(&mut self, unread: Option<usize>, begun_by: Option<usize>) {
        self.now_ns += 10;
        let reading = self.kernel.read();
        if let Some(parent) = begun_by {
            let (parent, program) = self.live[parent % self.live.len()].clone();
            self.fork(parent, program);
            let child = self.live[self.live.len() - 1].0;
            self.kernel.credit(child, 0, payload(7));
        }
        let live = self.live.iter().map(|(id, _)| (*id, 0));
        self.node.observe(self.now_ns, live);
        self.classify(unread);
        let ReloadNode { table, grouper } = &mut self.node;
        let idle = table.book_network(&reading, grouper);
        grouper.measure_network(table.living_sockets(&reading));
        self.kernel.forget(&idle);
    }

    /// `unread`: index of the process whose facts cannot be read.
    fn classify(&mut self, unread: Option<usize>) {
        let unread = unread.map(|at| self.live[at % self.live.len()].0);
        let live = &self.live;
        self.node.classify(|id| {
            let (_, program) = live.iter().find(|(other, _)| *other == id)?;
            (Some(id) != unread).then(|| program.clone())
        });
    }

    /// Checks that the books agree, and that nothing has fallen.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let grouper = &self.node.grouper;
        let books = self.node.table.statistics().network.unwrap_or_default();
        let statistics = grouper.statistics();
        let groups = grouper.groups().iter();
        let now: BTreeMap<String, Directions> = groups
            .filter_map(|group| {
                let total = &group.network.as_ref()?.total;
                Some((group.name.clone(), pair(total.payload())))
            })
            .collect();
        let ungrouped = pair(statistics.ungrouped_payload);
        let unattributed = pair(books.unattributed);
        let booked = pair(statistics.booked_payload);
        let node = [books.totals.sent_bytes, books.totals.received_bytes];
        for n in 0..2 {
            let grouped: u64 = now.values().map(|pair| pair[n]).sum();
            prop_assert_eq!(grouped + ungrouped[n], booked[n], "{:?}", now);
            prop_assert!(booked[n] + unattributed[n] <= node[n]);
        }
        let others = [ungrouped, unattributed, node];
        for (before, later) in self.others.iter().zip(&others) {
            prop_assert!(before.iter().zip(later).all(|(a, b)| a <= b));
        }
        let folded = statistics.folded_groups;
        if folded == self.folded {
            for (name, before) in &self.shown {
                let later = now.get(name).copied().unwrap_or_default();
                prop_assert!(
                    before.iter().zip(later).all(|(a, b)| *a <= b),
                    "{name} fell"
                );
            }
        }
        (self.shown, self.others, self.folded) = (now, others, folded);
        Ok(())
    }
}

proptest! {
    #[test]
    fn groups_and_the_rest_together_have_exactly_the_payload_of_sockets(
        steps in prop::collection::vec(step(), 1..150)
    ) {
        let mut history = SocketHistory::new();
        for step in &steps {
            history.take(step)?;
        }
        for _ in 0..3 {
            history.pass(None, None);
            history.check()?;
        }
        let [ungrouped, unattributed, node] = history.others;
        for n in 0..2 {
            let grouped: u64 = history.shown.values().map(|pair| pair[n]).sum();
            prop_assert_eq!(grouped + ungrouped[n] + unattributed[n], node[n]);
        }
        let totals = history.kernel.totals;
        prop_assert_eq!(node, [totals.sent_bytes, totals.received_bytes]);
        // Only payload of unknown owners, and payload that found the map full, is unattributed: each process is known.
        let owned = steps.iter().map(|step| match step {
            SocketStep::CarryUnknown { bytes, .. } | SocketStep::CarryFull { bytes } => *bytes,
            _ => 0,
        });
        prop_assert_eq!(unattributed[0], owned.sum::<u64>());
    }
}

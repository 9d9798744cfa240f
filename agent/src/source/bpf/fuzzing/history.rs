//! Random histories of a small node, written as the kernel's bytes: ring, overflow hash, iterator.
//!
//! The agent must never book more than the processes used, and must book exactly that if no record is lost, even if records
//! are repeated, late, or merged in the hash.

use std::collections::BTreeMap;

use agent_common::{Identity, OverflowRecord, Totals};
use arbitrary::{Arbitrary, Unstructured};

use super::groups::{CheckedGroups, numbers};
use super::node::{NodeProcess, Record, add};
use super::{Pieces, carried, names};
use crate::process::sums::Sums;
use crate::process::{Delta, Lifecycle, Table};
use crate::source::NamesById;
use crate::source::bpf::events::{self, Timed};
use crate::source::bpf::snapshot::Snapshot;

/// Maximum number of live processes.
const MOST: usize = 64;

#[derive(Debug, Arbitrary)]
enum NodeStep<'a> {
    Fork {
        parent: u8,
        fate: RecordFate,
    },
    Exec {
        who: u8,
        argv: &'a [u8],
        fate: RecordFate,
    },
    Run {
        who: u8,
        thread: u8,
        used: RunUse,
    },
    Thread {
        who: u8,
    },
    ThreadEnd {
        who: u8,
    },
    Exit {
        who: u8,
        status: u16,
        fates: [RecordFate; 2],
    },
    Drain,
    Pass,
    Wait,
}

#[derive(Debug, Arbitrary)]
struct RunUse {
    runtime_ns: u32,
    /// System time in 256ths of the run time, as ticks sampled it.
    system: u8,
    faults: u8,
    switches: u8,
    bytes: u16,
}

/// The fate of a record on its way to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum RecordFate {
    Arrives,
    Twice,
    /// It arrives only at the drain after the next one.
    Late,
    /// It finds the ring full and is merged into the hash.
    Merged,
    Lost,
}

impl RunUse {
    fn totals(&self) -> Totals {
        // A process that does not run uses nothing.
        let runtime_ns = u64::from(self.runtime_ns).max(1);
        let stime_ns = runtime_ns * u64::from(self.system) / 256;
        Totals {
            utime_ns: runtime_ns - stime_ns,
            stime_ns,
            runtime_ns,
            minor_faults: self.faults.into(),
            major_faults: (self.faults / 16).into(),
            voluntary_switches: self.switches.into(),
            nonvoluntary_switches: (self.switches / 4).into(),
            read_bytes: self.bytes.into(),
            write_bytes: (self.bytes / 2).into(),
            ..Totals::default()
        }
    }
}

struct NodeHistory {
    now_ns: u64,
    live: Vec<NodeProcess>,
    used: Totals,
    happened: Lifecycle,
    ring: Vec<Record>,
    hash: BTreeMap<(u64, u32), OverflowRecord>,
    late: Vec<Record>,
    has_lost: bool,
    pieces: Pieces,
    names: NamesById,
    table: Table,
    sums: Sums,
    groups: CheckedGroups,
}

impl NodeHistory {
    fn new() -> Self {
        let mut history = Self {
            now_ns: 1000,
            live: vec![NodeProcess::new(1, 1)],
            used: Totals::default(),
            happened: Lifecycle::default(),
            ring: Vec::new(),
            hash: BTreeMap::new(),
            late: Vec::new(),
            has_lost: false,
            pieces: Pieces::default(),
            names: names(),
            table: Table::new(1000),
            sums: Sums::default(),
            groups: CheckedGroups::new(1000),
        };
        history.pass();
        history
    }

    fn send(&mut self, record: Record, fate: RecordFate) {
        match fate {
            RecordFate::Arrives => self.ring.push(record),
            RecordFate::Late => self.late.push(record),
            RecordFate::Merged => record.merge(&mut self.hash),
            RecordFate::Lost => self.has_lost = true,
            RecordFate::Twice => {
                self.ring.push(record.clone());
                self.late.push(record);
            }
        }
    }

    fn take(&mut self, step: NodeStep<'_>) {
        self.now_ns += 10;
        let pick = |who: u8| usize::from(who) % self.live.len();
        match step {
            NodeStep::Fork { parent, fate } => self.fork(pick(parent), fate),
            NodeStep::Exec { who, argv, fate } => {
                let process = &self.live[pick(who)];
                self.happened.execs += 1;
                let argv = &argv[..argv.len().min(512)];
                let record = Record::exec(process.id, self.now_ns, process.all(), argv);
                // The kernel sends one record for each exec; a second record would mean a second exec.
                self.send(
                    record,
                    if fate == RecordFate::Twice {
                        RecordFate::Arrives
                    } else {
                        fate
                    },
                );
            }
            NodeStep::Run { who, thread, used } => {
                let at = pick(who);
                let process = &mut self.live[at];
                let count = process.threads.len() + 1;
                let totals = match usize::from(thread) % count {
                    0 => &mut process.own,
                    n => &mut process.threads[n - 1].2,
                };
                add(totals, &used.totals());
                add(&mut self.used, &used.totals());
            }
            NodeStep::Thread { who } => {
                let (at, tid) = (pick(who), self.free_id());
                let thread = (tid, self.now_ns, Totals::default());
                self.live[at].threads.push(thread);
            }
            NodeStep::ThreadEnd { who } => {
                let at = pick(who);
                let process = &mut self.live[at];
                if let Some((.., used)) = process.threads.pop() {
                    add(&mut process.own, &used);
                }
            }
            NodeStep::Exit { who, status, fates } => self.exit(pick(who), status, fates),
            NodeStep::Drain => self.drain(),
            NodeStep::Pass => self.pass(),
            NodeStep::Wait => self.now_ns += 61_000_000_000,
        }
    }

    /// The lowest free id, so that ids are reused soon.
    fn free_id(&self) -> u32 {
        let is_used = |n: u32| {
            let mut live = self.live.iter();
            live.any(|one| one.id.tgid == n || one.threads.iter().any(|(tid, ..)| *tid == n))
        };
        (2..).find(|n| !is_used(*n)).expect("few are used")
    }

    fn fork(&mut self, parent: usize, fate: RecordFate) {
        if self.live.len() == MOST {
            return;
        }
        let parent = self.live[parent].id;
        let child = NodeProcess::new(self.free_id(), self.now_ns);
        self.happened.forks += 1;
        self.send(Record::fork(child.id, parent), fate);
        self.live.push(child);
    }

    fn exit(&mut self, at: usize, status: u16, fates: [RecordFate; 2]) {
        if at == 0 {
            return;
        }
        let process = self.live.remove(at);
        let (id, all): (Identity, Totals) = (process.id, process.all());
        match (status & 0x7f, status & 0xff00) {
            (0, 0) => self.happened.exits_success += 1,
            (0, _) => self.happened.exits_failure += 1,
            _ => self.happened.exits_signal += 1,
        }
        let so_far = Totals {
            runtime_ns: all.runtime_ns - all.runtime_ns / 8,
            ..all
        };
        self.send(
            Record::exit(id, self.now_ns, so_far, status.into()),
            fates[0],
        );
        self.send(Record::release(id, self.now_ns + 1, all), fates[1]);
    }

    fn drain(&mut self) {
        let carried = carried();
        let late = std::mem::take(&mut self.late);
        let mut found: Vec<Timed> = Vec::new();
        for record in std::mem::replace(&mut self.ring, late) {
            let event = events::from_ring(&record.bytes(), carried, &mut self.pieces);
            found.push(event.expect("a record of ours"));
        }
        for ((start_ns, tgid), record) in std::mem::take(&mut self.hash) {
            let id = Identity {
                start_ns,
                tgid,
                zero: 0,
            };
            found.extend(events::from_overflow(&id, &record, carried));
        }
        found.sort_by_key(|(time_ns, _)| *time_ns);
        for (_, mut event) in found {
            self.names.complete(&mut event);
            self.table.apply(event.clone(), &mut self.sums);
            self.groups.apply(event);
        }
        self.table.end_drain(&mut self.sums);
    }

    fn pass(&mut self) {
        self.now_ns += 10;
        self.drain();
        let mut bytes = Vec::new();
        self.live
            .iter()
            .for_each(|process| process.records(&mut bytes));
        let mut snapshot = Snapshot::new(carried(), self.live.len());
        snapshot.read(&mut &bytes[..]).expect("records of ours");
        let pass = snapshot.pass(self.now_ns);
        self.table.observe(&pass, &mut self.sums);
        self.groups.observe(&pass);
    }

    /// Checks that all groups together have at most the booked totals; some of these may be in no group.
    fn check_groups(&mut self) {
        let of_groups = numbers(&self.groups.check());
        let booked = numbers(&self.sums.total);
        let is_less = of_groups.iter().zip(booked).all(|(one, all)| *one <= all);
        assert!(is_less, "{of_groups:?} of {booked:?}");
    }

    /// For each total, the booked and the used amount.
    fn accounts(&self) -> [(u64, u64); 12] {
        let Delta {
            user_ns,
            system_ns,
            read_bytes,
            write_bytes,
            major_faults,
            minor_faults,
            voluntary_switches,
            nonvoluntary_switches,
            ..
        } = self.sums.total.delta;
        let (used, booked, happened) = (&self.used, self.sums.total.lifecycle, self.happened);
        [
            (
                user_ns + system_ns + self.table.statistics().dropped_cpu_ns,
                used.runtime_ns,
            ),
            (read_bytes, used.read_bytes),
            (write_bytes, used.write_bytes),
            (major_faults, used.major_faults),
            (minor_faults, used.minor_faults),
            (voluntary_switches, used.voluntary_switches),
            (nonvoluntary_switches, used.nonvoluntary_switches),
            (booked.forks, happened.forks),
            (booked.execs, happened.execs),
            (booked.exits_success, happened.exits_success),
            (booked.exits_failure, happened.exits_failure),
            (booked.exits_signal, happened.exits_signal),
        ]
    }
}

/// Plays the history that `input` describes, and checks the totals after each step and at the end.
pub(crate) fn history(input: &[u8]) {
    let Ok(steps) = Vec::<NodeStep<'_>>::arbitrary(&mut Unstructured::new(input)) else {
        return;
    };
    let mut history = NodeHistory::new();
    for step in steps {
        history.take(step);
        history.check_groups();
        let accounts = history.accounts();
        assert!(
            accounts.iter().all(|(booked, used)| booked <= used),
            "{accounts:?}"
        );
    }
    history.pass();
    history.pass();
    let accounts = history.accounts();
    if !history.has_lost {
        // Of use that merged execs dropped, only CPU time is counted; the other totals may be lower.
        let has_dropped = history.table.statistics().dropped_cpu_ns > 0;
        let is_exact = |(place, (booked, used)): (usize, &(u64, u64))| {
            booked == used || has_dropped && (1..7).contains(&place)
        };
        assert!(accounts.iter().enumerate().all(is_exact), "{accounts:?}");
        assert_eq!(history.table.statistics().live, history.live.len() as u64);
    }
    history.now_ns += 61_000_000_000;
    history.pass();
    assert_eq!(history.table.statistics().pending, 0);
}

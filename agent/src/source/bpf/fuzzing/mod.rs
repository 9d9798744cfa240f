//! Fuzz targets for everything that comes from the kernel: its type information, the iterator's bytes, records.

mod groups;
mod history;
mod node;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use agent_common::{
    ABSENT, DeadThreadsRecord, EXIT_DEAD, ExecRecord, Identity, Layout, LeaderRecord, Offsets,
    OverflowRecord, RSS_PLAIN, ThreadRecord, kind,
};
use arbitrary::{Arbitrary, Unstructured};
pub(crate) use history::history;

use super::btf::Btf;
use super::snapshot::{Carried, Snapshot};
use super::support::Support;
use super::{Pieces, events};
use crate::process::sums::Sums;
use crate::process::{Counters, Event, Pass, ProcessId, Table};
use crate::source::{NamesById, UserNames};

const PAGE_BYTES: u64 = 4096;

/// A kernel whose records carry every fact.
fn carried() -> Carried {
    let layout = Layout {
        offsets: Offsets::resolve(|_, _| Some(8)),
        rss_stride: 8,
        rss_access: RSS_PLAIN,
        ..Layout::ABSENT
    };
    Carried::new(&layout, PAGE_BYTES)
}

/// Names on a node without a user database.
fn names() -> NamesById {
    NamesById::new(UserNames::new(PathBuf::new()))
}

/// Parses any bytes as type information. The parser must not panic, and must find only names that are in the bytes.
pub(crate) fn btf(raw: &[u8]) {
    let Ok(btf) = Btf::parse(raw) else { return };
    let (support, layout) = Support::of(&btf);
    assert!(support.missing.len() <= Offsets::FIELDS.len());
    assert_eq!(
        btf.offset("task_struct", "tgid").is_none(),
        layout.offsets.task_tgid == ABSENT
    );
    let is_in = |name: &str| {
        raw.windows(name.len())
            .any(|window| window == name.as_bytes())
    };
    assert!(!btf.has_function("release_task") || is_in("release_task"));
    assert!(
        btf.offset("task_struct", "se.sum_exec_runtime").is_none() || is_in("sum_exec_runtime")
    );
}

/// Reads any bytes as the iterator's output. In one piece and record by record they must result in the same pass, every
/// record must be in it, and the same pass twice must book nothing the second time.
pub(crate) fn iterator(bytes: &[u8]) {
    let whole = pass(&[bytes]);
    let Some(pieces) = pieces(bytes) else {
        assert!(whole.is_none(), "a record of no known kind");
        return;
    };
    let whole = whole.expect("known records");
    let single = pass(&pieces).expect("known records");
    let sums = pieces.iter().filter(|piece| is_dead_threads(piece)).count();
    assert_eq!(
        single.processes.len() + single.threads.len() + sums,
        pieces.len()
    );
    assert_eq!(
        (&single.processes, &single.threads),
        (&whole.processes, &whole.threads)
    );
    assert!(
        whole
            .threads
            .is_sorted_by_key(|thread| (thread.tgid, thread.tid))
    );
    let all: HashSet<_> = whole.processes.iter().map(|one| one.id).collect();
    assert!(whole.cgroup_ids(&all).len() <= all.len());
    let found = whole.processes.iter();
    let found = found.map(|process| u128::from(process.counters.faults.minor));
    let most = found.clone().max().unwrap_or_default();
    assert!(most == u64::MAX.into() || found.sum::<u128>() == minor_faults(&pieces));
    let mut table = Table::new(0);
    let mut sums = Sums::default();
    table.observe(&whole, &mut sums);
    let first = sums.total;
    table.observe(&whole, &mut sums);
    let is_ambiguous = table.live().count() != whole.processes.len();
    assert!(
        is_ambiguous || sums.total == first,
        "the same pass again adds nothing"
    );
}

/// The expected sum of minor faults of all processes: that of each leader's record, plus that of its other threads if it has
/// several; if sums of dead threads came before, these sums plus that of all threads.
fn minor_faults(pieces: &[&[u8]]) -> u128 {
    let of_size = |size| pieces.iter().filter(move |piece| piece.len() == size);
    let of = |piece: &&[u8]| {
        let leader: LeaderRecord = bytemuck::pod_read_unaligned(piece);
        let its = of_size(size_of::<ThreadRecord>())
            .map(|piece| bytemuck::pod_read_unaligned::<ThreadRecord>(piece))
            .filter(|one| one.tgid == leader.id.tgid && one.exit_state & EXIT_DEAD == 0)
            .filter(|_| leader.threads > 1);
        let dead = of_size(size_of::<DeadThreadsRecord>())
            .map(|piece| bytemuck::pod_read_unaligned::<DeadThreadsRecord>(piece))
            .find(|one| one.id.tgid == leader.id.tgid)
            .filter(|one| one.id == leader.id && leader.threads > 1);
        let own = dead.map_or(leader.totals, |dead| dead.totals);
        let others = its
            .filter(|one| one.tid != one.tgid || dead.is_some())
            .map(|one| u128::from(one.minor_faults));
        u128::from(own.minor_faults) + others.sum::<u128>()
    };
    of_size(size_of::<LeaderRecord>()).map(of).sum()
}

fn is_dead_threads(piece: &[u8]) -> bool {
    piece.len() == size_of::<DeadThreadsRecord>()
}

/// Splits the bytes into records; `None` if one is cut or of an unknown kind.
fn pieces(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut pieces = Vec::new();
    while let Some(first) = bytes.first_chunk() {
        let length = match u32::from_ne_bytes(*first) {
            kind::LEADER => size_of::<LeaderRecord>(),
            kind::THREAD => size_of::<ThreadRecord>(),
            kind::DEAD_THREADS => size_of::<DeadThreadsRecord>(),
            _ => return None,
        };
        let (piece, rest) = bytes.split_at_checked(length)?;
        pieces.push(piece);
        bytes = rest;
    }
    bytes.is_empty().then_some(pieces)
}

fn pass(pieces: &[&[u8]]) -> Option<Pass> {
    let mut snapshot = Snapshot::new(carried(), 0);
    for piece in pieces {
        snapshot.read(&mut &**piece).ok()?;
    }
    Some(snapshot.pass(1 << 40))
}

/// Input from the kernel with arbitrary content.
#[derive(Debug, Arbitrary)]
enum KernelInput<'a> {
    Ring {
        kind: u8,
        rest: &'a [u8],
    },
    Overflow {
        start_ns: u64,
        tgid: u32,
        rest: &'a [u8],
    },
    Pass {
        after_s: u8,
        rest: Vec<(u8, &'a [u8])>,
    },
}

/// Applies arbitrary records and passes. Nothing may panic, no process may be booked more than the largest total that was
/// reported of it, and no account may be closed more often than it was opened.
pub(crate) fn records(input: &[u8]) {
    let Ok(inputs) = Vec::<KernelInput<'_>>::arbitrary(&mut Unstructured::new(input)) else {
        return;
    };
    let mut checked = CheckedTable::new();
    for one in inputs {
        match one {
            KernelInput::Ring { kind, rest } => {
                let record = [&u32::from(kind % 9).to_ne_bytes()[..], rest].concat();
                checked.ring(&record);
                checked.ring(&padded(&record, size_of::<ExecRecord>()));
            }
            KernelInput::Overflow {
                start_ns,
                tgid,
                rest,
            } => {
                let id = Identity {
                    start_ns,
                    tgid,
                    zero: 0,
                };
                checked.overflow(&id, &padded(rest, size_of::<OverflowRecord>()));
            }
            KernelInput::Pass { after_s, rest } => checked.pass(after_s, &rest),
        }
        assert!(checked.sums.total.delta.minor_faults <= checked.most());
    }
    checked.pass(61, &[]);
    assert_eq!(checked.table.statistics().live, 0);
}

/// The process table, and the largest total that was reported of each process.
struct CheckedTable {
    now_ns: u64,
    pieces: Pieces,
    table: Table,
    sums: Sums,
    reported: HashMap<ProcessId, u64>,
}

impl CheckedTable {
    fn new() -> Self {
        Self {
            now_ns: 1000,
            pieces: Pieces::default(),
            table: Table::new(1000),
            sums: Sums::default(),
            reported: HashMap::new(),
        }
    }

    fn most(&self) -> u64 {
        self.reported
            .values()
            .fold(0, |sum, most| sum.saturating_add(*most))
    }

    /// Notes the report of a process.
    fn report(&mut self, id: ProcessId, counters: &Counters) {
        let most = self.reported.entry(id).or_default();
        *most = (*most).max(counters.faults.minor);
    }

    fn apply(&mut self, event: Event) {
        match &event {
            Event::Forked { .. } => {}
            Event::Execed {
                id,
                counters,
                former,
                ..
            } => {
                self.report(*id, counters);
                if let Some(merged) = &former.merged {
                    self.report(*id, &merged.counters);
                }
            }
            Event::Exited { id, counters, .. } => self.report(*id, counters),
            Event::Released(released) => self.report(released.id, &released.counters),
        }
        self.table.apply(event, &mut self.sums);
    }

    fn ring(&mut self, record: &[u8]) {
        if events::keep_piece(record, &mut self.pieces) {
            return;
        }
        let found = events::from_ring(record, carried(), &mut self.pieces);
        found.into_iter().for_each(|(_, event)| self.apply(event));
    }

    fn overflow(&mut self, id: &Identity, record: &[u8]) {
        let record = bytemuck::pod_read_unaligned(&record[..size_of::<OverflowRecord>()]);
        let found = events::from_overflow(id, &record, carried());
        found.into_iter().for_each(|(_, event)| self.apply(event));
    }

    fn pass(&mut self, after_s: u8, records: &[(u8, &[u8])]) {
        self.now_ns += u64::from(after_s) * 1_000_000_000;
        let mut snapshot = Snapshot::new(carried(), 0);
        for (kind, rest) in records {
            let (kind, length) = match kind % 3 {
                0 => (kind::LEADER, size_of::<LeaderRecord>()),
                1 => (kind::DEAD_THREADS, size_of::<DeadThreadsRecord>()),
                _ => (kind::THREAD, size_of::<ThreadRecord>()),
            };
            let record = [&kind.to_ne_bytes()[..], rest].concat();
            let read = snapshot.read(&mut &padded(&record, length)[..length]);
            read.expect("a whole record");
        }
        let pass = snapshot.pass(self.now_ns);
        for sample in &pass.processes {
            self.report(sample.id, &sample.counters);
        }
        self.table.observe(&pass, &mut self.sums);
    }
}

/// `bytes`, extended with zeros to at least `length` bytes.
fn padded(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(length.max(bytes.len()), 0);
    padded
}

//! Converts records of the ring, entries of the overflow hash and sums by comm to events. Pure.
//!
//! In: bytes of a record or entry. Out: one or more [`Event`]s with their time, or a [`Coarse`] sum. The facts in an event have
//! numbers of users and cgroups, not yet their names (`source/names.rs`). Sorting is left to the caller.

use std::borrow::Cow;

use agent_common::{
    ARGV_BYTES, ARGV_CUT, CoarseSums, Comm, EXEC_BORROWED_IDS, EXEC_REAL_UID, EXIT_OOM,
    EXIT_UNTOLD, ExecHead, ExecRecord, ExitRecord, ForkRecord, Identity, OVERFLOW_EXECED,
    OVERFLOW_EXITED, OVERFLOW_FORKED, OVERFLOW_RELEASED, OverflowRecord, RELEASE_PROJECTED,
    RELEASE_REPEATED, ReleaseRecord, kind,
};
use bytemuck::{Pod, pod_read_unaligned};

use super::pieces::Pieces;
use super::snapshot::{Carried, process_id};
use crate::process::{
    Arguments, Coarse, Event, ExitStatus, Facts, Former, Launch, Lifecycle, Merged, Released,
};

/// Bytes up to the first NUL.
fn text(comm: &Comm) -> Vec<u8> {
    comm.split(|byte| *byte == 0)
        .next()
        .unwrap_or_default()
        .to_vec()
}

fn exec_facts(id: &Identity, head: &ExecHead, argv: &[u8]) -> Facts {
    let comm = text(&head.comm);
    let is_cut = head.flags & ARGV_CUT != 0;
    let mut argv = Arguments::of_file(argv);
    if argv.is_empty() && is_cut {
        // The arguments were lost, not empty: the task name is the best guess at the first argument.
        argv = [&comm].into_iter().collect();
    }
    if is_cut {
        argv = argv.cut();
    }
    Facts {
        tgid: id.tgid,
        start_ns: id.start_ns,
        parent: head.parent_tgid,
        comm,
        argv,
        uid: Some(head.euid),
        cgroup_id: Some(head.cgroup_id),
        incomplete: is_cut,
        ..Facts::default()
    }
}

/// The names of a process in a release record, for a process whose exec was not reported.
fn last_facts(record: &ReleaseRecord) -> Facts {
    let comm = text(&record.comm);
    Facts {
        tgid: record.id.tgid,
        start_ns: record.id.start_ns,
        parent: record.parent_tgid,
        argv: [&comm].into_iter().collect(),
        comm,
        uid: Some(record.euid),
        incomplete: true,
        ..Facts::default()
    }
}

fn whole<T: Pod>(bytes: &[u8]) -> Option<T> {
    bytes.get(..size_of::<T>()).map(pod_read_unaligned)
}

/// An event and its time, nanoseconds since boot.
pub type Timed = (u64, Event);

/// Stores a record with a further piece of the arguments of an exec. Returns `false` for every other record.
pub(super) fn keep_piece(bytes: &[u8], pieces: &mut Pieces) -> bool {
    let is_piece = bytes.starts_with(&kind::ARGUMENTS.to_ne_bytes());
    if let Some((record, argv)) = exec_record(bytes).filter(|_| is_piece) {
        pieces.add(&record, argv);
        return true;
    }
    false
}

/// Converts one record of the ring. `pieces`: further arguments of execs, from the records before. `None` if its kind is unknown
/// or it is too short; the caller counts it as lost.
pub fn from_ring(bytes: &[u8], carried: Carried, pieces: &mut Pieces) -> Option<Timed> {
    let first = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    match first {
        kind::FORK => {
            let record: ForkRecord = whole(bytes)?;
            let (child, parent) = (process_id(&record.child), process_id(&record.parent));
            Some((child.start_ns, Event::Forked { child, parent }))
        }
        kind::EXEC => {
            let (record, first) = exec_record(bytes)?;
            let more = pieces.take(&record);
            let argv = match more.is_empty() {
                true => Cow::Borrowed(first),
                false => Cow::Owned([first, &more].concat()),
            };
            let mut head = record.head;
            if argv.len() < head.argv_len as usize {
                head.flags |= ARGV_CUT;
            }
            let event = Event::Execed {
                id: process_id(&record.id),
                facts: Box::new(exec_facts(&record.id, &head, &argv)),
                parent: record.head.parent_tgid,
                counters: carried.counters(&record.totals),
                former: Former {
                    launch: launch(record.head.flags, record.head.euid),
                    merged: None,
                },
            };
            Some((record.time_ns, event))
        }
        kind::EXIT => {
            let record: ExitRecord = whole(bytes)?;
            let event = Event::Exited {
                id: process_id(&record.id),
                counters: carried.counters(&record.totals),
                status: exit_status(record.flags, record.wait_status),
                oom_killed: is_oom_kill(record.flags, record.wait_status),
            };
            Some((record.time_ns, event))
        }
        kind::RELEASE => {
            let record: ReleaseRecord = whole(bytes)?;
            let event = Event::Released(Box::new(released(&record, carried)));
            Some((record.time_ns, event))
        }
        _ => None,
    }
}

/// An exec record, and the arguments that follow it.
fn exec_record(bytes: &[u8]) -> Option<(ExecRecord, &[u8])> {
    let record: ExecRecord = whole(bytes)?;
    let argv = bytes.get(size_of::<ExecRecord>()..)?;
    let len = ARGV_BYTES.min(record.head.argv_len as usize);
    Some((record, argv.get(..len)?))
}

fn exit_status(flags: u32, wait_status: u32) -> ExitStatus {
    if flags & EXIT_UNTOLD != 0 {
        return ExitStatus::Unknown;
    }
    ExitStatus::from_wait_status(wait_status)
}

/// Whether the OOM killer ended the process. It marks the process and sends SIGKILL; a marked process that ended in another
/// way was not killed.
fn is_oom_kill(flags: u32, wait_status: u32) -> bool {
    const SIGKILL: u32 = 9;
    flags & EXIT_OOM != 0 && wait_status & 0x7f == SIGKILL
}

fn released(record: &ReleaseRecord, carried: Carried) -> Released {
    Released {
        id: process_id(&record.id),
        parent: record.parent_tgid,
        facts: last_facts(record),
        counters: carried.counters(&record.totals),
        projected: record.flags & RELEASE_PROJECTED != 0,
        repeated: record.flags & RELEASE_REPEATED != 0,
    }
}

/// Whether the use between fork and exec (the launch) goes to the new image, by the flags of an exec record. `uid` is the
/// effective user id, or the real one if [`EXEC_REAL_UID`] is set.
fn launch(flags: u32, uid: u32) -> Launch {
    if flags & EXEC_BORROWED_IDS != 0 {
        Launch::Left
    } else if flags & EXEC_REAL_UID != 0 {
        Launch::Unless { real_uid: uid }
    } else {
        Launch::Taken
    }
}

/// Converts one entry of the overflow hash. Several execs become one event, because only the names of the last image are
/// known.
pub(super) fn from_overflow(
    id: &Identity,
    record: &OverflowRecord,
    carried: Carried,
) -> Vec<Timed> {
    let process = process_id(id);
    let has = |flag| record.flags & flag != 0;
    let mut events = Vec::new();
    if has(OVERFLOW_FORKED) {
        let event = Event::Forked {
            child: process,
            parent: process_id(&record.parent),
        };
        events.push((process.start_ns, event));
    }
    if has(OVERFLOW_EXECED) {
        let facts = Box::new(exec_facts(id, &record.head, &[]));
        let merged = Merged {
            execs: u64::from(record.execs.saturating_sub(1)),
            counters: carried.counters(&record.exec_totals),
        };
        let event = Event::Execed {
            id: process,
            facts,
            parent: record.head.parent_tgid,
            counters: carried.counters(&record.last_exec_totals),
            former: Former {
                launch: launch(record.exec_flags, record.head.euid),
                merged: (merged.execs > 0).then(|| Box::new(merged)),
            },
        };
        events.push((record.exec_time_ns, event));
    }
    if has(OVERFLOW_EXITED) {
        let event = Event::Exited {
            id: process,
            counters: carried.counters(&record.totals),
            status: exit_status(record.exit_flags, record.wait_status),
            oom_killed: is_oom_kill(record.exit_flags, record.wait_status),
        };
        events.push((record.exit_time_ns, event));
    }
    if has(OVERFLOW_RELEASED) {
        let record = ReleaseRecord {
            kind: kind::RELEASE,
            flags: record.exit_flags,
            id: *id,
            time_ns: record.release_time_ns,
            totals: record.totals,
            comm: record.comm,
            wait_status: record.wait_status,
            euid: record.euid,
            parent_tgid: record.parent_tgid,
            zero: 0,
        };
        let event = Event::Released(Box::new(released(&record, carried)));
        events.push((record.time_ns, event));
    }
    events
}

/// The increase of a sum by comm since it was last read; `None` if there is none.
pub(super) fn from_sums(
    comm: Option<&Comm>,
    now: &CoarseSums,
    before: &CoarseSums,
    carried: Carried,
) -> Option<Coarse> {
    let grown = difference(now, before);
    (grown != CoarseSums::default()).then(|| Coarse {
        comm: comm.map(text),
        counters: carried.counters(&grown.totals),
        lifecycle: Lifecycle {
            forks: grown.forks,
            execs: grown.execs,
            exits_success: grown.exits_success,
            exits_failure: grown.exits_failure,
            exits_signal: grown.exits_signal,
            exits_unknown: grown.exits_unknown,
            oom_kills: grown.oom_kills,
        },
    })
}

/// The difference, word by word: all fields are words that only rise.
fn difference(now: &CoarseSums, before: &CoarseSums) -> CoarseSums {
    let mut grown = *now;
    let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut grown));
    let before: &[u64] = bytemuck::cast_slice(std::slice::from_ref(before));
    for (word, before) in words.iter_mut().zip(before) {
        *word = word.saturating_sub(*before);
    }
    grown
}

/// The sum over all CPUs, word by word.
pub(super) fn sum<T: Pod + Default>(cpus: impl Iterator<Item = T>) -> T {
    let mut all = T::default();
    for cpu in cpus {
        let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut all));
        let more: &[u64] = bytemuck::cast_slice(std::slice::from_ref(&cpu));
        for (word, more) in words.iter_mut().zip(more) {
            *word = word.wrapping_add(*more);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;

    use super::*;
    use crate::process::Container;
    use crate::source::NamesById;

    #[test]
    fn exec_facts_hold_parent_user_and_cgroup_of_a_process_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let passwd = folder.path().join("passwd");
        std::fs::write(&passwd, "web:x:33:\n").unwrap();
        let mut names = NamesById::new(crate::source::UserNames::new(passwd));
        let container = std::sync::Arc::new(Container {
            namespace: "ns".to_owned(),
            pod: "p".to_owned(),
            name: "c".to_owned(),
        });
        let alive = Facts {
            cgroups: vec!["/system.slice/x.service".to_owned()],
            cgroups_by_id: vec!["/system.slice/x.service".to_owned()],
            container: Some(container),
            ..Facts::default()
        };
        names.learn(5, &alive, None);
        let mut head = ExecHead::zeroed();
        (head.euid, head.parent_tgid, head.cgroup_id) = (33, 7, 5);
        let mut facts = exec_facts(&Identity::zeroed(), &head, b"a\0b\0");
        names.complete_facts(&mut facts);
        assert_eq!(
            (facts.parent, facts.uid, &*facts.username),
            (7, Some(33), "web")
        );
        assert_eq!(
            (facts.cgroups, facts.container),
            (alive.cgroups, alive.container)
        );
        assert_eq!((facts.cwd.len(), facts.incomplete), (0, false));
        let mut record = ReleaseRecord::zeroed();
        (record.euid, record.parent_tgid) = (34, 8);
        let mut facts = last_facts(&record);
        names.complete_facts(&mut facts);
        assert_eq!(
            (facts.parent, facts.uid, &*facts.username),
            (8, Some(34), "34")
        );
        assert!(facts.incomplete);
    }

    #[test]
    fn overflow_entry_with_many_execs_reports_all_of_them() {
        let mut record = OverflowRecord::zeroed();
        record.flags = OVERFLOW_EXECED;
        let carried = Carried::new(&agent_common::Layout::ABSENT, 4096);
        for merged in [1, 90_920, u32::MAX] {
            record.execs = merged;
            let id = Identity {
                tgid: 7,
                start_ns: 9,
                zero: 0,
            };
            let found = from_overflow(&id, &record, carried);
            assert_eq!(found.len(), 1, "a bounded number of events");
            let mut table = crate::process::Table::new(0);
            let mut sums = crate::process::sums::Sums::default();
            for (_, event) in found {
                table.apply(event, &mut sums);
            }
            assert_eq!(sums.total.lifecycle.execs, u64::from(merged));
        }
    }

    #[test]
    fn an_oom_mark_without_sigkill_is_no_oom_kill() {
        assert!(is_oom_kill(EXIT_OOM, 9));
        assert!(!is_oom_kill(EXIT_OOM, 0));
        assert!(!is_oom_kill(0, 9));
    }
}

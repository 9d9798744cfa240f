//! Bounds the long arguments that exec records brought for processes without a decision, however many programs start.
//!
//! When the bound is reached, the oldest process gives way. It is decided by the facts of its exec record if they are complete;
//! otherwise it keeps only the beginning of its arguments. Nothing is lost by this: `/proc` would have shown the same facts, or
//! still shows the rest.

use std::collections::VecDeque;

use super::{AccountId, ProcessId};

/// Arguments of at most this many bytes are not counted here: for a table of 10,000 such processes they take 5 MB.
pub(super) const SHORT: usize = 512;
/// At most this many bytes of longer arguments are held.
const MOST: usize = 8 << 20;
/// At most this many processes wait for an early look; further ones wait for the next pass.
const INCOMPLETE: usize = 64;

/// A process whose exec record could not hold all facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncompleteExec {
    /// The process.
    pub id: ProcessId,
    /// The account that needs a group.
    pub account: AccountId,
    /// Effective user id from the exec record; 0 where the record has none.
    pub uid: u32,
}

/// Processes with long arguments, in the order of their execs. A process that is decided meanwhile stays counted until it is
/// the oldest.
#[derive(Debug, Default)]
pub(super) struct HeldArguments {
    queue: VecDeque<(ProcessId, usize)>,
    bytes: usize,
    pub(super) incomplete: Vec<IncompleteExec>,
}

impl HeldArguments {
    /// Counts `bytes` of arguments for `id`. Returns the oldest processes, which have to give way.
    pub(super) fn add(&mut self, id: ProcessId, bytes: usize) -> Vec<ProcessId> {
        let mut surplus = Vec::new();
        if bytes <= SHORT {
            return surplus;
        }
        self.queue.push_back((id, bytes));
        self.bytes += bytes;
        while self.bytes > MOST {
            let Some((oldest, bytes)) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            surplus.push(oldest);
        }
        surplus
    }

    /// Queues the process for an early look; does nothing if the queue is full.
    pub(super) fn note_incomplete(&mut self, one: IncompleteExec) {
        if self.incomplete.len() < INCOMPLETE {
            self.incomplete.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::sums::Sums;
    use crate::process::{Counters, Event, Facts, Former, Table};

    fn id(tgid: u32) -> ProcessId {
        ProcessId { tgid, start_ns: 1 }
    }

    fn exec(tgid: u32, incomplete: bool) -> Event {
        let facts = Facts {
            uid: Some(tgid),
            incomplete,
            cgroup_id: Some(9),
            ..Facts::default()
        };
        Event::Execed {
            id: id(tgid),
            facts: Box::new(facts),
            parent: 0,
            counters: Counters::default(),
            former: Former::default(),
        }
    }

    #[test]
    fn incomplete_exec_processes_are_named_until_they_run_another_program() {
        let (mut table, mut sums) = (Table::new(0), Sums::default());
        for event in [exec(1, false), exec(2, true), exec(3, true), exec(3, false)] {
            table.apply(event, &mut sums);
        }
        let found = table.take_incomplete_execs();
        assert_eq!(found.iter().map(|one| one.uid).collect::<Vec<_>>(), [2]);
        let one = found[0];
        assert_eq!(table.waiting_exec(one.id, one.account), Some(Some(9)));
        assert!(table.take_incomplete_execs().is_empty());
        table.apply(exec(2, false), &mut sums);
        assert_eq!(table.waiting_exec(one.id, one.account), None);
        (10..1000).for_each(|tgid| table.apply(exec(tgid, true), &mut sums));
        assert_eq!(table.take_incomplete_execs().len(), INCOMPLETE);
    }

    #[test]
    fn oldest_arguments_give_way_and_short_ones_are_free() {
        let mut held = HeldArguments::default();
        for n in 0..100_000 {
            assert!(held.add(id(n), SHORT).is_empty());
        }
        let long = 16 << 10;
        let fit = u32::try_from(MOST / long).unwrap();
        for n in 0..fit {
            assert!(held.add(id(n), long).is_empty());
        }
        assert_eq!(held.add(id(fit), long), [id(0)]);
        assert_eq!(held.add(id(fit + 1), 2 * long), [id(1), id(2)]);
        assert_eq!((held.bytes, held.queue.len()), (MOST, 511));
    }
}

//! Bounds the long arguments that exec records brought for processes without a decision, however many programs start.
//!
//! When the bound is reached, the oldest process gives way. It is decided by the facts of its exec record if they are complete;
//! otherwise it keeps only the beginning of its arguments. Nothing is lost by this: `/proc` would have shown the same facts, or
//! still shows the rest.

use std::collections::VecDeque;

use super::{AccountId, Ledger, ProcessId, Table, membership::Naming};

/// Arguments of at most this many bytes are not counted here: for a table of 10,000 such processes they take 5 MB.
const SHORT: usize = 512;
/// At most this many bytes of longer arguments are held.
const MOST: usize = 8 << 20;
/// At most this many processes wait for an early look; further ones wait for the next pass.
const PARTLY: usize = 64;

/// A process whose exec record could not hold all facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartlyTold {
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
pub(super) struct Told {
    queue: VecDeque<(ProcessId, usize)>,
    bytes: usize,
    partly: Vec<PartlyTold>,
}

impl Told {
    /// Counts `bytes` of arguments for `id`. Returns the oldest processes, which have to give way.
    fn add(&mut self, id: ProcessId, bytes: usize) -> Vec<ProcessId> {
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
}

impl Table {
    /// Queues the process for an early look; does nothing if the queue is full.
    pub(super) fn note_partly_told(&mut self, one: PartlyTold) {
        if self.told.partly.len() < PARTLY {
            self.told.partly.push(one);
        }
    }

    /// Processes since the last call whose exec record could not hold all facts, and that still run the same program.
    pub fn take_partly_told(&mut self) -> Vec<PartlyTold> {
        let found = std::mem::take(&mut self.told.partly);
        let is_there = |one: &PartlyTold| self.still_told(one.id, one.account).is_some();
        found.into_iter().filter(is_there).collect()
    }

    /// The cgroup v2 id from the exec record of `id`. `None` if the process has ended, is decided, or runs another program.
    pub fn still_told(&self, id: ProcessId, account: AccountId) -> Option<Option<u64>> {
        let entry = self.processes.get(id)?;
        let facts = entry.membership.waiting_facts();
        let facts = facts.filter(|_| entry.account() == account);
        facts.map(|facts| facts.cgroup_id)
    }

    /// Counts the argument bytes from the exec record of `id`, and makes the oldest processes give way.
    pub(super) fn hold_arguments(&mut self, id: ProcessId, bytes: usize, ledger: &mut impl Ledger) {
        for oldest in self.told.add(id, bytes) {
            let Some(entry) = self.processes.entry_mut(oldest) else {
                continue;
            };
            let Naming::Waiting(Some(facts)) = &mut entry.membership.naming else {
                continue;
            };
            if facts.incomplete || facts.cgroups.is_empty() {
                facts.argv = facts.argv.shortened(SHORT);
                facts.incomplete = true;
            } else {
                entry.membership.name_by_events(None, ledger);
                self.waiting.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Counters, Event, Facts, Former, sums::Sums};

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
    fn partly_told_processes_are_named_until_they_run_another_program() {
        let (mut table, mut sums) = (Table::new(0), Sums::default());
        for event in [exec(1, false), exec(2, true), exec(3, true), exec(3, false)] {
            table.apply(event, &mut sums);
        }
        let found = table.take_partly_told();
        assert_eq!(found.iter().map(|one| one.uid).collect::<Vec<_>>(), [2]);
        let one = found[0];
        assert_eq!(table.still_told(one.id, one.account), Some(Some(9)));
        assert!(table.take_partly_told().is_empty());
        table.apply(exec(2, false), &mut sums);
        assert_eq!(table.still_told(one.id, one.account), None);
        (10..1000).for_each(|tgid| table.apply(exec(tgid, true), &mut sums));
        assert_eq!(table.take_partly_told().len(), PARTLY);
    }

    #[test]
    fn oldest_arguments_give_way_and_short_ones_are_free() {
        let mut told = Told::default();
        for n in 0..100_000 {
            assert!(told.add(id(n), SHORT).is_empty());
        }
        let long = 16 << 10;
        let fit = u32::try_from(MOST / long).unwrap();
        for n in 0..fit {
            assert!(told.add(id(n), long).is_empty());
        }
        assert_eq!(told.add(id(fit), long), [id(0)]);
        assert_eq!(told.add(id(fit + 1), 2 * long), [id(1), id(2)]);
        assert_eq!((told.bytes, told.queue.len()), (MOST, 511));
    }
}

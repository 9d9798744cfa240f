//! Long arguments that execs told and nobody has decided by yet: bounded, whoever starts how many programs.
//!
//! Where the bound is reached the oldest gives way: it is decided by what its exec told, if that is all there is to know,
//! else it keeps the beginning of its arguments. A look at `/proc` would have told the same, or still tells the rest.

use std::collections::VecDeque;

use super::{AccountId, Ledger, ProcessId, Table, entry::Naming};

/// Arguments of at most this length are not counted here: a table of 10,000 such processes takes 5 MB more.
const SHORT: usize = 512;
/// The most bytes of longer ones.
const MOST: usize = 8 << 20;
/// Processes that wait for an early look; who comes later waits for the next pass.
const PARTLY: usize = 64;

/// A process whose exec could not tell everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartlyTold {
    /// Who.
    pub id: ProcessId,
    /// What is to be decided.
    pub account: AccountId,
    /// Whose.
    pub uid: u32,
}

/// Processes with long arguments, in the order of their execs. Who was decided meanwhile stays counted until its turn.
#[derive(Debug, Default)]
pub(super) struct Told {
    queue: VecDeque<(ProcessId, usize)>,
    bytes: usize,
    partly: Vec<PartlyTold>,
}

impl Told {
    /// Who has to give way now that a process with so many bytes has come.
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
    /// Whether an early look is wanted at the process of this exec.
    pub(super) fn note_partly_told(&mut self, one: PartlyTold) {
        if self.told.partly.len() < PARTLY {
            self.told.partly.push(one);
        }
    }

    /// Processes whose exec could not tell everything, since the last call.
    pub fn take_partly_told(&mut self) -> Vec<PartlyTold> {
        let found = std::mem::take(&mut self.told.partly);
        let is_there = |one: &PartlyTold| self.still_told(one.id, one.account).is_some();
        found.into_iter().filter(is_there).collect()
    }

    /// The cgroup v2 id that the exec of `id` told; `None` where the process has ended, or runs another program.
    pub fn still_told(&self, id: ProcessId, account: AccountId) -> Option<Option<u64>> {
        let entry = self.processes.get(id)?;
        match &entry.naming {
            Naming::Waiting(Some(facts)) if entry.account == account => Some(facts.cgroup_id),
            _ => None,
        }
    }

    /// The exec of `id` told so many bytes of arguments.
    pub(super) fn hold_arguments(&mut self, id: ProcessId, bytes: usize, ledger: &mut impl Ledger) {
        for oldest in self.told.add(id, bytes) {
            let Some(entry) = self.processes.entry_mut(oldest) else {
                continue;
            };
            let Naming::Waiting(Some(facts)) = &mut entry.naming else {
                continue;
            };
            if facts.incomplete || facts.cgroups.is_empty() {
                facts.argv = facts.argv.shortened(SHORT);
                facts.incomplete = true;
            } else {
                entry.name_by_events(None, ledger);
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

//! Long arguments that execs told and nobody has decided by yet: bounded, whoever starts how many programs.
//!
//! Where the bound is reached the oldest gives way: it is decided by what its exec told, if that is all there is to know,
//! else it keeps the beginning of its arguments. A look at `/proc` would have told the same, or still tells the rest.

use std::collections::VecDeque;

use super::{Ledger, ProcessId, Table, entry::Naming};

/// Arguments of at most this length are not counted here: a table of 10,000 such processes takes 5 MB more.
const SHORT: usize = 512;
/// The most bytes of longer ones.
const MOST: usize = 8 << 20;

/// Processes with long arguments, in the order of their execs. Who was decided meanwhile stays counted until its turn.
#[derive(Debug, Default)]
pub(super) struct Told {
    queue: VecDeque<(ProcessId, usize)>,
    bytes: usize,
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

    fn id(tgid: u32) -> ProcessId {
        ProcessId { tgid, start_ns: 1 }
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

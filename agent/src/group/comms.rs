//! Predicts the group of a program by its comm alone, for the kernel programs: they count by group from an exec on, before the
//! agent can look at the process.
//!
//! A comm predicts a group if a process with this comm and no other facts would get the group that the observed process got,
//! and as long as no process with this comm got another one. Bounded: if the table is full, all entries are dropped and learnt
//! again.

use std::collections::HashMap;

use crate::process::{Attribution, Facts};

/// The kernel map has room for as many.
const MOST: usize = 1024;

/// The attribution of each comm seen.
#[derive(Debug, Default)]
pub(super) struct Comms {
    by_comm: HashMap<Vec<u8>, Attribution>,
}

impl Comms {
    /// Whether the comm has no entry.
    pub(super) fn is_new(&self, comm: &[u8]) -> bool {
        !self.by_comm.contains_key(comm)
    }

    /// Notes that a process with this comm got `attribution`. `is_predictive`: the comm alone gives the same result; used only
    /// for a comm without an entry.
    pub(super) fn note(&mut self, comm: &[u8], attribution: Attribution, is_predictive: bool) {
        if let Some(known) = self.by_comm.get_mut(comm) {
            if *known != attribution {
                *known = Attribution::Unknown;
            }
            return;
        }
        if self.by_comm.len() >= MOST {
            self.by_comm.clear();
        }
        let attribution = match is_predictive {
            true => attribution,
            false => Attribution::Unknown,
        };
        self.by_comm.insert(comm.to_vec(), attribution);
    }

    /// Drops the entries of all groups but these.
    pub(super) fn keep(&mut self, is_group: impl Fn(u64) -> bool) {
        self.by_comm.retain(|_, attribution| match attribution {
            Attribution::Group(group) => is_group(*group),
            _ => true,
        });
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Attribution)> {
        let comms = self.by_comm.iter();
        comms.map(|(comm, attribution)| (comm.as_slice(), *attribution))
    }
}

/// Facts of a process of which only the comm is known.
pub(super) fn of_comm(comm: &[u8]) -> Facts {
    Facts {
        comm: comm.to_vec(),
        argv: [comm].into_iter().collect(),
        incomplete: true,
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(comms: &Comms, comm: &[u8]) -> Option<Attribution> {
        comms.iter().find(|(one, _)| *one == comm).map(|(_, is)| is)
    }

    #[test]
    fn comm_predicts_its_group_until_two_processes_disagree() {
        let mut comms = Comms::default();
        comms.note(b"a", Attribution::Group(1), true);
        comms.note(b"a", Attribution::Group(1), false);
        assert_eq!(of(&comms, b"a"), Some(Attribution::Group(1)));
        comms.note(b"a", Attribution::Group(2), true);
        comms.note(b"a", Attribution::Group(1), true);
        assert_eq!(of(&comms, b"a"), Some(Attribution::Unknown));
        comms.note(b"b", Attribution::Group(1), false);
        assert_eq!(of(&comms, b"b"), Some(Attribution::Unknown));
    }

    #[test]
    fn forgotten_comms_are_learnt_again() {
        let mut comms = Comms::default();
        comms.note(b"a", Attribution::Group(1), true);
        comms.note(b"b", Attribution::Parent, true);
        comms.keep(|group| group != 1);
        assert!(comms.is_new(b"a") && !comms.is_new(b"b"));
        for n in 0..MOST {
            comms.note(n.to_string().as_bytes(), Attribution::Group(2), true);
        }
        assert!(comms.is_new(b"b"));
        assert!(comms.iter().count() <= MOST);
    }
}

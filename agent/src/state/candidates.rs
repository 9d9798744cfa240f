//! Publishes on the board of the targets what the state knows of the processes that are wanted there.
//!
//! In: the `/proc` facts of processes as they are classified, and the table after a pass. Out: candidates, at most one pass old.
//! Without a kind of target there is no board, and this costs nothing.
//!
//! Any user can start thousands of processes with any name. So each has a share, root has one of its own, and a program that has
//! the rights of another user than its starter is no candidate: it would count for that other user.

use std::collections::HashMap;
use std::sync::Arc;

use crate::group::Grouper;
use crate::host::Host;
use crate::process::{Facts, Live, ProcessId, Table};
use crate::targets::board::{Board, TargetCandidate};

/// Most processes of one user other than root that are remembered by their task names; further ones are left out, and their
/// targets are not found through them.
const MOST_OF_USER: usize = 64;
/// The same for root.
const MOST_OF_ROOT: usize = 4_096;
/// The same for all users but root together.
const MOST_OF_OTHERS: usize = 4_096;
const ROOT: u32 = 0;

/// What the state knows of processes with wanted task names.
#[derive(Debug, Default)]
pub(super) struct Publication {
    board: Option<Arc<Board>>,
    /// The user and the wanted task name of each such process.
    named: HashMap<ProcessId, (u32, &'static str)>,
}

impl Publication {
    pub(super) fn on(board: Option<Arc<Board>>) -> Self {
        Self {
            board,
            named: HashMap::new(),
        }
    }

    /// Notes the task name of a process whose facts were read.
    pub(super) fn note(&mut self, id: ProcessId, facts: &Facts) {
        let Some(board) = &self.board else { return };
        let mut comms = board.comms().iter();
        let comm = comms.find(|comm| comm.as_bytes() == facts.comm);
        let Some(comm) = comm.filter(|_| !facts.has_borrowed_ids) else {
            self.named.remove(&id);
            return;
        };
        let uid = facts.uid.unwrap_or(u32::MAX);
        if self.has_room(uid) {
            self.named.insert(id, (uid, comm));
        }
    }

    fn has_room(&self, uid: u32) -> bool {
        let (mut own, mut others) = (0, 0);
        for (user, _) in self.named.values() {
            own += usize::from(*user == uid);
            others += usize::from(*user != ROOT);
        }
        match uid {
            ROOT => own < MOST_OF_ROOT,
            _ => own < MOST_OF_USER && others < MOST_OF_OTHERS,
        }
    }

    /// Publishes the candidates as of the pass that the table has just observed.
    pub(super) fn publish(&mut self, host: &Host, table: &Table, grouper: &Grouper) {
        let Some(board) = &self.board else { return };
        let live = |id: ProcessId| table.live_one(id.tgid).filter(|live| live.id() == id);
        self.named.retain(|id, _| live(*id).is_some());
        let started_us = |id: ProcessId| host.boot_time * 1_000_000 + id.start_ns / 1_000;
        let group = |live: &Live<'_>| {
            let group = grouper.group_of(live.account());
            group.map(|group| Arc::from(group.name.as_str()))
        };
        let named = self.named.iter().filter_map(|(id, (uid, comm))| {
            Some(TargetCandidate {
                id: *id,
                started_us: started_us(*id),
                comm: Some(comm),
                uid: Some(*uid),
                group: group(&live(*id)?),
            })
        });
        let pids = board.pids();
        let numbered = pids.iter().filter_map(|pid| {
            let live = table.live_one(*pid)?;
            (!self.named.contains_key(&live.id())).then(|| TargetCandidate {
                id: live.id(),
                started_us: started_us(live.id()),
                comm: None,
                uid: None,
                group: group(&live),
            })
        });
        board.publish(named.chain(numbered).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMM: &str = "PassengerAgent";

    fn id(tgid: u32) -> ProcessId {
        ProcessId {
            tgid,
            start_ns: u64::from(tgid),
        }
    }

    fn facts(uid: u32) -> Facts {
        Facts {
            comm: COMM.into(),
            uid: Some(uid),
            ..Facts::default()
        }
    }

    fn publication() -> Publication {
        Publication::on(Some(Arc::new(Board::new(vec![COMM]))))
    }

    fn count(publication: &Publication, uid: u32) -> usize {
        let users = publication.named.values();
        users.filter(|(user, _)| *user == uid).count()
    }

    #[test]
    fn users_take_neither_the_room_of_root_nor_that_of_others() {
        let mut publication = publication();
        let mut pids = 1..;
        let mut note = |publication: &mut Publication, uid, count| {
            for tgid in pids.by_ref().take(count) {
                publication.note(id(tgid), &facts(uid));
            }
        };
        for uid in 1000..1100 {
            note(&mut publication, uid, MOST_OF_USER + 1);
        }
        assert_eq!(count(&publication, 1000), MOST_OF_USER);
        assert_eq!(publication.named.len(), MOST_OF_OTHERS);
        note(&mut publication, ROOT, MOST_OF_ROOT + 1);
        assert_eq!(count(&publication, ROOT), MOST_OF_ROOT);
    }

    #[test]
    fn program_with_the_rights_of_another_user_is_no_candidate() {
        let mut publication = publication();
        let borrowed = Facts {
            has_borrowed_ids: true,
            ..facts(ROOT)
        };
        publication.note(id(1), &borrowed);
        assert_eq!(publication.named.len(), 0);
        publication.note(id(1), &facts(ROOT));
        assert_eq!(publication.named.len(), 1);
        publication.note(id(1), &borrowed);
        assert_eq!(publication.named.len(), 0);
    }
}

//! Publishes on the board of the targets what the state knows of the processes that are wanted there.
//!
//! In: the `/proc` facts of processes as they are classified, and the table after a pass. Out: candidates, at most one pass old.
//! Without a kind of target there is no board, and this costs nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::group::Grouper;
use crate::host::Host;
use crate::process::{Facts, Live, ProcessId, Table};
use crate::targets::board::{Board, TargetCandidate};

/// Most processes of one user other than root that are remembered by their task names; further ones are left out, and their
/// targets are not found through them.
const MOST_OF_USER: usize = 256;
/// The same for root.
const MOST_OF_ROOT: usize = 4_096;
/// The same for all users together.
const MOST: usize = 16_384;

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
        let Some(comm) = comms.find(|comm| comm.as_bytes() == facts.comm) else {
            self.named.remove(&id);
            return;
        };
        let uid = facts.uid.unwrap_or(u32::MAX);
        let bound = if uid == 0 { MOST_OF_ROOT } else { MOST_OF_USER };
        let of_user = self.named.values().filter(|(user, _)| *user == uid);
        if of_user.count() < bound && self.named.len() < MOST {
            self.named.insert(id, (uid, comm));
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

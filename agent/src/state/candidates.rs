//! Publishes the state's facts about the wanted processes on the board of the targets.
//!
//! In: the `/proc` facts of processes as they are classified, the table after a pass, and the wanted processes. Out: candidates,
//! at most one pass old.
//! Without a kind of target there is no board, and this costs nothing.
//!
//! Any user can start thousands of processes with any name. So each has a share, root has one of its own, and a program that has
//! the rights of another user than its starter is no candidate: it would count for that other user.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::config::ScrapeConfig;
use crate::group::{Group, Grouper};
use crate::host::Host;
use crate::process::{Facts, Live, ProcessId, Table};
use crate::targets::board::{
    ArbiterCandidate, Board, GroupIdentity, ScrapedProcess, ScrapedProcesses, Spans,
    TargetCandidate, WantedBy,
};

/// Most processes of one user other than root that are remembered by their task names; further ones are left out, and their
/// targets are not found through them.
const MOST_OF_USER: usize = 64;
/// The same for root.
const MOST_OF_ROOT: usize = 4_096;
/// The same for all users but root together.
const MOST_OF_OTHERS: usize = 4_096;
/// Most processes that are published by their starts for one user other than root. Those users have instances that are asked, so
/// they are few.
const MOST_STARTED_OF_USER: usize = 256;
/// Most processes that are published to be asked: the oldest ones, so that later ones displace none.
const MOST_SCRAPED: usize = 16_384;
const ROOT: u32 = 0;

/// The processes with wanted task names that the state knows.
#[derive(Debug, Default)]
pub(super) struct Publication {
    board: Option<Arc<Board>>,
    /// The user and the wanted task name of each such process.
    named: HashMap<ProcessId, (u32, &'static str)>,
    /// By item: how its processes are asked, and whether they are those of certain owners. Empty if no item wants that.
    scrapes: Vec<Option<(Arc<ScrapeConfig>, bool)>>,
}

impl Publication {
    pub(super) fn on(board: Option<Arc<Board>>) -> Self {
        Self {
            board,
            named: HashMap::new(),
            scrapes: Vec::new(),
        }
    }

    /// Has the processes of these items published, by [`crate::group::Classifier::scrapes`].
    pub(super) fn scrape(&mut self, scrapes: Vec<Option<(Arc<ScrapeConfig>, bool)>>) {
        self.scrapes = scrapes;
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

    /// Publishes the arbiters of Gunicorn, with the names of their applications.
    pub(super) fn publish_arbiters<'a>(
        &self,
        arbiters: impl Iterator<Item = (ProcessId, &'a Arc<str>)>,
    ) {
        let Some(board) = &self.board else { return };
        let candidate = |(id, app): (ProcessId, &Arc<str>)| ArbiterCandidate {
            id,
            app: Arc::clone(app),
        };
        board.publish_arbiters(arbiters.map(candidate).collect());
    }

    /// Publishes the candidates as of the pass that the table has just observed.
    pub(super) fn publish(&mut self, host: &Host, table: &Table, grouper: &Grouper) {
        let Some(board) = &self.board else { return };
        let live = |id: ProcessId| table.live_one(id.tgid).filter(|live| live.id() == id);
        self.named.retain(|id, _| live(*id).is_some());
        let wanted = board.wanted();
        let mut found: HashMap<ProcessId, WantedBy> = self
            .named
            .iter()
            .map(|(id, (_, comm))| (*id, WantedBy::Comm(comm)))
            .collect();
        let started_us = |id: ProcessId| host.boot_time * 1_000_000 + id.start_ns / 1_000;
        if !wanted.starts.is_empty() {
            let all = table.live().map(|live| live.id());
            for id in started_in(&wanted.starts, all, started_us) {
                found.entry(id).or_insert(WantedBy::Start);
            }
        }
        for live in wanted.pids.iter().filter_map(|pid| table.live_one(*pid)) {
            found.entry(live.id()).or_insert(WantedBy::Pid);
        }
        let candidate = |(id, wanted_by)| {
            Some(TargetCandidate {
                id,
                started_us: started_us(id),
                wanted_by,
                group: group(&live(id)?, grouper),
            })
        };
        board.publish(found.into_iter().filter_map(candidate).collect());
        if !self.scrapes.is_empty() {
            board.publish_scraped(self.scraped(table, grouper));
        }
    }

    /// The processes that items themselves match; a process that only follows its ancestor into a group is not asked.
    fn scraped(&self, table: &Table, grouper: &Grouper) -> ScrapedProcesses {
        let mut groups: HashMap<u64, Arc<GroupIdentity>> = HashMap::new();
        let scraped = table.live().filter_map(|live| {
            let item = grouper.item_of(live.account())?;
            let (scrape, may_receive_credentials) = self.scrapes.get(item)?.as_ref()?;
            let group = grouper.group_of(live.account())?;
            let group = groups.entry(group.id).or_insert_with(|| identity(group));
            Some(ScrapedProcess {
                id: live.id(),
                group: Arc::clone(group),
                scrape: Arc::clone(scrape),
                may_receive_credentials: *may_receive_credentials,
            })
        });
        let mut all: Vec<ScrapedProcess> = scraped.collect();
        all.sort_unstable_by_key(|one| (one.id.start_ns, one.id.tgid));
        let left_out = all.len().saturating_sub(MOST_SCRAPED);
        all.truncate(MOST_SCRAPED);
        ScrapedProcesses {
            all: Arc::new(all),
            left_out,
            at: Some(Instant::now()),
        }
    }
}

fn group(live: &Live<'_>, grouper: &Grouper) -> Option<Arc<GroupIdentity>> {
    grouper.group_of(live.account()).map(identity)
}

fn identity(group: &Group) -> Arc<GroupIdentity> {
    Arc::new(GroupIdentity {
        name: group.name.clone(),
        labels: group.labels.clone(),
    })
}

/// Those of the processes that started in the spans of some user: [`MOST_OF_ROOT`] for root, [`MOST_STARTED_OF_USER`] for each
/// other user.
fn started_in(
    starts: &BTreeMap<u32, Spans>,
    all: impl Iterator<Item = ProcessId>,
    started_us: impl Fn(ProcessId) -> u64,
) -> Vec<ProcessId> {
    let room = starts.iter().map(|(uid, spans)| (bound(*uid), spans));
    let mut room: Vec<(usize, &Spans)> = room.collect();
    let is_wanted = |id: &ProcessId| {
        let time = started_us(*id);
        let mut fitting = room.iter_mut();
        let user = fitting.find(|(left, spans)| *left > 0 && spans.contain(time));
        user.map(|(left, _)| *left -= 1).is_some()
    };
    all.filter(is_wanted).collect()
}

/// Most processes that are published by their starts for one user.
const fn bound(uid: u32) -> usize {
    match uid {
        ROOT => MOST_OF_ROOT,
        _ => MOST_STARTED_OF_USER,
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

    #[test]
    fn user_with_long_spans_takes_no_room_of_another() {
        let spans = |from, to| Spans::covering([from..=to].into_iter());
        let starts = BTreeMap::from([
            (0, spans(900, 900)),
            (7, spans(0, 5_000)),
            (9, spans(500, 500)),
        ]);
        let all = (0..5_000).map(|n| ProcessId {
            tgid: n,
            start_ns: u64::from(n),
        });
        let found = started_in(&starts, all, |id| id.start_ns);
        assert_eq!(found.len(), MOST_STARTED_OF_USER + 2);
        for start in [500, 900] {
            assert!(found.iter().any(|id| id.start_ns == start), "{start}");
        }
    }
}

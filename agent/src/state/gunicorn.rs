//! Gunicorn in a pass: passes the table's facts about its processes to the module that follows them.

use super::Pipeline;
use super::budget::ORDINARY_BYTES;
use crate::gunicorn::{Seen, Sight};
use crate::process::{Pass, RequestReading};

impl Pipeline {
    /// Makes the view of Gunicorn as of this pass, whose processes are classified.
    pub(super) fn follow_gunicorn(&mut self, pass: &Pass, requests: Option<&RequestReading>) {
        let Self {
            host,
            observer,
            table,
            grouper,
            gunicorn,
            publication,
            ..
        } = self;
        let Some(gunicorn) = gunicorn else { return };
        for id in gunicorn.untitled() {
            if let Ok(facts) = observer.facts(id, ORDINARY_BYTES) {
                gunicorn.note(id, &facts);
            }
        }
        // After the last drain: a process that is known to have ended was killed before.
        match observer.take_killed() {
            Ok(killed) => gunicorn.note_kills(&killed),
            Err(error) => log::warn!("cannot read which processes their parents killed: {error}"),
        }
        let account = |id| Some((id, table.account_of(id)?));
        let ended = gunicorn.ended().filter_map(account);
        let counted = ended.filter(|(_, account)| grouper.counts_requests(*account) == Some(true));
        let counted: Vec<_> = counted.map(|(id, _)| id).collect();
        gunicorn.note_counted(&counted);
        let look = |id| {
            if !table.is_known(id) {
                return Sight::Gone;
            }
            table.live_one(id.tgid).map_or(Sight::Unseen, |live| {
                Sight::Live(Seen {
                    id: live.id(),
                    parent: live.parent(),
                    memory_bytes: live.memory().resident_bytes,
                    cpu_ns: live.used().cpu_ns(),
                    is_counted: grouper.counts_requests(live.account()),
                })
            })
        };
        gunicorn.settle(pass.started_ns, host.boot_time, look, requests);
        publication.publish_arbiters(gunicorn.arbiters());
    }
}

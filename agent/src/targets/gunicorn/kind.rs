//! Finds, asks and shows the arbiters of Gunicorn: the order of the steps of a round.

use std::cell::RefCell;
use std::collections::HashSet;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::answer::{ControlAnswer, oldest_heartbeat, stats};
use super::control::{ControlCommand, ask};
use super::families::ControlFamilies;
use super::find::{ArbiterFinder, NoControl};
use crate::exposition::Writer;
use crate::host::boottime_ns;
use crate::process::ProcessId;
use crate::targets::Environment;
use crate::targets::asking::{Places, TimedAnswer};
use crate::targets::board::Board;
use crate::targets::client::of_io;
use crate::targets::discovery::{Bounds, Discovered, Selected, select};
use crate::targets::failure::Failure;
use crate::targets::files::Stillness;
use crate::targets::kind::{AskedAll, TargetKind};
use crate::targets::outcomes::Outcomes;

/// Most arbiters that are asked…
const MOST: usize = 64;
/// …and those of each user other than root.
const MOST_OF_USER: usize = 16;
/// The longest time for looking up users.
const MOST_TIME: Duration = Duration::from_secs(1);
/// How often one arbiter is tried in a round…
const TRIES: usize = 10;
/// …and the time between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The kind `gunicorn_control`.
pub(super) struct GunicornControl {
    finder: Rc<ArbiterFinder>,
    board: Arc<Board>,
    bounds: Bounds,
    round: RefCell<ControlRound>,
}

/// The answers that have arrived in this round, and the state that is kept from round to round.
struct ControlRound {
    families: ControlFamilies,
    outcomes: Outcomes,
    /// The arbiters that had a control socket when they were last asked.
    targets: HashSet<ProcessId>,
    /// The last round has ended, and the state had published no arbiter.
    is_still: bool,
}

/// An arbiter whose user is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FoundArbiter {
    id: ProcessId,
    app: Arc<str>,
    uid: u32,
}

impl Discovered for FoundArbiter {
    fn name(&self) -> &str {
        &self.app
    }

    fn uid(&self) -> u32 {
        self.uid
    }

    fn since_ns(&self) -> u64 {
        self.id.start_ns
    }
}

/// The result of asking one arbiter.
type Control = Result<ControlAnswer, NoControl>;

impl GunicornControl {
    pub(super) fn new(environment: &Environment, most_bytes: usize) -> Self {
        Self {
            finder: Rc::new(ArbiterFinder::new(environment.host.clone())),
            board: Arc::clone(&environment.board),
            bounds: Bounds {
                most: MOST.min(ControlFamilies::fitting(most_bytes)),
                most_of_user: MOST_OF_USER,
            },
            round: RefCell::new(ControlRound {
                families: ControlFamilies::new(boottime_ns()),
                outcomes: Outcomes::default(),
                targets: HashSet::new(),
                is_still: false,
            }),
        }
    }

    async fn ask_all(&self, end: Instant) {
        let arbiters = self.board.arbiters();
        {
            let round = &mut *self.round.borrow_mut();
            round.is_still = false;
            round.outcomes.expect_again();
            round.families.begin(&arbiters);
        }
        let ids: Vec<ProcessId> = arbiters.iter().map(|one| one.id).collect();
        let users = match ids.is_empty() {
            true => Ok(Default::default()),
            false => {
                self.finder
                    .users(ids, end.min(Instant::now() + MOST_TIME))
                    .await
            }
        };
        let (users, owners) = match users {
            Ok(users) => users,
            Err(failure) => return self.round.borrow_mut().outcomes.count(failure, 1),
        };
        let found = arbiters.iter().filter_map(|one| {
            Some(FoundArbiter {
                id: one.id,
                app: Arc::clone(&one.app),
                uid: *users.get(&one.id)?,
            })
        });
        let (selected, left_out) = select(found.collect(), self.bounds, |uid| owners.share_of(uid));
        self.begin(&selected, left_out);
        let mut places = Places::until(end);
        let mut questions = JoinSet::new();
        for Selected { label, target } in selected {
            let user = owners.share_of(target.uid);
            let id = target.id;
            let was_target = self.round.borrow().targets.contains(&id);
            let question = question(target, user, was_target, Rc::clone(&self.finder));
            let question = places.ask(user, async { Ok(question.await) });
            questions.spawn_local(async move { (label, id, question.await) });
        }
        while let Some(answered) = questions.join_next().await {
            if let Ok((label, id, asked)) = answered {
                self.note(&label, id, asked);
            }
        }
        self.round.borrow_mut().is_still = arbiters.is_empty();
    }

    /// Notes the findings. The questions show which arbiters are targets; until then the former targets stay.
    fn begin(&self, selected: &[Selected<FoundArbiter>], left_out: usize) {
        let round = &mut *self.round.borrow_mut();
        let were = &round.targets;
        let expected = selected.iter().filter(|one| were.contains(&one.target.id));
        round.outcomes.begin(expected.map(|one| one.label.as_str()));
        round.outcomes.count(Failure::Limit, left_out as u64);
        round
            .targets
            .retain(|id| selected.iter().any(|one| one.target.id == *id));
    }

    fn note(&self, label: &str, id: ProcessId, asked: TimedAnswer<Control>) {
        let round = &mut *self.round.borrow_mut();
        let answer = asked
            .answer
            .unwrap_or_else(|failure| Err(NoControl::Failed(failure)));
        let is_target = match answer {
            Ok(answer) => {
                round.families.note(id, answer);
                round.outcomes.note(label, true, asked.took);
                true
            }
            Err(NoControl::Failed(failure)) => {
                round.outcomes.note(label, false, asked.took);
                round.outcomes.count(failure, 1);
                true
            }
            Err(why) => {
                round.families.note_not_asked(why);
                round.outcomes.forget(label);
                false
            }
        };
        match is_target {
            true => round.targets.insert(id),
            false => round.targets.remove(&id),
        };
    }
}

impl TargetKind for GunicornControl {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn ask(&self, end: Instant) -> Pin<Box<AskedAll<'_>>> {
        Box::pin(self.ask_all(end))
    }

    fn write(&self, out: &mut Writer) {
        let round = self.round.borrow();
        round.families.write(out);
        round
            .outcomes
            .write(super::NAME, self.finder.held_up(), out);
    }

    fn stillness(&self) -> Option<Vec<Arc<Stillness>>> {
        // No file shows an arbiter that the state does not know.
        self.round.borrow().is_still.then(Vec::new)
    }
}

/// Asks one arbiter, at the charge of `user`. Gunicorn removes its socket before it starts a worker, and makes it anew afterwards, so
/// a socket that is missing (of an arbiter that had one) or closed is tried again.
async fn question(
    arbiter: FoundArbiter,
    user: u32,
    was_target: bool,
    finder: Rc<ArbiterFinder>,
) -> Control {
    for _ in 1..TRIES {
        match attempt(&arbiter, user, &finder).await {
            Err(NoControl::Failed(Failure::Refused)) => {}
            Err(NoControl::NoSocket) if was_target => {}
            said => return said,
        }
        sleep(PAUSE).await;
    }
    attempt(&arbiter, user, &finder).await
}

/// Asks both questions over one connection.
async fn attempt(arbiter: &FoundArbiter, user: u32, finder: &ArbiterFinder) -> Control {
    let FoundArbiter { id, uid, .. } = *arbiter;
    let stream = finder.connect(user, id, uid).await?;
    let mut stream = UnixStream::from_std(stream).map_err(|error| of_io(&error))?;
    let peer = stream.peer_cred().map_err(|error| of_io(&error))?;
    // Another arbiter of the same user may have bound a socket in the same place.
    let is_arbiter = peer.pid().and_then(|pid| u32::try_from(pid).ok()) == Some(id.tgid);
    if !is_arbiter || peer.uid() != uid {
        return Err(NoControl::NotTheTarget);
    }
    let said = ask(&mut stream, ControlCommand::ShowStats).await?;
    let stats = stats(&said)?;
    let said = ask(&mut stream, ControlCommand::ShowWorkers).await?;
    let oldest_heartbeat = oldest_heartbeat(&said)?;
    Ok(ControlAnswer {
        stats,
        oldest_heartbeat,
    })
}

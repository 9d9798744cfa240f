//! Finds, asks and shows the instances of Passenger: the order of the steps of a round.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::families::{Answered, PassengerFamilies, PassengerRound};
use super::find::{InstanceFinder, NotAsked};
use super::instance::{Instance, InstanceIdentity};
use super::pool::AppPool;
use super::server::ServerCounts;
use super::workers::{Neighbourhood, groups_of};
use crate::exposition::Writer;
use crate::process::ProcessId;
use crate::targets::asking::{Places, TimedAnswer};
use crate::targets::board::{Board, GroupIdentity, TargetCandidate, WantedBy};
use crate::targets::client::{Connection, TargetAnswer, basic_authorization};
use crate::targets::discovery::{Bounds, Discovered, Selected, select};
use crate::targets::failure::Failure;
use crate::targets::files::Stillness;
use crate::targets::handle::Applications;
use crate::targets::kind::{AskedAll, TargetKind};
use crate::targets::outcomes::Outcomes;
use crate::targets::{Environment, PassengerSettings};

/// The user name of the read-only password.
const USER: &str = "ro_admin";
/// Instances of each user other than root that are asked.
const MOST_OF_USER: usize = 16;

/// The kind `passenger`.
pub(super) struct Passenger {
    finder: Rc<InstanceFinder>,
    bounds: Bounds,
    most_bytes: usize,
    board: Arc<Board>,
    neighbourhood: RefCell<Neighbourhood>,
    user_name: Rc<dyn Fn(u32) -> String>,
    round: RefCell<RoundSoFar>,
}

/// The answers that have arrived in this round, and the state that is kept from round to round.
struct RoundSoFar {
    families: PassengerFamilies,
    outcomes: Outcomes,
    /// All instances that run.
    running: u64,
    /// Those that are asked, in the order of discovery.
    asked: Vec<AskedInstance>,
    stillness: Option<Arc<Stillness>>,
}

/// An instance that is asked in this round.
struct AskedInstance {
    label: String,
    identity: InstanceIdentity,
    user: String,
    answer: Option<InstanceAnswer>,
}

/// The answers of an instance.
struct InstanceAnswer {
    pool: AppPool,
    /// `None` if the instance does not let the agent see it.
    server: Option<ServerCounts>,
    /// The process id of its core.
    core: Option<u32>,
    /// The group of each worker whose process the agent knows.
    groups: HashMap<u32, Arc<GroupIdentity>>,
}

/// The result of asking one instance. `None`: it may be empty, and the agent may not see more than that.
type Said = Option<(AppPool, Option<ServerCounts>, Option<u32>)>;

impl Passenger {
    pub(super) fn new(
        settings: &PassengerSettings,
        environment: &Environment,
        most_bytes: usize,
    ) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let finder = InstanceFinder::new(
            environment.host.clone(),
            uid,
            |name| std::env::var_os(name),
            &settings.registry_dirs,
        );
        let bounds = Bounds {
            most: settings.max_instances,
            most_of_user: MOST_OF_USER,
        };
        Self {
            finder: Rc::new(finder),
            bounds,
            most_bytes,
            board: Arc::clone(&environment.board),
            neighbourhood: RefCell::new(Neighbourhood::of(&environment.host)),
            user_name: Rc::clone(&environment.user_name),
            round: RefCell::new(RoundSoFar {
                families: PassengerFamilies::new(
                    2 * settings.max_instances,
                    settings.has_processes,
                ),
                outcomes: Outcomes::default(),
                running: 0,
                asked: Vec::new(),
                stillness: None,
            }),
        }
    }

    async fn ask_all(&self, end: Instant) {
        self.forget();
        let candidates = self.board.candidates();
        let is_named = |one: &&TargetCandidate| matches!(one.wanted_by, WantedBy::Comm(_));
        let agents = candidates.iter().filter(is_named).map(|one| one.id);
        let agents: Vec<ProcessId> = agents.collect();
        let started = self.neighbourhood.borrow_mut().unknown(&candidates);
        let pids = self.finder.namespaced_pids(started, end);
        let (found, pids) = tokio::join!(self.finder.find(&agents, end), pids);
        self.neighbourhood.borrow_mut().learn(pids);
        self.round.borrow_mut().stillness = found.stillness;

        let ready = found.instances.into_iter().map(Ok);
        let found_all: Vec<FoundInstance> =
            ready.chain(found.failures.into_iter().map(Err)).collect();
        let running = found_all.len() as u64;
        let (selected, left_out) = select(found_all, self.bounds, |uid| found.owners.share_of(uid));
        let left_out = found.left_out.values().sum::<u64>() + left_out as u64;
        let mut places = Places::until(end);
        let mut questions = JoinSet::new();
        for (index, one) in self.begin(selected, running, left_out) {
            let user = found.owners.share_of(one.identity.uid);
            let question = places.ask(user, question(one, user, Rc::clone(&self.finder)));
            questions.spawn_local(async move { (index, question.await) });
        }
        while let Some(answered) = questions.join_next().await {
            if let Ok((index, asked)) = answered {
                self.note(index, asked, &candidates);
            }
        }
        self.want(&candidates);
    }

    /// Forgets the answers of the round before: none is shown again. Its targets stay, as ones that have not answered.
    fn forget(&self) {
        let mut round = self.round.borrow_mut();
        round.asked.clear();
        round.stillness = None;
        round.outcomes.expect_again();
    }

    /// Notes the findings. Returns the instances to ask, each with its index in [`RoundSoFar::asked`].
    fn begin(
        &self,
        selected: Vec<Selected<FoundInstance>>,
        running: u64,
        left_out: u64,
    ) -> Vec<(usize, Instance)> {
        let mut round = self.round.borrow_mut();
        let RoundSoFar {
            outcomes, asked, ..
        } = &mut *round;
        outcomes.begin(selected.iter().map(|one| one.label.as_str()));
        outcomes.count(Failure::Limit, left_out);
        let mut ready = Vec::with_capacity(selected.len());
        for Selected { label, target } in selected {
            match target {
                Ok(instance) => {
                    let identity = instance.identity.clone();
                    ready.push((asked.len(), instance));
                    asked.push(AskedInstance {
                        label,
                        user: (self.user_name)(identity.uid),
                        identity,
                        answer: None,
                    });
                }
                Err(one) => {
                    outcomes.note(&label, false, Duration::ZERO);
                    outcomes.count(one.failure, 1);
                }
            }
        }
        round.running = running;
        ready
    }

    fn note(&self, index: usize, asked: TimedAnswer<Said>, candidates: &[TargetCandidate]) {
        let mut round = self.round.borrow_mut();
        let RoundSoFar {
            asked: instances,
            outcomes,
            ..
        } = &mut *round;
        let Some(instance) = instances.get_mut(index) else {
            return;
        };
        outcomes.note(&instance.label, asked.answer.is_ok(), asked.took);
        match asked.answer {
            Ok(Some((pool, server, core))) => {
                let neighbourhood = self.neighbourhood.borrow();
                let processes = neighbourhood.processes(&instance.identity, &pool, candidates);
                instance.answer = Some(InstanceAnswer {
                    pool,
                    server,
                    core,
                    groups: groups_of(processes),
                });
            }
            Ok(None) => {}
            Err(failure) => outcomes.count(failure, 1),
        }
    }

    /// Asks the state for the groups of the workers, for the next round.
    fn want(&self, candidates: &[TargetCandidate]) {
        let round = self.round.borrow();
        let pools = round.asked.iter().filter_map(|one| {
            let answer = one.answer.as_ref()?;
            Some((&one.identity, &answer.pool))
        });
        let neighbourhood = self.neighbourhood.borrow();
        self.board.want(neighbourhood.wanted(pools, candidates));
    }
}

impl TargetKind for Passenger {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn ask(&self, end: Instant) -> Pin<Box<AskedAll<'_>>> {
        Box::pin(self.ask_all(end))
    }

    fn write(&self, out: &mut Writer) {
        let mut round = self.round.borrow_mut();
        let RoundSoFar {
            families,
            outcomes,
            running,
            asked,
            ..
        } = &mut *round;
        let answered = asked.iter().filter_map(|one| {
            let answer = one.answer.as_ref()?;
            Some(Answered {
                label: &one.label,
                identity: &one.identity,
                user: &one.user,
                pool: &answer.pool,
                server: answer.server.as_ref(),
                core: answer.core,
                groups: &answer.groups,
            })
        });
        let answered: Vec<Answered<'_>> = answered.collect();
        let silent = asked.iter().filter(|one| one.answer.is_none());
        let silent: Vec<&InstanceIdentity> = silent.map(|one| &one.identity).collect();
        let refused = families.write(
            &PassengerRound {
                answered: &answered,
                silent: &silent,
                running: *running,
                most_bytes: self.most_bytes,
            },
            out,
        );
        outcomes.count(Failure::Limit, refused.len() as u64);
        outcomes.write(super::NAME, self.finder.held_up(), out);
    }

    fn show(&self, page: &mut Applications) {
        self.round.borrow().families.show(page);
    }

    fn stillness(&self) -> Option<Vec<Arc<Stillness>>> {
        let stillness = self.round.borrow().stillness.clone();
        stillness.map(|one| vec![one])
    }
}

/// An instance that runs and may be asked, or the reason why it may not.
type FoundInstance = Result<Instance, NotAsked>;

impl Discovered for FoundInstance {
    fn name(&self) -> &str {
        match self {
            Ok(instance) => &instance.identity.name,
            Err(one) => &one.name,
        }
    }

    fn uid(&self) -> u32 {
        match self {
            Ok(instance) => instance.identity.uid,
            Err(one) => one.uid,
        }
    }

    fn since_ns(&self) -> u64 {
        match self {
            Ok(instance) => instance.identity.since_ns,
            // Its age is not known, so the others keep their names.
            Err(_) => u64::MAX,
        }
    }
}

/// Asks one instance for its pool and its web server part, over one connection. Connecting is charged to `user`.
async fn question(
    instance: Instance,
    user: u32,
    finder: Rc<InstanceFinder>,
) -> Result<Said, Failure> {
    let place = instance.identity.place;
    let connected = async || finder.connect(user, place, &instance.socket).await;
    let mut connection = Connection::open(connected).await?;
    // The files belong to one user, but each user who may write the directory can bind a socket there.
    if connection.peer_uid() != instance.identity.uid {
        return Err(Failure::Denied);
    }
    let core = connection.peer_pid();
    let password = instance.password.as_ref();
    let authorization = password.and_then(|password| basic_authorization(USER, &password.0));
    let authorization = authorization.as_ref();
    let pool = match connection.get("/pool.xml", authorization).await? {
        TargetAnswer::Document(document) => AppPool::parse(&document)?,
        TargetAnswer::EmptyPool => return Ok(None),
    };
    let server = match connection.get("/server.json", authorization).await {
        Ok(TargetAnswer::Document(document)) => Some(ServerCounts::parse(&document)?),
        // A user may see the pool of his own applications without being allowed to see this.
        Ok(TargetAnswer::EmptyPool) | Err(Failure::Denied) => None,
        Err(failure) => return Err(failure),
    };
    Ok(Some((pool, server, core)))
}

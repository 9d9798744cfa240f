//! Finds all running instances, anew at each question: in registry directories, and through processes that the state knows.
//!
//! ```text
//! candidates --user of each--+--> per user, in parallel: processes, then directories --inspect--> instances, failures
//! registries --list----------+
//! ```
//!
//! In come the processes that may belong to an instance; out come the instances that run, each once, and why others cannot be
//! asked. All file IO is done by [`Readers`]: what hangs is that of one user, and holds up nothing else.
//!
//! Anybody can make directories and processes that look like those of Passenger. So each user has a share of what is looked at
//! and of the instances, and the other users cannot touch root's share. What is left out is counted for its user. One bound is
//! common to all: 65,536 names in a registry. A user who reaches it hides no instance whose processes the agent may look at,
//! because the state has a share of the candidates for each user.
//!
//! Registries that hold nothing that may be an instance are listed again only when they have changed. As long as they have not
//! ([`Findings::stillness`]), and there are no candidates, the caller need not find anything.
//!
//! Which instances are asked, and what they are called, is left to discovery.

mod inspect;
mod process;
mod registry;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use inspect::{Agent, Share, inspect};
use process::{namespaced_pid, of_process, user_of};
use registry::{Listing, Registry, registries, watch_mounts};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::instance::Instance;
use super::workers::NamespacedPid;
use crate::host::Host;
use crate::process::ProcessId;
use crate::targets::asking::EACH;
use crate::targets::client::connect;
use crate::targets::failure::Failure;
use crate::targets::files::{FileKey, Place, Rule, Stillness, WatchedLook, Watcher};
use crate::targets::readers::{BlockingJob, Readers};

const ROOT: u32 = 0;
/// Most instances of root…
const MOST_OF_ROOT: usize = 64;
/// …of each other user…
const MOST_OF_EACH: usize = 16;
/// …and of all users but root together, beside the first of each. Each instance holds a descriptor.
const MOST_OF_OTHERS: usize = 192;
/// Processes that are looked at for each instance of a share: Passenger has three that carry the name of its agent.
const PROCESSES: usize = 4;
/// Most candidates whose user is looked up: as many as the state publishes, which bounds them for each user.
const MOST_CANDIDATES: usize = 8192;
/// Most users other than root whose files are looked at. Those with the lowest uids: subordinate uids come last.
const MOST_USERS: usize = 256;
/// The longest time for finding.
const MOST_TIME: Duration = Duration::from_secs(2);
/// Most failures of one user that are named.
const MOST_NAMED: usize = 16;

/// All instances that run, and the rest.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Root's first, then by uid.
    pub(super) instances: Vec<Instance>,
    /// The instances that cannot be asked; at most 16 of each user.
    pub(super) failures: Vec<NotAsked>,
    /// By uid: instances, directories, processes and failures beyond the bounds, [`Failure::Limit`].
    pub(super) left_out: BTreeMap<u32, u64>,
    /// Only if nothing was found. While it lasts, the registries hold nothing that may be an instance.
    pub(super) stillness: Option<Arc<Stillness>>,
}

/// Something that may be a running instance and cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotAsked {
    /// The name of the instance, else of its directory; `registry-N` or `process-PID` if not even that is known.
    pub(super) name: String,
    /// The owner.
    pub(super) uid: u32,
    pub(super) failure: Failure,
}

/// Finds instances.
#[derive(Debug)]
pub(super) struct InstanceFinder {
    host: Arc<Host>,
    registries: Arc<Vec<Registry>>,
    /// The agent's effective uid.
    uid: u32,
    readers: Arc<Readers<Sought>>,
    watcher: Watcher,
    known: Mutex<Option<Arc<KnownRegistries>>>,
    /// Whether the registries held nothing that may be an instance when they were last listed: else they are not watched.
    is_bare: AtomicBool,
}

/// What the registries held when they were last listed.
#[derive(Debug)]
struct KnownRegistries {
    /// Those that hold something that may be an instance, or more than was looked at.
    listings: Vec<Listing>,
    /// While it lasts, they hold nothing else. `None`: that is not known.
    stillness: Option<Arc<Stillness>>,
}

/// The results of listing registries.
#[derive(Debug, Default)]
struct Registries {
    listings: Vec<Listing>,
    looks: Vec<WatchedLook>,
}

/// What a reader waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sought {
    /// The registry with this number.
    Registry(usize),
    /// The users of all processes.
    Users,
    /// The pids of processes in their own pid namespaces.
    NamespacedPids,
    Process(ProcessId),
    /// A directory of this name in that registry.
    Entry(FileKey, String),
    /// The connection to the instance in this directory.
    Socket(FileKey),
}

impl Sought {
    /// What to call an instance of which nothing else is known.
    fn name(&self) -> String {
        match self {
            Self::Registry(number) => format!("registry-{number}"),
            Self::Users | Self::NamespacedPids => "processes".to_owned(),
            Self::Process(id) => format!("process-{}", id.tgid),
            Self::Entry(_, name) => name.clone(),
            Self::Socket(_) => "socket".to_owned(),
        }
    }

    /// It could not be looked at, and its files are root's.
    fn failed(&self, failure: Failure) -> NotAsked {
        NotAsked {
            name: self.name(),
            uid: ROOT,
            failure,
        }
    }
}

/// When finding has to be done, so that time is left until `end` to ask.
fn before(end: Instant) -> Instant {
    let now = Instant::now();
    now + (end.saturating_duration_since(now) / 2).min(MOST_TIME)
}

/// What is to be looked at of one user.
#[derive(Debug, Default)]
struct Work {
    processes: Vec<ProcessId>,
    entries: Vec<(Arc<Place>, String)>,
}

type Inspected = Result<Option<Instance>, NotAsked>;

/// What a first look yields.
enum FirstLook {
    Users(Vec<(ProcessId, u32)>),
    Listings(Result<Vec<Listing>, Failure>, WatchedLook),
}

impl InstanceFinder {
    /// Finds instances of `host` for an agent with this effective uid. `variable` looks up its environment, `flags` are further
    /// registries.
    pub(super) fn new(
        host: Host,
        uid: u32,
        variable: impl Fn(&str) -> Option<OsString>,
        flags: &[PathBuf],
    ) -> Self {
        Self {
            host: Arc::new(host),
            registries: Arc::new(registries(variable, flags)),
            uid,
            readers: Arc::new(Readers::new()),
            watcher: Watcher::new(),
            known: Mutex::default(),
            is_bare: AtomicBool::new(true),
        }
    }

    /// Finds all instances that run now, in registries and through `candidates`. What takes longer than half of the time until
    /// `end` fails: slow files of one user must leave time to ask the instances of others.
    pub(super) async fn find(&self, candidates: &[ProcessId], end: Instant) -> Findings {
        let deadline = before(end);
        let mut findings = Findings::default();
        let mut work = self.overview(candidates, deadline, &mut findings).await;
        while work.len() > MOST_USERS
            && let Some((uid, left_out)) = work.pop_last()
        {
            findings.leave_out(uid, left_out.entries.len() + left_out.processes.len());
        }
        let others = Arc::new(AtomicUsize::new(MOST_OF_OTHERS));
        let mut users = JoinSet::new();
        for (uid, work) in work {
            let share = match uid {
                ROOT => Share::new(MOST_OF_ROOT, Arc::new(AtomicUsize::new(MOST_OF_ROOT))),
                _ => Share::new(MOST_OF_EACH, Arc::clone(&others)),
            };
            let jobs = self.jobs(uid, work, &share);
            let readers = Arc::clone(&self.readers);
            users.spawn(async move { (uid, readers.run_all(uid, deadline, jobs).await) });
        }
        while let Some(user) = users.join_next().await {
            // An error would be that of a task that panicked; it loses one user's.
            if let Ok((uid, results)) = user {
                results
                    .into_iter()
                    .for_each(|(sought, result)| findings.add(uid, &sought, result));
            }
        }
        if !findings.is_empty() || self.held_up() > 0 {
            findings.stillness = None;
        }
        findings.sort();
        findings
    }

    /// Connects to the socket of an instance of `uid`; `None` if the queue of its listener is full.
    ///
    /// # Errors
    /// Those of [`connect`], and those of [`Readers`].
    pub(super) async fn connect(
        &self,
        uid: u32,
        place: FileKey,
        socket: &Arc<OwnedFd>,
    ) -> Result<Option<UnixStream>, Failure> {
        let socket = Arc::clone(socket);
        let job: BlockingJob<_> = Box::new(move || connect(socket.as_fd()));
        let jobs = vec![(Sought::Socket(place), job)];
        let mut results = self.readers.run_all(uid, Instant::now() + EACH, jobs).await;
        results
            .pop()
            .map_or(Err(Failure::Timeout), |(_, result)| result?)
    }

    /// Looks up the pids of processes in their own pid namespaces: `None` of a process that has ended, or that the agent may not
    /// look at. What takes longer than finding may is left out.
    pub(super) async fn namespaced_pids(
        &self,
        ids: Vec<ProcessId>,
        end: Instant,
    ) -> Vec<(ProcessId, Option<NamespacedPid>)> {
        if ids.is_empty() {
            return Vec::new();
        }
        let deadline = before(end);
        let host = Arc::clone(&self.host);
        let pid = move |id| (id, namespaced_pid(&host, id).ok());
        let job: BlockingJob<Vec<_>> = Box::new(move || ids.into_iter().map(pid).collect());
        // The files of /proc are root's.
        let jobs = vec![(Sought::NamespacedPids, job)];
        let results = self.readers.run_all(ROOT, deadline, jobs).await;
        results
            .into_iter()
            .filter_map(|(_, result)| result.ok())
            .flatten()
            .collect()
    }

    /// Number of readers that are held up.
    pub(super) fn held_up(&self) -> usize {
        self.readers.held_up()
    }

    /// Lists all registries and looks up the user of each candidate; these files are root's.
    async fn overview(
        &self,
        candidates: &[ProcessId],
        deadline: Instant,
        findings: &mut Findings,
    ) -> BTreeMap<u32, Work> {
        let mut work: BTreeMap<u32, Work> = BTreeMap::new();
        let known = self.known();
        let mut jobs = self.users(candidates);
        let last = known.is_none().then(|| {
            jobs.extend(self.listings());
            self.watcher.begin()
        });
        let mut registries = Registries::default();
        for (sought, result) in self.readers.run_all(ROOT, deadline, jobs).await {
            match result {
                Ok(FirstLook::Users(users)) => {
                    for (id, uid) in users {
                        work.entry(uid).or_default().processes.push(id);
                    }
                }
                Ok(FirstLook::Listings(listings, look)) => {
                    registries.add(listings, look, &sought, findings)
                }
                Err(failure) => findings.fail(sought.failed(failure)),
            }
        }
        let known = known.unwrap_or_else(|| self.remember(registries, last, findings));
        for listing in &known.listings {
            findings.note(listing, &mut work);
        }
        findings.stillness = known
            .stillness
            .clone()
            .filter(|_| known.listings.is_empty());
        findings.leave_out(ROOT, candidates.len().saturating_sub(MOST_CANDIDATES));
        for (uid, work) in &mut work {
            let most = PROCESSES
                * if *uid == ROOT {
                    MOST_OF_ROOT
                } else {
                    MOST_OF_EACH
                };
            findings.leave_out(*uid, work.processes.len().saturating_sub(most));
            work.processes.truncate(most);
        }
        work
    }

    /// The job that looks up the user of each candidate.
    fn users(&self, candidates: &[ProcessId]) -> Vec<(Sought, BlockingJob<FirstLook>)> {
        if candidates.is_empty() {
            return Vec::new();
        }
        let host = Arc::clone(&self.host);
        let ids: Vec<_> = candidates.iter().take(MOST_CANDIDATES).copied().collect();
        let user = move |id: ProcessId| Some((id, user_of(&host, id).ok()?));
        let users = move || FirstLook::Users(ids.into_iter().filter_map(user).collect());
        vec![(Sought::Users, Box::new(users))]
    }

    /// The jobs that list the registries. They are done one after another; the first one also watches mounts.
    fn listings(&self) -> impl Iterator<Item = (Sought, BlockingJob<FirstLook>)> {
        (0..self.registries.len()).map(|number| {
            let (host, registries) = (Arc::clone(&self.host), Arc::clone(&self.registries));
            let mut look = self.watcher.part();
            if !self.is_bare.load(Relaxed) {
                look.give_up();
            }
            let list = move || {
                if number == 0 {
                    watch_mounts(&host, &mut look);
                }
                let registry = registries.get(number).ok_or(Failure::Gone);
                let listings = registry.and_then(|registry| registry.list(&host, &mut look));
                FirstLook::Listings(listings, look)
            };
            let list: BlockingJob<FirstLook> = Box::new(list);
            (Sought::Registry(number), list)
        })
    }

    /// What the registries hold, if that is known to be as it was when they were last listed. Forgets it otherwise.
    fn known(&self) -> Option<Arc<KnownRegistries>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |known: &KnownRegistries| {
            known
                .stillness
                .as_ref()
                .is_some_and(|stillness| stillness.lasts())
        };
        known.take_if(|known| !lasts(known));
        known.clone()
    }

    /// Notes what the registries hold. If that is nothing, it is known until they change, if all could be listed and are watched.
    fn remember(
        &self,
        registries: Registries,
        last: Option<HashSet<i32>>,
        findings: &Findings,
    ) -> Arc<KnownRegistries> {
        self.watcher.end(&last.unwrap_or_default());
        let Registries { listings, looks } = registries;
        self.is_bare.store(listings.is_empty(), Relaxed);
        let is_kept = listings.is_empty()
            && findings.failures.is_empty()
            && looks.len() == self.registries.len();
        let stillness = is_kept.then(|| self.watcher.stillness(looks)).flatten();
        let known = Arc::new(KnownRegistries {
            listings,
            stillness: stillness.map(Arc::new),
        });
        let kept = Some(Arc::clone(&known)).filter(|known| known.stillness.is_some());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        known
    }

    /// What is to be done for one user. Processes come first, because they tell the namespace of their instance.
    fn jobs(&self, uid: u32, work: Work, share: &Share) -> Vec<(Sought, BlockingJob<Inspected>)> {
        let mut jobs: Vec<(Sought, BlockingJob<Inspected>)> = Vec::new();
        for id in work.processes {
            let (host, share, agent) = (Arc::clone(&self.host), share.clone(), self.uid);
            let job = move || {
                // A process that cannot be looked into may be anything; its instance may still be found in a registry.
                let Ok(Some(sighting)) = of_process(&host, id, uid) else {
                    return Ok(None);
                };
                let agent = Agent {
                    uid: agent,
                    is_known: sighting.shares_users,
                };
                let found = (&sighting.place, sighting.name.as_str());
                inspect(found, agent, Some(sighting.pid_namespace), &share)
            };
            jobs.push((Sought::Process(id), Box::new(job)));
        }
        for (registry, name) in work.entries {
            let agent = Agent {
                uid: self.uid,
                is_known: true,
            };
            let sought = Sought::Entry(registry.key, name.clone());
            let share = share.clone();
            let job = move || match registry.directory(Path::new(&name), Rule::Inside) {
                Ok(place) if place.uid == uid => inspect((&place, &name), agent, None, &share),
                // It was exchanged since the registry was listed.
                _ => Ok(None),
            };
            jobs.push((sought, Box::new(job)));
        }
        jobs
    }
}

impl Registries {
    fn add(
        &mut self,
        listings: Result<Vec<Listing>, Failure>,
        look: WatchedLook,
        sought: &Sought,
        findings: &mut Findings,
    ) {
        self.looks.push(look);
        match listings {
            Ok(listings) => self
                .listings
                .extend(listings.into_iter().filter(|one| !one.is_empty())),
            Err(Failure::Gone) => {}
            Err(failure) => findings.fail(sought.failed(failure)),
        }
    }
}

impl Findings {
    fn add(&mut self, uid: u32, sought: &Sought, result: Result<Inspected, Failure>) {
        match result {
            Ok(Ok(instance)) => self.instances.extend(instance),
            Ok(Err(not_asked)) => self.fail(not_asked),
            Err(failure) => self.fail(NotAsked {
                name: sought.name(),
                uid,
                failure,
            }),
        }
    }

    fn fail(&mut self, not_asked: NotAsked) {
        let named = self
            .failures
            .iter()
            .filter(|one| one.uid == not_asked.uid)
            .count();
        if not_asked.failure == Failure::Limit || named >= MOST_NAMED {
            self.leave_out(not_asked.uid, 1);
        } else {
            self.failures.push(not_asked);
        }
    }

    /// Adds the entries of a registry to the work on files of their owners. Counts what was left out; whose entries were not
    /// looked at is unknown: those count for the owner of the registry.
    fn note(&mut self, listing: &Listing, work: &mut BTreeMap<u32, Work>) {
        self.leave_out(listing.place.uid, usize::from(!listing.is_whole));
        for (uid, count) in &listing.left_out {
            self.leave_out(*uid, *count);
        }
        for (uid, names) in &listing.names {
            let entries = names.iter();
            let entries = entries.map(|name| (Arc::clone(&listing.place), name.clone()));
            work.entry(*uid).or_default().entries.extend(entries);
        }
    }

    fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.failures.is_empty() && self.left_out.is_empty()
    }

    fn leave_out(&mut self, uid: u32, count: usize) {
        if count > 0 {
            *self.left_out.entry(uid).or_default() += count as u64;
        }
    }

    fn sort(&mut self) {
        self.instances.sort_by(|one, other| {
            let key = |instance: &Instance| (instance.identity.uid, instance.identity.since_ns);
            let by_name = || one.identity.name.cmp(&other.identity.name);
            key(one).cmp(&key(other)).then_with(by_name)
        });
        self.failures
            .sort_by(|one, other| (one.uid, &one.name).cmp(&(other.uid, &other.name)));
    }
}

#[cfg(test)]
mod tests;

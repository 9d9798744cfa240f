//! Finds all running instances, anew at each question: in registry directories, and through processes that the state knows.
//!
//! ```text
//! candidates --user of each--+--> per user, in parallel: processes, then directories --inspect--> instances, failures
//! registries --list----------+
//! ```
//!
//! In come the processes that may belong to an instance; out come the instances that run, each once, and why others cannot be
//! asked. All file IO is done by [`Readers`]: a file that hangs delays only files of the same user.
//!
//! Every user can make directories and processes that look like those of Passenger. So each user has a share of the files and
//! of the instances, and the other users cannot touch root's share. Omissions are counted for their user. One bound is
//! common to all: 65,536 names in a registry. A user who reaches it hides no instance whose processes the agent may look at,
//! because the state has a share of the candidates for each user.
//!
//! Subordinate uids use the share of the user who owns them ([`SubordinateUids`]); instances keep their own uid.
//!
//! Registries that hold nothing that may be an instance are listed again only when they have changed. As long as they have not
//! ([`Findings::stillness`]), and there are no candidates, the caller need not find anything.
//!
//! Left to discovery: which instances to ask, and their labels.

mod findings;
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

pub(super) use findings::{Findings, NotAsked};
use findings::{Inspected, Work};
use inspect::{Agent, Share, inspect};
use process::{namespaced_pid, of_process};
use registry::{Listing, Registry, registries, watch_mounts};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::workers::NamespacedPid;
use crate::blocking::SubordinateUids;
use crate::host::Host;
use crate::process::ProcessId;
use crate::targets::asking::EACH;
use crate::targets::client::connect;
use crate::targets::failure::Failure;
use crate::targets::files::{FileKey, Rule, Stillness, WatchedLook, Watcher};
use crate::targets::processes::user_of;
use crate::targets::readers::{BlockingJob, Readers};

const ROOT: u32 = 0;
/// Most instances of root…
const MOST_OF_ROOT: usize = 64;
/// …of each other user…
const MOST_OF_EACH: usize = 16;
/// …and of all users but root together, beside the first of each. Each instance holds a descriptor.
const MOST_OF_OTHERS: usize = 192;
/// Most candidates whose user is looked up: as many as the state publishes, which bounds them for each user.
const MOST_CANDIDATES: usize = 8192;
/// The longest time for finding.
const MOST_TIME: Duration = Duration::from_secs(2);

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

/// The names in the registries when they were last listed.
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

/// The job of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sought {
    /// The registry with this number.
    Registry(usize),
    /// The users of all processes.
    Users,
    /// The ranges of subordinate uids.
    Owners,
    /// The pids of processes in their own pid namespaces.
    NamespacedPids,
    Process(ProcessId),
    /// A directory of this name in that registry.
    Entry(FileKey, String),
    /// The connection to the instance in this directory.
    Socket(FileKey),
}

impl Sought {
    /// The name of an instance of which nothing else is known.
    fn name(&self) -> String {
        match self {
            Self::Registry(number) => format!("registry-{number}"),
            Self::Users | Self::Owners | Self::NamespacedPids => "processes".to_owned(),
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

/// The result of a first look.
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
        let work = self.overview(candidates, deadline, &mut findings).await;
        findings.owners = self.owners(&work, deadline).await;
        let work = findings.shared(work);
        let others = Arc::new(AtomicUsize::new(MOST_OF_OTHERS));
        let mut users = JoinSet::new();
        for (user, work) in work {
            let share = match user {
                ROOT => Share::new(MOST_OF_ROOT, Arc::new(AtomicUsize::new(MOST_OF_ROOT))),
                _ => Share::new(MOST_OF_EACH, Arc::clone(&others)),
            };
            let jobs = work.into_iter();
            let jobs = jobs.flat_map(|(uid, work)| self.jobs(uid, work, &share));
            let jobs = jobs.collect();
            let readers = Arc::clone(&self.readers);
            users.spawn(async move { (user, readers.run_all(user, deadline, jobs).await) });
        }
        while let Some(user) = users.join_next().await {
            // An error would be that of a task that panicked; it loses one user's.
            if let Ok((user, results)) = user {
                results
                    .into_iter()
                    .for_each(|(sought, result)| findings.add(user, &sought, result));
            }
        }
        if !findings.is_empty() || self.held_up() > 0 {
            findings.stillness = None;
        }
        findings.sort();
        findings
    }

    /// Connects to the socket of an instance, at the charge of `user`; `None` if the queue of its listener is full.
    ///
    /// # Errors
    /// Those of [`connect`], and those of [`Readers`].
    pub(super) async fn connect(
        &self,
        user: u32,
        place: FileKey,
        socket: &Arc<OwnedFd>,
    ) -> Result<Option<UnixStream>, Failure> {
        let socket = Arc::clone(socket);
        let job: BlockingJob<_> = Box::new(move || connect(socket.as_fd()));
        let jobs = vec![(Sought::Socket(place), job)];
        let mut results = self
            .readers
            .run_all(user, Instant::now() + EACH, jobs)
            .await;
        results
            .pop()
            .map_or(Err(Failure::Timeout), |(_, result)| result?)
    }

    /// Looks up the pids of processes in their own pid namespaces: `None` of a process that has ended, or that the agent may not
    /// look at. Processes for which the time is not enough are left out.
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
                Err(failure) => findings.fail(ROOT, sought.failed(failure)),
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
        work
    }

    /// Reads the owners of subordinate uids, if there is work for another uid than root's. If that fails, there are none.
    async fn owners(&self, work: &BTreeMap<u32, Work>, deadline: Instant) -> SubordinateUids {
        if work.keys().all(|uid| *uid == ROOT) {
            return SubordinateUids::default();
        }
        let (subuid, passwd) = (self.host.subuid(), self.host.passwd());
        let read: BlockingJob<_> = Box::new(move || SubordinateUids::read(&subuid, &passwd));
        let jobs = vec![(Sought::Owners, read)];
        let mut results = self.readers.run_all(ROOT, deadline, jobs).await;
        let owners = results.pop().and_then(|(_, result)| result.ok());
        owners.unwrap_or_default()
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

    /// The names in the registries, if they are known to be as they were when last listed. Forgets them otherwise.
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

    /// Notes the content of the registries. If they have no instance, and all could be listed and are watched, this holds until
    /// they change.
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

    /// The jobs for one user. Processes come first, because they show the namespace of their instance.
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
            Err(failure) => findings.fail(ROOT, sought.failed(failure)),
        }
    }
}

#[cfg(test)]
mod tests;

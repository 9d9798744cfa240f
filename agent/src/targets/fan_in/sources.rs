//! The sources of instances: the last good content of each, and one table of all of them.
//!
//! ```text
//! question --look at most once a second--> readers: files of each source --new content--> last good content --> table
//!                                      +-> routers, and the entries of the bus -----+
//! ```
//!
//! The agent listens to a bus all the time. It reads files and asks routers only for a question: one that comes 1 s or more after
//! the last look begins a new look, which waits at most 1 s for routers and asks each of them at most every 15 s, or more often if
//! its entries live less than 30 s. If a source fails, its last good content stays in use until it expires. A failing source
//! delays the others at most for as long as a reader waits for a file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::counts::{self, SourceCounts, count};
use super::file_source::{FileFault, FileLook, FileSource, FileStamp, SourceKind, SourceLook};
use super::found::{FoundInstances, MOST_INSTANCES};
use super::gorouter::Gorouter;
use super::nats::NatsBus;
use super::table::InstanceTable;
use crate::config::FanInConfig;
use crate::exposition::Writer;
use crate::targets::asking::EACH;
use crate::targets::client::HostNames;
use crate::targets::failure::Failure;
use crate::targets::readers::{BlockingJob, Readers};

/// A look serves questions for this long.
const FRESH: Duration = Duration::from_secs(1);
/// Least time between two questions to a router: half of the shortest `ttl` of its last answer, within these bounds.
const POLL: Duration = Duration::from_secs(15);
const LEAST_POLL: Duration = FRESH;
/// The same after a failure. A router that hangs delays a question by 1 s each time.
const RETRY: Duration = Duration::from_secs(5);
/// The administrator owns the files, so their readers are charged to root.
const ROOT: u32 = 0;

/// All sources of the configuration. It lives on the targets thread.
#[derive(Debug)]
pub(crate) struct Sources {
    readers: Readers<usize>,
    /// When the last look ended.
    last: Arc<tokio::sync::Mutex<Option<Instant>>>,
    known: RefCell<KnownSources>,
}

#[derive(Debug, Default)]
struct KnownSources {
    sources: Vec<KnownSource>,
    table: Arc<InstanceTable>,
}

/// The last state of a source.
#[derive(Debug)]
struct KnownSource {
    origin: SourceOrigin,
    /// When it was last asked, if it is a router.
    asked: Option<Instant>,
    /// Sorted by path, so that the order of instances does not depend on the order of names in the directory.
    files: BTreeMap<PathBuf, KnownFile>,
    /// Why the last look did not find all files.
    fault: Option<FileFault>,
    /// When the source was last without any fault.
    good_at: Option<Instant>,
    failures: [u64; Failure::OF_SOURCES.len()],
}

#[derive(Debug)]
enum SourceOrigin {
    Files(Arc<FileSource>),
    Router(Rc<Gorouter>),
    Bus(Rc<NatsBus>),
}

#[derive(Debug, Default)]
struct KnownFile {
    /// The stamp of the content that was read last, good or not.
    stamp: Option<FileStamp>,
    /// The last good content.
    found: FoundInstances,
    fault: Option<FileFault>,
}

impl Sources {
    pub(crate) fn new(config: &FanInConfig, names: &Rc<HostNames>) -> Self {
        let files = FileSource::all(config).map(|source| SourceOrigin::Files(Arc::new(source)));
        let routers = config.gorouters.iter().map(|router| {
            let router = Gorouter::new(router, config.ca_file.as_deref(), Rc::clone(names));
            SourceOrigin::Router(Rc::new(router))
        });
        let bus = config.nats.as_ref().map(|nats| {
            let bus = NatsBus::new(nats, config.ca_file.clone(), Rc::clone(names));
            SourceOrigin::Bus(Rc::new(bus))
        });
        let origins = files.chain(routers).chain(bus);
        let sources = origins.map(|origin| KnownSource {
            origin,
            asked: None,
            files: BTreeMap::new(),
            fault: None,
            good_at: None,
            failures: [0; Failure::OF_SOURCES.len()],
        });
        Self {
            readers: Readers::new(),
            last: Arc::default(),
            known: RefCell::new(KnownSources {
                sources: sources.collect(),
                table: Arc::default(),
            }),
        }
    }

    /// Starts the task that listens to the bus, if there is one. To be run in a `LocalSet`.
    pub(super) fn listen(&self) {
        if let Some(bus) = self.known.borrow().bus() {
            tokio::task::spawn_local(Rc::clone(bus).listen());
        }
    }

    /// Looks at all sources, unless the last look ended less than a second ago. Returns at `end` at the latest; the last good
    /// content then stays in use.
    pub(crate) async fn refresh(self: &Rc<Self>, end: Instant) {
        let Ok(mut last) = timeout_at(end, Arc::clone(&self.last).lock_owned()).await else {
            return;
        };
        if last.is_some_and(|last| last.elapsed() < FRESH) {
            return;
        }
        let this = Rc::clone(self);
        // A task of its own: a look whose question is dropped would leave readers that are busy for the next one.
        let look = tokio::task::spawn_local(async move {
            this.look(end).await;
            *last = Some(Instant::now());
        });
        // It does not panic, and is not aborted.
        let _ = look.await;
    }

    async fn look(&self, end: Instant) {
        let (jobs, routers) = {
            let mut known = self.known.borrow_mut();
            (known.jobs(), known.due(Instant::now()))
        };
        let looking = self.readers.run_all(ROOT, end, jobs);
        // A router that does not answer leaves most of the question's time to the instances.
        let left = end.saturating_duration_since(Instant::now());
        let asking = ask_all(routers, Instant::now() + EACH.min(left / 4));
        let (mut looks, answers) = tokio::join!(looking, asking);
        looks.extend(answers);
        let mut known = self.known.borrow_mut();
        looks.extend(known.bus_look());
        known.note(looks);
    }

    /// The table as of the last look.
    pub(crate) fn table(&self) -> Arc<InstanceTable> {
        Arc::clone(&self.known.borrow().table)
    }

    /// The time since all sources were without fault; `None` if one never was.
    pub(crate) fn age(&self) -> Option<Duration> {
        let known = self.known.borrow();
        let ages = known
            .sources
            .iter()
            .map(|one| one.good_at.map(|at| at.elapsed()));
        ages.max_by_key(|age| age.unwrap_or(Duration::MAX))
            .flatten()
    }

    /// Failures of all sources so far.
    pub(crate) fn failures(&self) -> u64 {
        let known = self.known.borrow();
        let of_sources: u64 = known.sources.iter().flat_map(KnownSource::failures).sum();
        of_sources + known.bus().map_or(0, |bus| bus.malformed())
    }

    /// Writes the families of all sources; `processes`: the counts of the node's own processes as a source.
    pub(super) fn write(&self, processes: Option<SourceCounts>, out: &mut Writer) {
        let known = self.known.borrow();
        let now = Instant::now();
        let kinds = SourceKind::ALL.into_iter().filter_map(|kind| {
            let of_kind = known.sources.iter().filter(|one| one.kind() == kind);
            SourceCounts::of(of_kind, now).map(|counts| (kind.word(), counts))
        });
        let processes = processes.map(|counts| ("processes", counts));
        let kinds: Vec<(&str, SourceCounts)> = kinds.chain(processes).collect();
        counts::write(&kinds, out);
        if let Some(bus) = known.bus() {
            bus.write(out);
        }
    }
}

/// The number of a source, and the outcome of looking at it.
pub(super) type SourceAnswer = (usize, Result<SourceLook, Failure>);

/// Asks routers at the same time.
pub(super) async fn ask_all(
    routers: Vec<(usize, Rc<Gorouter>)>,
    end: Instant,
) -> Vec<SourceAnswer> {
    let mut questions = JoinSet::new();
    for (index, router) in routers {
        questions.spawn_local(async move {
            let files = vec![(PathBuf::from(&router.url), router.ask(end).await)];
            (index, Ok(SourceLook { files, fault: None }))
        });
    }
    let mut answers = Vec::new();
    while let Some(answered) = questions.join_next().await {
        answers.extend(answered.ok());
    }
    answers
}

impl SourceCounts {
    /// The numbers of all `sources` of one kind; `None` if there is none.
    fn of<'a>(sources: impl Iterator<Item = &'a KnownSource>, now: Instant) -> Option<Self> {
        sources.fold(None, |counts, source| {
            let age = source.good_at.map(|at| now.duration_since(at));
            let is_first = counts.is_none();
            let mut counts = counts.unwrap_or_else(Self::default);
            counts.age = match is_first {
                true => age,
                false => counts.age.zip(age).map(|(one, other)| one.max(other)),
            };
            for file in source.files.values() {
                let instances = &file.found.instances;
                let live = instances
                    .iter()
                    .filter(|one| one.instance.is_live(now.into_std()));
                let live = live.count() as u64;
                counts.live += live;
                counts.expired += instances.len() as u64 - live;
                counts.omitted += file.found.omitted;
                counts.unusable += file.found.unusable;
            }
            let all = counts.failures.iter_mut().zip(source.failures());
            all.for_each(|(sum, count)| *sum += count);
            Some(counts)
        })
    }
}

impl KnownSources {
    fn jobs(&self) -> Vec<(usize, BlockingJob<SourceLook>)> {
        let sources = self.sources.iter().enumerate();
        let jobs = sources.filter_map(|(index, source)| Some((index, source.job()?)));
        jobs.collect()
    }

    /// The routers that are due to be asked again; they count as asked from `now` on.
    fn due(&mut self, now: Instant) -> Vec<(usize, Rc<Gorouter>)> {
        let sources = self.sources.iter_mut().enumerate();
        let due = sources.filter_map(|(index, source)| {
            let pause = source.pause();
            match &source.origin {
                SourceOrigin::Router(router)
                    if source
                        .asked
                        .is_none_or(|at| now.duration_since(at) >= pause) =>
                {
                    source.asked = Some(now);
                    Some((index, Rc::clone(router)))
                }
                _ => None,
            }
        });
        due.collect()
    }

    fn bus(&self) -> Option<&Rc<NatsBus>> {
        self.sources.iter().find_map(|source| match &source.origin {
            SourceOrigin::Bus(bus) => Some(bus),
            _ => None,
        })
    }

    /// The live entries of the bus, if there is one.
    fn bus_look(&self) -> Option<SourceAnswer> {
        let mut sources = self.sources.iter().enumerate();
        sources.find_map(|(index, source)| match &source.origin {
            SourceOrigin::Bus(bus) => {
                let stamp = source.files.values().find_map(|file| file.stamp);
                Some((index, Ok(bus.look(stamp))))
            }
            _ => None,
        })
    }

    fn note(&mut self, looks: Vec<SourceAnswer>) {
        let mut has_changed = false;
        for (index, look) in looks {
            if let Some(source) = self.sources.get_mut(index) {
                has_changed |= source.note(look);
            }
        }
        if has_changed {
            self.bound();
            let files = self.sources.iter().flat_map(|source| source.files.values());
            let instances = files.flat_map(|file| file.found.instances.iter().cloned());
            self.table = Arc::new(InstanceTable::of(instances));
        }
    }
}

impl KnownSources {
    /// Cuts the instances of all sources to [`MOST_INSTANCES`], the last ones first. A file that was cut is read again when there
    /// is room.
    fn bound(&mut self) {
        let sources = self.sources.iter_mut();
        let mut files: Vec<&mut KnownFile> =
            sources.flat_map(|one| one.files.values_mut()).collect();
        let room = files
            .iter_mut()
            .fold(MOST_INSTANCES, |room, file| file.found.cut(room));
        if room > 0 {
            let cut = files.into_iter().filter(|file| file.found.is_cut);
            cut.for_each(|file| file.stamp = None);
        }
    }
}

impl KnownSource {
    fn kind(&self) -> SourceKind {
        match &self.origin {
            SourceOrigin::Files(source) => source.kind,
            SourceOrigin::Router(_) => SourceKind::Gorouters,
            SourceOrigin::Bus(_) => SourceKind::Nats,
        }
    }

    /// The job that reads its files; `None` if the source is no file.
    fn job(&self) -> Option<BlockingJob<SourceLook>> {
        let SourceOrigin::Files(source) = &self.origin else {
            return None;
        };
        let source = Arc::clone(source);
        let stamps = self.files.iter();
        let stamps = stamps.filter_map(|(path, file)| Some((path.clone(), file.stamp?)));
        let stamps: BTreeMap<PathBuf, FileStamp> = stamps.collect();
        Some(Box::new(move || source.look(&stamps)))
    }

    /// The least time between its last question and the next one, if it is a router. None of its entries expires meanwhile, unless
    /// the router fails or an entry lives less than [`LEAST_POLL`].
    fn pause(&self) -> Duration {
        if self.files.values().any(|file| file.fault.is_some()) {
            return RETRY;
        }
        let files = self.files.values();
        let instances = files.flat_map(|file| &file.found.instances);
        let first = instances.filter_map(|one| one.instance.expires).min();
        let first = first.zip(self.asked);
        let shortest = first.map(|(end, asked)| end.saturating_duration_since(asked.into_std()));
        shortest.map_or(POLL, |ttl| (ttl / 2).clamp(LEAST_POLL, POLL))
    }

    /// Takes the result of a look. Returns whether the instances have changed.
    fn note(&mut self, look: Result<SourceLook, Failure>) -> bool {
        let look = match look {
            Ok(look) => look,
            Err(failure) => {
                let name = match &self.origin {
                    SourceOrigin::Files(source) => source.path.display().to_string(),
                    SourceOrigin::Router(router) => router.url.clone(),
                    SourceOrigin::Bus(_) => SourceKind::Nats.word().to_owned(),
                };
                let cause = format!("{name}: looking at it failed: {failure}");
                self.fail(FileFault { failure, cause });
                return false;
            }
        };
        let mut has_changed = false;
        let mut former = std::mem::take(&mut self.files);
        for (path, look) in look.files {
            let mut file = former.remove(&path).unwrap_or_default();
            has_changed |= file.note(&path, look);
            if let Some(fault) = &file.fault {
                count(&mut self.failures, fault.failure);
            }
            self.files.insert(path, file);
        }
        match look.fault {
            // The look may have missed files, so those known before stay.
            Some(fault) => {
                self.files.extend(former);
                self.fail(fault);
            }
            None => {
                has_changed |= !former.is_empty();
                self.fault = None;
            }
        }
        let is_reached = match &self.origin {
            SourceOrigin::Bus(bus) => bus.is_connected(),
            _ => self.fault.is_none(),
        };
        if is_reached && self.files.values().all(|file| file.fault.is_none()) {
            self.good_at = Some(Instant::now());
        }
        has_changed
    }

    /// Failures so far.
    fn failures(&self) -> [u64; Failure::OF_SOURCES.len()] {
        match &self.origin {
            SourceOrigin::Bus(bus) => bus.failures(),
            _ => self.failures,
        }
    }

    fn fail(&mut self, fault: FileFault) {
        count(&mut self.failures, fault.failure);
        report(&mut self.fault, fault);
    }
}

impl KnownFile {
    /// Returns whether its instances have changed.
    fn note(&mut self, path: &std::path::Path, look: FileLook) -> bool {
        match look {
            FileLook::Unchanged => false,
            FileLook::Failed(fault) => {
                // The next file that can be opened at this path is read, changed or not.
                self.stamp = None;
                report(&mut self.fault, fault);
                false
            }
            FileLook::Read(stamp, found) => {
                self.stamp = Some(stamp);
                match found {
                    Err(fault) => {
                        report(&mut self.fault, fault);
                        false
                    }
                    Ok(found) => {
                        self.take(path, found);
                        true
                    }
                }
            }
        }
    }

    fn take(&mut self, path: &std::path::Path, found: FoundInstances) {
        let path = path.display();
        if self.fault.take().is_some() {
            log::info!("fan_in: {path}: can be used again");
        }
        if let Some(example) = &found.example
            && self.found.example.as_ref() != Some(example)
        {
            let unusable = found.unusable;
            log::warn!(
                "fan_in: {path}: entries that cannot be asked: {unusable}, the first: {example}"
            );
        }
        self.found = found;
    }
}

/// Stores a fault, and logs it if it differs from the last one.
fn report(last: &mut Option<FileFault>, fault: FileFault) {
    if last.as_ref() != Some(&fault) {
        log::warn!(
            "fan_in: {}; what it has shown before is used until it expires",
            fault.cause
        );
    }
    *last = Some(fault);
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;

//! The sources of instances: what each has shown last, and the table of it all.
//!
//! ```text
//! question --look at most once a second--> readers: files of each source --what has changed--> last good content --> table
//!                                      +-> routers, and what was heard on the bus --+
//! ```
//!
//! Nothing looks on a timer, but a bus is listened to all the time: a question that comes a second or more after the last look
//! looks first, and asks the routers that were not asked for 15 s, for a second at most. A source that fails keeps what it has
//! shown last, until that expires, and does not hold up the others for longer than its readers wait for a file.

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

/// Age of a look up to which it serves questions.
const FRESH: Duration = Duration::from_secs(1);
/// The same for an answer of a router.
const POLL: Duration = Duration::from_secs(15);
/// The same, if it has failed: one that hangs holds up a question for a second each time.
const RETRY: Duration = Duration::from_secs(5);
/// The files are the administrator's.
const ROOT: u32 = 0;

/// All sources of the configuration. It lives on the targets thread.
#[derive(Debug)]
pub(crate) struct Sources {
    readers: Readers<usize>,
    /// When the last look ended.
    last: tokio::sync::Mutex<Option<Instant>>,
    known: RefCell<KnownSources>,
}

#[derive(Debug, Default)]
struct KnownSources {
    sources: Vec<KnownSource>,
    table: Arc<InstanceTable>,
}

/// What is known of a source.
#[derive(Debug)]
struct KnownSource {
    origin: SourceOrigin,
    /// When it was last asked, if it is a router.
    asked: Option<Instant>,
    /// Sorted by path, so that the order of instances does not depend on that of the directory.
    files: BTreeMap<PathBuf, KnownFile>,
    /// Why the last look has not found all files.
    fault: Option<FileFault>,
    /// When it last had no fault at all.
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
    /// Of the content that was read last, good or not.
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
            last: tokio::sync::Mutex::default(),
            known: RefCell::new(KnownSources {
                sources: sources.collect(),
                table: Arc::default(),
            }),
        }
    }

    /// Listens to the bus, if there is one, without an end. To be run in a `LocalSet`.
    pub(super) fn listen(&self) {
        if let Some(bus) = self.known.borrow().bus() {
            tokio::task::spawn_local(Rc::clone(bus).listen());
        }
    }

    /// Looks at all sources, unless that was done within the last second. Returns at `end` at the latest; then what was known
    /// before stays.
    pub(crate) async fn refresh(&self, end: Instant) {
        let Ok(mut last) = timeout_at(end, self.last.lock()).await else {
            return;
        };
        if last.is_some_and(|last| last.elapsed() < FRESH) {
            return;
        }
        let (jobs, routers) = {
            let mut known = self.known.borrow_mut();
            (known.jobs(), known.due())
        };
        let looking = self.readers.run_all(ROOT, end, jobs);
        // A router that is silent leaves the instances most of the time.
        let left = end.saturating_duration_since(Instant::now());
        let asking = ask_all(routers, Instant::now() + EACH.min(left / 4));
        let (mut looks, answers) = tokio::join!(looking, asking);
        looks.extend(answers);
        let mut known = self.known.borrow_mut();
        looks.extend(known.bus_look());
        known.note(looks);
        *last = Some(Instant::now());
    }

    /// The table as of the last look.
    pub(crate) fn table(&self) -> Arc<InstanceTable> {
        Arc::clone(&self.known.borrow().table)
    }

    /// The time since all sources could be used; `None` if that never was so.
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

    /// Writes the families, also for the source of processes.
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
    /// `None` if there is no source.
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

    /// The routers that were not asked for some time; from now on they count as asked.
    fn due(&mut self) -> Vec<(usize, Rc<Gorouter>)> {
        let now = Instant::now();
        let sources = self.sources.iter_mut().enumerate();
        let due = sources.filter_map(|(index, source)| {
            let has_failed = source.files.values().any(|file| file.fault.is_some());
            let pause = if has_failed { RETRY } else { POLL };
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

    /// What the bus shows now.
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
    /// Keeps the first instances of all. Those that were left out are read again when there is room for them.
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

    /// `None` if it has no files.
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

    /// Takes over the result of a look. Returns whether the instances have changed.
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
            // More files may be there than were found.
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
                // Whatever can be opened next is read.
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

/// Keeps a fault, and logs one that is new.
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

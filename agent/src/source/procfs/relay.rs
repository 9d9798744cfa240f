//! Reads many processes on a thread that the agent may leave behind.
//!
//! `io`, and on newer kernels (6.18) `stat`, waits for the lock that an exec of its process holds. A process that execs with a
//! file of a dead server open (NFS, FUSE) may hold it for ever, and any user can cause that on purpose.
//!
//! In come process ids, and how much is to be read of each process. Out come the results, in the same order. One handover to the
//! reader serves a whole pass. A reader that sleeps in the same read at two checks (`thread_state`) is left to its file, and
//! another one goes on with the same process, but without its `io`. If the first one waits for `stat`, or the second one blocks,
//! too, the process is skipped. While a reader is blocked, the passes read its process no further than that.
//!
//! [`HELD_UP`] limits the readers that are left behind, per user of the processes. At the limit, `io` of further processes of
//! this user is not read, and if `stat` was seen to block, nothing of them; each of these cases is counted. If the agent can
//! start no thread, it reads no further process. All waiting for files that do not answer takes no longer than [`PASS`] per pass
//! and a little for each reader.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    access::ProcAccess,
    sampler::{Extent, Progress, Sampled, Sampler},
};
use crate::{
    host::Host,
    source::{bound::Bound, thread_state::receive},
};

/// Time between two checks of a reader.
const LOOK: Duration = Duration::from_millis(100);
/// Time that all files which do not answer may take in a pass…
const PASS: Duration = Duration::from_secs(1);
/// …and the time between two checks once that is used up.
const LEAST: Duration = Duration::from_millis(20);
/// Readers that may be blocked at a time; each has up to four descriptors open.
const HELD_UP: Bound = Bound {
    root: 32,
    each: 8,
    others: 64,
};

/// The current reader, and the readers that are left behind.
#[derive(Debug, Default)]
pub(super) struct Relay {
    reader: Option<Reader>,
    held_up: Vec<Held>,
    waited: Duration,
    /// Whether a read of `stat` has ever blocked on this node.
    stat_waits: bool,
    /// Processes that were read less far because of the limit; each counts once per pass.
    refused: u64,
}

/// A reader that is blocked.
#[derive(Debug)]
struct Held {
    tgid: u32,
    /// The user to whom the process is charged.
    user: u32,
    /// How far later passes may read the process meanwhile.
    extent: Extent,
    reader: Reader,
}

struct Job {
    root: Arc<OwnedFd>,
    wanted: Vec<(u32, Extent)>,
}

/// A thread that reads processes. It ends when this value is dropped.
#[derive(Debug)]
struct Reader {
    jobs: SyncSender<Job>,
    finished: Receiver<()>,
    work: Arc<Mutex<Work>>,
    progress: Arc<Progress>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Work {
    done: Vec<Sampled>,
    /// Whether the pass has left this reader behind.
    is_left: bool,
}

impl Relay {
    /// Begins a pass: the waiting time starts anew.
    pub(super) fn begin(&mut self) {
        self.waited = Duration::ZERO;
        self.held_up
            .retain(|held| !held.reader.thread.is_finished());
    }

    /// Readers that are blocked.
    pub(super) const fn held_up(&self) -> usize {
        self.held_up.len()
    }

    /// Processes that were read less far because of the limit.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Reads the processes in `root`, and the usage of single threads if `with_threads`.
    pub(super) fn read(
        &mut self,
        here: &mut ProcAccess,
        with_threads: bool,
        root: &Arc<OwnedFd>,
        wanted: impl Iterator<Item = (u32, Extent)>,
    ) -> Vec<Sampled> {
        let within_held = |(tgid, extent): (u32, Extent)| (tgid, extent.min(self.extent(tgid)));
        let mut todo: Vec<_> = wanted.map(within_held).collect();
        let mut all = Vec::with_capacity(todo.len());
        self.apply_bound(here, &mut todo);
        while !todo.is_empty() {
            let Some(reader) = self.reader(here.files.host(), with_threads) else {
                all.extend(todo.drain(..).map(|(tgid, _)| Sampled::unanswered(tgid)));
                break;
            };
            let is_finished = reader.begin(root, &todo) && self.wait(&reader);
            let done = reader.take(!is_finished);
            todo.drain(..done.len());
            all.extend(done);
            if is_finished {
                self.reader = Some(reader);
            } else if let Some((tgid, extent)) = todo.first().copied() {
                log::warn!(
                    "process {tgid}: a file in {} does not answer; the agent reads the others",
                    here.files.host().procfs.display()
                );
                self.leave(tgid, extent, here.user(tgid), reader);
                todo[0].1 = self.extent(tgid);
                self.apply_bound(here, &mut todo[1..]);
            }
        }
        all
    }

    /// Leaves a reader to the file that it waits for.
    fn leave(&mut self, tgid: u32, extent: Extent, user: u32, reader: Reader) {
        let has_stat = reader.progress.has_stat.load(Relaxed);
        self.stat_waits |= !has_stat;
        let extent = match extent {
            Extent::Whole if has_stat => Extent::WithoutIo,
            _ => Extent::Nothing,
        };
        self.held_up.push(Held {
            tgid,
            user,
            extent,
            reader,
        });
    }

    fn extent(&self, tgid: u32) -> Extent {
        let held = self.held_up.iter().filter(|held| held.tgid == tgid);
        held.map(|held| held.extent).min().unwrap_or(Extent::Whole)
    }

    /// Reads less of the processes whose user may block no further reader.
    fn apply_bound(&mut self, here: &mut ProcAccess, todo: &mut [(u32, Extent)]) {
        if HELD_UP.is_far(self.held_up.len()) {
            return;
        }
        let at_most = match self.stat_waits {
            true => Extent::Nothing,
            false => Extent::WithoutIo,
        };
        for (tgid, extent) in todo {
            let users = self.held_up.iter().map(|held| held.user);
            if *extent > at_most && !HELD_UP.has_room(users, here.user(*tgid)) {
                *extent = at_most;
                self.refused += 1;
            }
        }
    }

    fn reader(&mut self, host: &Host, with_threads: bool) -> Option<Reader> {
        if self.held_up.len() >= HELD_UP.all() {
            return None;
        }
        let start = || Reader::start(host.clone(), with_threads);
        let reader = self.reader.take().map_or_else(start, Ok);
        reader
            .inspect_err(|error| log::warn!("no thread to read processes: {error}"))
            .ok()
    }

    /// Waits for the reader. Returns whether it finished.
    fn wait(&mut self, reader: &Reader) -> bool {
        let look = LOOK.min(PASS.saturating_sub(self.waited)).max(LEAST);
        let answer = receive(&reader.finished, &reader.progress.state, look);
        if answer == Err(RecvTimeoutError::Timeout) {
            self.waited += 2 * look;
        }
        answer.is_ok()
    }
}

impl Reader {
    fn start(host: Host, with_threads: bool) -> io::Result<Self> {
        let (jobs, todo) = sync_channel(1);
        let (done, finished) = sync_channel(1);
        let progress = Arc::<Progress>::default();
        let shown = Arc::clone(&progress);
        let work = Arc::<Mutex<Work>>::default();
        let theirs = Arc::clone(&work);
        let thread = thread::Builder::new()
            .name("headcount-pass".to_owned())
            .spawn(move || {
                shown.state.publish();
                let mut sampler = Sampler::new(host, with_threads, shown);
                for job in todo {
                    // A reader that was left behind ends, because no pass takes its results.
                    if !work_off(&mut sampler, job, &theirs) || done.send(()).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            jobs,
            finished,
            work,
            progress,
            thread,
        })
    }

    fn begin(&self, root: &Arc<OwnedFd>, wanted: &[(u32, Extent)]) -> bool {
        let (root, wanted) = (Arc::clone(root), wanted.to_vec());
        self.jobs.send(Job { root, wanted }).is_ok()
    }

    /// Takes what the reader has read. If it `is_left`, it reads no further process from then on.
    fn take(&self, is_left: bool) -> Vec<Sampled> {
        let mut work = lock(&self.work);
        work.is_left = is_left;
        std::mem::take(&mut work.done)
    }
}

/// A reader that panicked has left no change half done: each change is one step.
fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the processes of `job`. Returns whether a pass still waits for the results.
fn work_off(sampler: &mut Sampler, job: Job, work: &Mutex<Work>) -> bool {
    sampler.set_root(Some(job.root));
    for (tgid, extent) in job.wanted {
        let sampled = sampler.read(tgid, extent);
        let mut work = lock(work);
        if work.is_left {
            return false;
        }
        work.done.push(sampled);
    }
    sampler.set_root(None);
    true
}

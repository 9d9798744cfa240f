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
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Error, Procfs, io as io_file, text};
use crate::{
    process::{Sample, ThreadSample},
    source::{
        bound::Bound,
        thread_state::{ThreadState, receive},
    },
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

/// Result of reading one process.
#[derive(Debug)]
pub struct Sampled {
    /// Process id that was asked for.
    pub tgid: u32,
    /// Its totals; an error if the process is gone, or if `stat`, `status` or `limits` cannot be read.
    pub sample: Result<Sample, Error>,
    /// Its threads, as [`crate::process::Pass::threads`] has them.
    pub threads: Vec<ThreadSample>,
    /// Whether only `stat` was to be read.
    pub(super) is_brief: bool,
    /// Whether any other file of the process could not be read.
    pub(super) is_partial: bool,
}

/// How much of a process is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    Nothing,
    Stat,
    WithoutIo,
    Whole,
}

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

/// Progress of a reader.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Whether the reader sleeps; if its status cannot be read, the number of processes and threads that it has begun shows
    /// progress.
    pub(super) state: ThreadState,
    /// Whether the reader has read `stat` of the current process.
    pub(super) has_stat: AtomicBool,
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

    /// Reads the processes in `root`, with readers configured like `here`.
    pub(super) fn read(
        &mut self,
        here: &mut Procfs,
        root: &Arc<OwnedFd>,
        wanted: impl Iterator<Item = (u32, Extent)>,
    ) -> Vec<Sampled> {
        let within_held = |(tgid, extent): (u32, Extent)| (tgid, extent.min(self.extent(tgid)));
        let mut todo: Vec<_> = wanted.map(within_held).collect();
        let mut all = Vec::with_capacity(todo.len());
        self.apply_bound(here, &mut todo);
        while !todo.is_empty() {
            let Some(reader) = self.reader(here) else {
                all.extend(
                    todo.drain(..)
                        .map(|(id, _)| here.sampled((id, Extent::Nothing))),
                );
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
                    here.host.procfs.display()
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
    fn apply_bound(&mut self, here: &mut Procfs, todo: &mut [(u32, Extent)]) {
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

    fn reader(&mut self, like: &Procfs) -> Option<Reader> {
        if self.held_up.len() >= HELD_UP.all() {
            return None;
        }
        let reader = self.reader.take().map_or_else(|| Reader::start(like), Ok);
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
    fn start(like: &Procfs) -> io::Result<Self> {
        let (jobs, todo) = sync_channel(1);
        let (done, finished) = sync_channel(1);
        let mut procfs = Procfs::new(like.host.clone()).with_threads(like.threads_wanted);
        let work = Arc::<Mutex<Work>>::default();
        let (progress, theirs) = (Arc::clone(&procfs.progress), Arc::clone(&work));
        let thread = thread::Builder::new()
            .name("headcount-pass".to_owned())
            .spawn(move || {
                procfs.progress.state.publish();
                for job in todo {
                    // A reader that was left behind ends, because no pass takes its results.
                    if !procfs.work_off(job, &theirs) || done.send(()).is_err() {
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

impl Procfs {
    /// Reads the processes of `job`. Returns whether a pass still waits for the results.
    fn work_off(&mut self, job: Job, work: &Mutex<Work>) -> bool {
        self.partial.clear();
        self.root = Some(job.root);
        for one in job.wanted {
            let sampled = self.sampled(one);
            let mut work = lock(work);
            if work.is_left {
                return false;
            }
            work.done.push(sampled);
        }
        self.root = None;
        true
    }

    fn sampled(&mut self, (tgid, extent): (u32, Extent)) -> Sampled {
        self.progress.has_stat.store(false, Relaxed);
        self.progress.state.step();
        let mut threads = Vec::new();
        let sample = match extent {
            Extent::Nothing => Err(unanswered(tgid)),
            Extent::Stat => self.read_stat_sample(tgid),
            Extent::WithoutIo | Extent::Whole => {
                self.read_sample(tgid, extent == Extent::Whole, &mut threads)
            }
        };
        if sample.is_err() {
            threads.clear();
        }
        Sampled {
            tgid,
            sample,
            threads,
            is_brief: extent == Extent::Stat,
            is_partial: self.partial.contains(&tgid),
        }
    }
}

/// The error for a file that is not read while a reader waits for it.
pub(super) fn unanswered(tgid: u32) -> Error {
    Error::Io {
        tgid,
        file: text(io_file::FILE.0),
        source: io::ErrorKind::TimedOut.into(),
    }
}

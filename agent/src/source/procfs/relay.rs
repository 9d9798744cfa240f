//! Reads many processes on a thread that the agent may leave behind ([`crate::blocking`]).
//!
//! `io`, and on newer kernels (6.18) `stat`, waits for the lock that an exec of its process holds. A process that execs with a
//! file of a dead server open (NFS, FUSE) may hold it for ever, and any user can cause that on purpose.
//!
//! In come process ids, and how much is to be read of each process. Out come the results, in the same order. One handover to the
//! reader serves a whole pass. If a reader is held up, another one goes on with the same process, but without its `io`. If the
//! first one waits for `stat`, or the second one is held up, too, the process is skipped. While a reader is held up, the passes
//! read its process no further than that.
//!
//! At the bound, `io` of further processes of this user is not read, and if `stat` was seen to block, nothing of them; each of
//! these cases is counted. If the agent can start no thread, it reads no further process. All waiting for readers that are held
//! up takes no longer than [`PASS`] per pass and a little for each reader.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::access::ProcAccess;
use super::sampler::{Extent, Sampled, Sampler};
use crate::blocking::{Bound, Patience, Pool, Reader, Replies, ThreadState};
use crate::host::Host;

/// Time that all files which do not answer may take in a pass…
const PASS: Duration = Duration::from_secs(1);
/// …and the time for one file once that is used up.
const LEAST: Duration = Duration::from_millis(40);
/// Readers that may be held up at a time; each has up to four descriptors open.
const HELD_UP: Bound = Bound {
    root: 32,
    each: 8,
    others: 64,
};

/// Reads processes for passes.
#[derive(Debug)]
pub(super) struct Relay {
    /// A reader waits for a file of this process, which later passes may read so far meanwhile.
    pool: Pool<(u32, Extent), PassRequest, Sampled>,
    patience: Patience,
    /// Whether a read of `stat` has ever blocked on this node.
    stat_waits: bool,
}

#[derive(Debug)]
struct PassRequest {
    root: Arc<OwnedFd>,
    wanted: Vec<(u32, Extent)>,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            pool: Pool::new("headcount-pass", HELD_UP),
            patience: Patience::new(PASS, LEAST),
            stat_waits: false,
        }
    }
}

impl Relay {
    /// Begins a pass: the waiting time starts anew.
    pub(super) fn begin(&mut self) {
        self.patience.begin();
        self.pool.release(drop);
    }

    /// Readers that are held up.
    pub(super) const fn held_up(&self) -> usize {
        self.pool.held_up.len()
    }

    /// Processes that were read less far because of the limit; each counts once per pass.
    pub(super) const fn refused(&self) -> u64 {
        self.pool.held_up.refused()
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
            reader.ask(PassRequest {
                root: Arc::clone(root),
                wanted: todo.clone(),
            });
            let look = self.patience.look();
            let is_finished = reader.wait(look).is_ok();
            let before = all.len();
            all.extend(reader.replies());
            todo.drain(..all.len() - before);
            if is_finished {
                self.pool.keep(reader);
                continue;
            }
            self.patience.spend(2 * look);
            let Some((tgid, extent)) = todo.first_mut() else {
                break;
            };
            log::warn!(
                "process {tgid}: a file in {} does not answer; the agent reads the others",
                here.files.host().procfs.display()
            );
            let has_stat = reader.thread.is_marked.load(Relaxed);
            self.stat_waits |= !has_stat;
            *extent = match extent {
                Extent::Whole if has_stat => Extent::WithoutIo,
                _ => Extent::Nothing,
            };
            self.pool.leave((*tgid, *extent), here.user(*tgid), reader);
            self.apply_bound(here, &mut todo[1..]);
        }
        all
    }

    /// How far a process may be read.
    fn extent(&self, tgid: u32) -> Extent {
        let held = self.pool.held_up.keys().filter(|(held, _)| *held == tgid);
        let extents = held.map(|(_, extent)| *extent);
        extents.min().unwrap_or(Extent::Whole)
    }

    /// Reads less of the processes whose user may hold up no further reader.
    fn apply_bound(&mut self, here: &mut ProcAccess, todo: &mut [(u32, Extent)]) {
        let at_most = match self.stat_waits {
            true => Extent::Nothing,
            false => Extent::WithoutIo,
        };
        for (tgid, extent) in todo {
            if *extent > at_most && !self.pool.held_up.admits(|| here.user(*tgid)) {
                *extent = at_most;
            }
        }
    }

    fn reader(&mut self, host: &Host, with_threads: bool) -> Option<Reader<PassRequest, Sampled>> {
        if self.held_up() >= HELD_UP.all() {
            return None;
        }
        let start = |thread: &Arc<ThreadState>| {
            let mut sampler = Sampler::new(host.clone(), with_threads, Arc::clone(thread));
            move |request, replies: &Replies<_>| work_off(&mut sampler, request, replies)
        };
        self.pool
            .reader(start)
            .inspect_err(|error| log::warn!("cannot start a thread to read processes: {error}"))
            .ok()
    }
}

/// Reads the processes of a request until the caller wants no further reply.
fn work_off(sampler: &mut Sampler, request: PassRequest, replies: &Replies<Sampled>) {
    sampler.set_root(Some(request.root));
    for (tgid, extent) in request.wanted {
        if !replies.send(sampler.read(tgid, extent)) {
            break;
        }
    }
    sampler.set_root(None);
}

//! Reads one process for a pass: which of its files, in which order, and the effect of each failure.
//!
//! For a process of one thread, the files are its directory, `stat`, `status`, `limits` and `io`. `task` is listed if `stat`
//! shows more threads; each of them costs two files. If the usage of single threads is wanted, each thread costs a third, `io`,
//! and the main thread costs these three as well. A tree of files may lack `task`, which is a partial error, so there it is
//! always listed; a real procfs always has it.
//!
//! Any of these reads may block, so the readers that `relay` starts have a [`Sampler`] each.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::error::{ProcfsError, text};
use super::file_reader::FileReader;
use super::stat::{self, Stat};
use super::status::{self, TaskStatus};
use super::{io, limits};
use crate::blocking::ThreadState;
use crate::host::Host;
use crate::process::{
    Counters, Cpu, Faults, Io, Memory, ProcessId, Sample, Switches, ThreadSample,
};

/// How much of a process is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    Nothing,
    Stat,
    WithoutIo,
    Whole,
}

/// Result of reading one process.
#[derive(Debug)]
pub struct Sampled {
    /// Process id that was asked for.
    pub tgid: u32,
    /// Its totals; an error if the process is gone, or if `stat`, `status` or `limits` cannot be read.
    pub sample: Result<Sample, ProcfsError>,
    /// Its threads, as [`crate::process::Pass::threads`] has them.
    pub threads: Vec<ThreadSample>,
    /// Whether only `stat` was to be read.
    pub(super) is_brief: bool,
    /// Whether any other file of the process could not be read.
    pub(super) is_partial: bool,
}

impl Sampled {
    /// The result for a process that was not read, because a reader waits for it, or because there is no reader.
    pub(super) fn unanswered(tgid: u32) -> Self {
        Self {
            tgid,
            sample: Err(unanswered(tgid)),
            threads: Vec::new(),
            is_brief: false,
            is_partial: false,
        }
    }
}

/// Reads processes one after another.
#[derive(Debug)]
pub(super) struct Sampler {
    files: FileReader,
    /// Whether the usage of single threads is wanted.
    with_threads: bool,
    /// Whether a file of the current process could not be read without which the others can be shown.
    is_partial: bool,
    /// Shows the thread that waits for this reader how far it has come: its steps are the processes and threads that it has
    /// begun, and it is marked once it has read `stat` of the process.
    progress: Arc<ThreadState>,
}

impl Sampler {
    /// Makes a reader of `host`'s procfs root that shows its `progress`.
    pub(super) fn new(host: Host, with_threads: bool, progress: Arc<ThreadState>) -> Self {
        Self {
            files: FileReader::new(host),
            with_threads,
            is_partial: false,
            progress,
        }
    }

    /// Sets the open procfs root below which processes are read from now on.
    pub(super) fn set_root(&mut self, root: Option<Arc<OwnedFd>>) {
        self.files.set_root(root);
    }

    /// Reads one process as far as `extent` says.
    pub(super) fn read(&mut self, tgid: u32, extent: Extent) -> Sampled {
        self.progress.is_marked.store(false, Relaxed);
        self.progress.step();
        self.is_partial = false;
        let mut threads = Vec::new();
        let sample = match extent {
            Extent::Nothing => return Sampled::unanswered(tgid),
            Extent::Stat => self.read_stat(tgid),
            Extent::WithoutIo => self.read_all(tgid, false, &mut threads),
            Extent::Whole => self.read_all(tgid, true, &mut threads),
        };
        if sample.is_err() {
            threads.clear();
        }
        Sampled {
            tgid,
            sample,
            threads,
            is_brief: extent == Extent::Stat,
            is_partial: self.is_partial,
        }
    }

    /// Reads only `stat` of a process, so that one file is opened.
    fn read_stat(&mut self, tgid: u32) -> Result<Sample, ProcfsError> {
        let stat = self.files.read_alone(tgid, stat::FILE, stat::parse_stat)?;
        self.progress.is_marked.store(true, Relaxed);
        let Host {
            tick_ns, page_size, ..
        } = *self.files.host();
        Ok(Sample {
            parent: stat.parent,
            state: stat.state,
            counters: counters(&stat, None, None, tick_ns),
            memory: memory(&stat, &TaskStatus::default(), page_size),
            threads: stat.threads,
            ..Sample::of_process(id(tgid, &stat, tick_ns))
        })
    }

    /// Reads one process and adds its threads to `threads`; reads `io`, which an exec may block, only `with_io`.
    fn read_all(
        &mut self,
        tgid: u32,
        with_io: bool,
        threads: &mut Vec<ThreadSample>,
    ) -> Result<Sample, ProcfsError> {
        let dir = self.files.open(tgid)?;
        let dir = dir.as_fd();
        let stat = self.files.read(tgid, dir, stat::FILE, stat::parse_stat)?;
        self.progress.is_marked.store(true, Relaxed);
        let status = self
            .files
            .read(tgid, dir, status::FILE, status::parse_status)?;
        let fd_limit = self.files.read(tgid, dir, limits::FILE, |bytes| {
            limits::parse_fd_limit(bytes).ok()
        })?;
        // A kernel always writes these lines, but a file in a tree may lack them.
        let lacking = [
            (status.switches.is_none(), status::FILE.0),
            (fd_limit.is_none(), limits::FILE.0),
        ];
        for (is_lacking, file) in lacking {
            let absent = self
                .files
                .judge(tgid, file, Ok((!is_lacking).then_some(())));
            self.absent_unless_gone(absent)?;
        }
        let io = match with_io {
            true => self.files.read(tgid, dir, io::FILE, io::parse_io),
            false => Err(unanswered(tgid)),
        };
        let io = self.absent_unless_gone(io)?;
        if stat.threads > 1 || !self.files.host().is_procfs_mount() {
            let listed = self.read_threads(tgid, dir, with_io, threads);
            self.absent_unless_gone(listed)?;
        }
        let Host {
            tick_ns, page_size, ..
        } = *self.files.host();
        Ok(Sample {
            id: id(tgid, &stat, tick_ns),
            effective_uid: status.effective_uid,
            has_borrowed_ids: status.has_borrowed_ids,
            parent: stat.parent,
            state: stat.state,
            counters: counters(&stat, io, status.switches, tick_ns),
            memory: memory(&stat, &status, page_size),
            threads: stat.threads,
            fd_limit,
            // No cheap value shows whether the process ran: the sum of its ticks does not change in short runs.
            cgroup_id: None,
            ran_marker: 0,
        })
    }

    /// Adds the threads. A thread that ends meanwhile is left out; one that cannot be read is left out and is a partial error.
    fn read_threads(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
        with_io: bool,
        threads: &mut Vec<ThreadSample>,
    ) -> Result<(), ProcfsError> {
        let (task, tids) = self.files.list_threads(tgid, dir)?;
        if tids.len() <= 1 {
            return Ok(());
        }
        threads.reserve(tids.len());
        for tid in tids {
            if tid != tgid || self.with_threads {
                let thread = self.read_thread((tgid, tid), task.as_fd(), with_io);
                threads.extend(self.absent_unless_gone(thread).ok().flatten());
            }
        }
        Ok(())
    }

    fn read_thread(
        &mut self,
        ids: (u32, u32),
        task: BorrowedFd<'_>,
        with_io: bool,
    ) -> Result<ThreadSample, ProcfsError> {
        self.progress.step();
        let files = &mut self.files;
        let (stat, name) = files.read_of_thread(ids, task, stat::FILE, |file| {
            Some((stat::parse_stat(file)?, stat::task_name(file)?))
        })?;
        let status = files.read_of_thread(ids, task, status::FILE, status::parse_status)?;
        let io = if self.with_threads && with_io {
            let io = files.read_of_thread(ids, task, io::FILE, io::parse_io);
            self.absent_unless_gone(io)?
        } else {
            None
        };
        let (tgid, tid) = ids;
        let tick_ns = self.files.host().tick_ns;
        Ok(ThreadSample {
            tgid,
            tid,
            start_ns: stat.start_ticks.saturating_mul(tick_ns),
            state: stat.state,
            ran_marker: 0,
            name,
            counters: counters(&stat, io, status.switches, tick_ns),
        })
    }

    /// Notes a failed read that leaves one fact absent. The end of a process or thread stays an error.
    fn absent_unless_gone<T>(
        &mut self,
        result: Result<T, ProcfsError>,
    ) -> Result<Option<T>, ProcfsError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_gone() => Err(error),
            Err(error) => {
                log::debug!("{error}");
                self.is_partial = true;
                Ok(None)
            }
        }
    }
}

fn id(tgid: u32, stat: &Stat, tick_ns: u64) -> ProcessId {
    ProcessId {
        tgid,
        start_ns: stat.start_ticks.saturating_mul(tick_ns),
    }
}

/// Totals of a process or of a thread, from its file `stat`.
fn counters(stat: &Stat, io: Option<Io>, switches: Option<Switches>, tick_ns: u64) -> Counters {
    Counters {
        cpu: Cpu {
            user_ns: stat.user_ticks.saturating_mul(tick_ns),
            system_ns: stat.system_ticks.saturating_mul(tick_ns),
        },
        faults: Faults {
            major: stat.major_faults,
            minor: stat.minor_faults,
        },
        io,
        switches,
        run_queue_wait_ns: None,
    }
}

/// Memory of a process, from its files `stat` and `status`.
pub(super) fn memory(stat: &Stat, status: &TaskStatus, page_size: u64) -> Memory {
    Memory {
        resident_bytes: stat.rss_pages.saturating_mul(page_size),
        virtual_bytes: stat.virtual_bytes,
        swapped_bytes: status.swapped_bytes,
    }
}

/// The error for a file that is not read while a reader waits for it.
fn unanswered(tgid: u32) -> ProcfsError {
    ProcfsError::Io {
        tgid,
        file: text(io::FILE.0),
        source: std::io::ErrorKind::TimedOut.into(),
    }
}

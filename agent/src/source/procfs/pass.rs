//! One pass over all processes, or over some: the order in which the files are read, and the effect of each failure.
//!
//! For a process of one thread, the files are its directory, `stat`, `status`, `limits` and `io`. `task` is listed if `stat`
//! shows more threads; each of them costs two files. If the usage of single threads is wanted, each thread costs a third, `io`,
//! and the main thread costs these three as well. A tree of files may lack `task`, which is a partial error, so there it is
//! always listed; a real procfs always has it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;

use super::relay::{Extent, Sampled, unanswered};
use super::{Error, Procfs, file, io, limits, stat, status};
use crate::process::{
    Counters, Cpu, Faults, Io, Memory, Pass, ProcessId, Sample, Switches, ThreadSample,
};

impl Procfs {
    /// Starts the count of partial errors per process anew, and allows another listing of the names of pods. [`Procfs::pass`]
    /// begins with it; a tier that reads only single processes calls it once for each scrape.
    pub fn begin_pass(&mut self) {
        self.partial.clear();
        self.owners.begin();
        self.patient.begin();
        self.relay.begin();
        self.pods.begin_pass();
    }

    /// Reads every process in the listing.
    ///
    /// Processes that end meanwhile are left out. A process that exists but whose `stat`, `status` or `limits` cannot be read is
    /// in [`Pass::unread`]. `finals_follow` is false: the usage of a process after its last pass stays unknown. Start times are
    /// rounded down to the clock tick, so a process that was born within the tick before `started_ns` looks older.
    ///
    /// # Errors
    /// [`Error::Root`] if the procfs root cannot be listed; then there is no pass, and the next call tries again.
    pub fn pass(&mut self) -> Result<Pass, Error> {
        self.pass_with(|_| None)
    }

    /// Like [`Procfs::pass`], but reads only `stat` of a process for which `in_no_group` returns a start time. If `stat` shows
    /// another start, the number belongs to another process by now, which is read whole.
    ///
    /// # Errors
    /// As [`Procfs::pass`].
    pub fn pass_with(&mut self, in_no_group: impl Fn(u32) -> Option<u64>) -> Result<Pass, Error> {
        self.begin_pass();
        let started_ns = self.host.now_ns();
        let tgids = match self.list() {
            Ok(tgids) => tgids,
            Err(error) => {
                self.errors.scrape += 1;
                return Err(error);
            }
        };
        let mut pass = Pass {
            started_ns,
            finals_follow: false,
            switches_by_thread: true,
            ..Pass::default()
        };
        let extent = |tgid: u32| in_no_group(tgid).map_or(Extent::Whole, |_| Extent::Stat);
        let mut samples = self.samples_within(tgids.iter().map(|tgid| (*tgid, extent(*tgid))));
        let is_another = |one: &Sampled| {
            let start_ns = one.sample.as_ref().ok().map(|sample| sample.id.start_ns);
            one.is_brief && start_ns.is_some() && start_ns != in_no_group(one.tgid)
        };
        let others = samples.extract_if(.., |one| is_another(one));
        let others: Vec<u32> = others.map(|one| one.tgid).collect();
        if !others.is_empty() {
            samples.extend(self.samples(&others));
        }
        for one in samples {
            match one.sample {
                Ok(sample) if one.is_brief => pass.in_no_group.push(sample),
                Ok(sample) => pass.processes.push(sample),
                Err(Error::Gone { .. }) => {}
                Err(_) => pass.unread.push(one.tgid),
            }
            pass.threads.extend(one.threads);
        }
        pass.threads
            .sort_unstable_by_key(|thread| (thread.tgid, thread.tid));
        Ok(pass)
    }

    /// Reads these processes, and their threads beside the main ones, in the given order.
    ///
    /// `counters.switches` are those of the main thread only ([`Pass::switches_by_thread`]): a sum over living threads would fall
    /// when one of them ends, so the process table keeps the last count of each thread. `counters.run_queue_wait_ns` is `None`:
    /// only `schedstat` of single tasks has it, which would be one more file for each, and no file has it for threads that ended.
    /// `counters.io` is `None` if unreadable, which counts as a partial error.
    pub fn samples(&mut self, tgids: &[u32]) -> Vec<Sampled> {
        self.samples_within(tgids.iter().map(|tgid| (*tgid, Extent::Whole)))
    }

    fn samples_within(&mut self, wanted: impl Iterator<Item = (u32, Extent)>) -> Vec<Sampled> {
        if self.root.is_none() && self.open_root().is_err() {
            return Vec::new();
        }
        let Some(root) = self.root.clone() else {
            return Vec::new();
        };
        let mut relay = std::mem::take(&mut self.relay);
        let mut samples = relay.read(self, &root, wanted);
        self.relay = relay;
        for one in &mut samples {
            self.readings += 1;
            if let Ok(sample) = &mut one.sample {
                sample.ran_marker = self.readings;
            }
            for thread in &mut one.threads {
                thread.ran_marker = self.readings;
            }
            self.errors.partial += u64::from(one.is_partial && self.partial.insert(one.tgid));
            self.count_hard(&one.sample);
        }
        samples
    }

    /// The process that a thread belongs to; `None` if the thread is gone.
    pub fn process_of(&mut self, tid: u32) -> Option<u32> {
        let dir = self.open(tid).ok()?;
        let (file, cap) = status::FILE;
        status::parse_tgid(self.buffer.read(dir.as_fd(), file, cap).ok()?)
    }

    /// Reads only `stat` of a process, so that one file is opened.
    pub(super) fn read_stat_sample(&mut self, tgid: u32) -> Result<Sample, Error> {
        let (file, cap) = stat::FILE;
        let root = self.root.clone().ok_or(Error::Gone { tgid })?;
        let name = self.name.of(tgid, "/stat");
        let parsed = self.buffer.read(root.as_fd(), name, cap);
        let parsed = parsed.map(stat::parse_stat);
        let stat = self.judge(tgid, file, parsed)?;
        self.progress.has_stat.store(true, Relaxed);
        let tick_ns = self.host.tick_ns;
        let id = ProcessId {
            tgid,
            start_ns: stat.start_ticks.saturating_mul(tick_ns),
        };
        Ok(Sample {
            parent: stat.parent,
            state: stat.state,
            counters: counters(&stat, None, None, tick_ns),
            memory: self.memory_of(&stat, &status::Status::default()),
            threads: stat.threads,
            ..Sample::of_process(id)
        })
    }

    /// Reads one process and adds its threads to `threads`; reads `io`, which an exec may block, only `with_io`.
    pub(super) fn read_sample(
        &mut self,
        tgid: u32,
        with_io: bool,
        threads: &mut Vec<ThreadSample>,
    ) -> Result<Sample, Error> {
        let dir = self.open(tgid)?;
        let dir = dir.as_fd();
        let stat = self.read(tgid, dir, stat::FILE, stat::parse_stat)?;
        self.progress.has_stat.store(true, Relaxed);
        let status = self.read(tgid, dir, status::FILE, status::parse_status)?;
        let fd_limit = self.read(tgid, dir, limits::FILE, |bytes| {
            limits::parse_fd_limit(bytes).ok()
        })?;
        // A kernel always writes these lines, but a file in a tree may lack them.
        let lacking = [
            (status.switches.is_none(), status::FILE.0),
            (fd_limit.is_none(), limits::FILE.0),
        ];
        for (is_lacking, file) in lacking {
            let absent = self.judge(tgid, file, Ok((!is_lacking).then_some(())));
            absent_unless_gone(self.soft(tgid, absent))?;
        }
        let io = match with_io {
            true => self.read(tgid, dir, io::FILE, io::parse_io),
            false => Err(unanswered(tgid)),
        };
        let io = absent_unless_gone(self.soft(tgid, io))?;
        if stat.threads > 1 || !self.host.is_procfs_mount() {
            let listed = self.read_threads(tgid, dir, with_io, threads);
            absent_unless_gone(self.soft(tgid, listed))?;
        }
        let tick_ns = self.host.tick_ns;
        Ok(Sample {
            id: ProcessId {
                tgid,
                start_ns: stat.start_ticks.saturating_mul(tick_ns),
            },
            effective_uid: status.effective_uid,
            has_borrowed_ids: status.has_borrowed_ids,
            parent: stat.parent,
            state: stat.state,
            counters: counters(&stat, io, status.switches, tick_ns),
            memory: self.memory_of(&stat, &status),
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
    ) -> Result<(), Error> {
        let mut tids = Vec::new();
        let task = file::open_at(dir, c"task", libc::O_RDONLY | libc::O_DIRECTORY)
            .and_then(|task| self.lister.read_ids(task.as_fd(), &mut tids).map(|()| task));
        let task = task.map_err(|source| self.failure(tgid, c"task", source))?;
        if tids.len() <= 1 {
            return Ok(());
        }
        threads.reserve(tids.len());
        for tid in tids {
            if tid != tgid || self.threads_wanted {
                let thread = self.read_thread((tgid, tid), task.as_fd(), with_io);
                threads.extend(self.soft(tgid, thread));
            }
        }
        Ok(())
    }

    fn read_thread(
        &mut self,
        id: (u32, u32),
        task: BorrowedFd<'_>,
        with_io: bool,
    ) -> Result<ThreadSample, Error> {
        self.progress.state.step();
        let (tgid, tid) = id;
        let (stat, name) = self.read_of_thread(id, task, stat::FILE, |file| {
            Some((stat::parse_stat(file)?, stat::task_name(file)?))
        })?;
        let status = self.read_of_thread(id, task, status::FILE, status::parse_status)?;
        let io = if self.threads_wanted && with_io {
            let io = self.read_of_thread(id, task, io::FILE, io::parse_io);
            absent_unless_gone(self.soft(tgid, io))?
        } else {
            None
        };
        let tick_ns = self.host.tick_ns;
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

    /// Memory of a process, for callers that have its other facts from elsewhere.
    ///
    /// # Errors
    /// The process is gone, or `stat` or `status` cannot be read, which counts as a read error.
    pub fn memory(&mut self, tgid: u32) -> Result<Memory, Error> {
        let result = self.open(tgid).and_then(|dir| {
            let stat = self.read_patiently(tgid, dir.as_fd(), stat::FILE, stat::parse_stat)?;
            let status = self.read(tgid, dir.as_fd(), status::FILE, status::parse_status)?;
            Ok(self.memory_of(&stat, &status))
        });
        self.hard(result)
    }

    fn memory_of(&self, stat: &stat::Stat, status: &status::Status) -> Memory {
        Memory {
            resident_bytes: stat.rss_pages.saturating_mul(self.host.page_size),
            virtual_bytes: stat.virtual_bytes,
            swapped_bytes: status.swapped_bytes,
        }
    }

    /// Process ids in the procfs root, which is opened anew.
    pub fn list(&mut self) -> Result<Vec<u32>, Error> {
        self.open_root()?;
        let mut tgids = Vec::new();
        let Some(root) = &self.root else {
            return Ok(tgids);
        };
        self.lister
            .read_ids(root.as_fd(), &mut tgids)
            .map_err(|source| Error::Root {
                path: self.host.procfs.clone(),
                source,
            })?;
        Ok(tgids)
    }
}

/// Totals of a process or of a thread, from its file `stat`.
fn counters(
    stat: &stat::Stat,
    io: Option<Io>,
    switches: Option<Switches>,
    tick_ns: u64,
) -> Counters {
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

fn absent_unless_gone<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_gone() => Err(error),
        Err(_) => Ok(None),
    }
}

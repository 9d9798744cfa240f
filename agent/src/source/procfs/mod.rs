//! Reads `/proc` file by file: everything in the procfs tier, and in the kernel tiers the values that the kernel programs cannot
//! report.
//!
//! In comes a [`Host`]. Out go [`Pass`]es over all processes and facts of single processes, all through [`Procfs`].
//!
//! ```text
//! passes:        PassReader --> relay --> Sampler --+
//! names:         FactReader --+                     +--> FileReader --> file, directory
//! the page:      Appearance --+--> ProcAccess ------+
//! single facts:  Procfs ------+--> patient --> file
//! ```
//!
//! Each kernel file has one file here, which parses bytes and does no IO. `sampler`, `facts`, `appearance` and this file decide
//! the order of reading.
//!
//! The procfs crate is used only for `cgroup`, which is read once for each naming of a process. It is not used in a pass: it
//! takes 3.1 times as long for the four files of a process, reading included (32.5 against 10.4 us, Linux 6.18), it panics on
//! some content that a tree of files may hold, and it returns names as text. The header of each parser gives its share of this
//! time.
//!
//! This module does not remember earlier readings (the process table does), and does not decide which processes matter. Some
//! files make the reader wait for a lock that a process can hold: `cmdline` waits for the lock of the process's mappings; `io`,
//! and on newer kernels `stat`, `wchan` and `cwd`, wait for the lock that an exec of the process holds. For a scrape, other
//! threads read these files (`patient`, `relay`).

mod access;
mod appearance;
mod cgroup;
mod cmdline;
mod decimal;
mod directory;
mod error;
mod facts;
mod file;
mod file_reader;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod io;
mod limits;
mod loadavg;
mod node;
mod owners;
mod pass;
mod patient;
mod relay;
mod sampler;
mod smaps;
mod stat;
mod status;
mod wchan;

use std::os::fd::{AsFd, BorrowedFd};

use access::ProcAccess;
pub use appearance::Appearance;
pub(super) use cgroup::parse_cgroup;
pub use error::{ErrorCounts, ProcfsError};
use facts::FactReader;
pub use node::{Away, NodeReading};
use pass::PassReader;
use patient::Patient;
use sampler::Extent;
pub use sampler::Sampled;
pub use stat::Stat;

use super::SourceStatistics;
use crate::host::{Host, monotonic_ns};
use crate::process::{Arguments, Facts, Memory, Pass, ProcessId, Proportional};

/// Reads `/proc`. Its buffers are reused from file to file, so each thread needs its own.
#[derive(Debug)]
pub struct Procfs {
    access: ProcAccess,
    passes: PassReader,
    facts: FactReader,
    /// Reads single files that may block, for a person who looks at the page.
    viewers: Patient,
    /// Whether the size of `<pid>/fd` is the number of descriptors on this kernel (Linux 6.2 and later).
    has_fd_sizes: bool,
}

impl Procfs {
    /// Makes a reader of `host`'s procfs root. Reads nothing of a process yet.
    pub fn new(host: Host) -> Self {
        // Linux 6.2 made the size of `fd` the number of entries. The agent has open descriptors, so 0 means an older kernel. A
        // directory in a tree of files has a size, too, but it is not a number of descriptors.
        let own = std::fs::metadata(host.procfs.join("self/fd"));
        let has_fd_sizes = host.is_procfs_mount() && own.is_ok_and(|meta| meta.len() > 0);
        Self {
            passes: PassReader::default(),
            facts: FactReader::new(&host),
            viewers: Patient::for_viewers(),
            has_fd_sizes,
            access: ProcAccess::new(host),
        }
    }

    /// Sets whether readings include the usage of single threads.
    #[must_use]
    pub const fn with_threads(mut self, is_wanted: bool) -> Self {
        self.passes.with_threads = is_wanted;
        self
    }

    /// Sets whether [`Procfs::facts`] reads the working directory: one more call for each process, and one that needs the right
    /// to trace it.
    #[must_use]
    pub const fn with_cwd(mut self, is_wanted: bool) -> Self {
        self.want_cwd(is_wanted);
        self
    }

    /// Sets whether [`Procfs::facts`] looks for the names of pods.
    #[must_use]
    pub const fn with_pods(mut self, is_wanted: bool) -> Self {
        self.want_pods(is_wanted);
        self
    }

    /// Sets whether [`Procfs::facts`] reads the working directory from now on.
    pub const fn want_cwd(&mut self, is_wanted: bool) {
        self.facts.wants_cwd = is_wanted;
    }

    /// Sets whether [`Procfs::facts`] looks for the names of pods from now on.
    pub const fn want_pods(&mut self, is_wanted: bool) {
        self.facts.wants_pods = is_wanted;
    }

    /// Whether readings include the usage of single threads.
    pub const fn wants_threads(&self) -> bool {
        self.passes.with_threads
    }

    /// The host whose `/proc` is read.
    pub const fn host(&self) -> &Host {
        self.access.files.host()
    }

    /// The id of the container that the node runs in; `None` if it runs in none, or if the names of pods are not wanted.
    pub fn node(&self) -> Option<&str> {
        self.facts.node()
    }

    /// Numbers of failed readings so far.
    pub const fn errors(&self) -> ErrorCounts {
        self.access.failures.counts()
    }

    /// The part of the statistics that `/proc` gives; tier and facts are left to the observer.
    pub fn statistics(&self) -> SourceStatistics {
        let (relay, access, viewers) = (&self.passes.relay, &self.access, &self.viewers);
        let errors = self.errors();
        SourceStatistics {
            scrape_errors: errors.scrape,
            procread_errors: errors.procread,
            partial_errors: errors.partial,
            held_up: (relay.held_up() + access.held_up() + viewers.held_up()) as u64,
            reads_refused: relay.refused() + access.refused() + viewers.refused(),
            pod_link_failures: self.facts.pod_link_failures(),
            ..SourceStatistics::default()
        }
    }

    /// Begins a pass: each process may count as a partial error once more, and the names of pods may be listed once more.
    /// [`Procfs::pass`] begins with it; a tier that reads only single processes calls it once for each scrape.
    pub fn begin_pass(&mut self) {
        self.access.begin_pass();
        self.passes.relay.begin();
        self.facts.begin_pass();
    }

    /// Reads every process in the listing.
    ///
    /// Processes that end meanwhile are left out. A process that exists but whose `stat`, `status` or `limits` cannot be read is
    /// in [`Pass::unread`]. `finals_follow` is false: the usage of a process after its last pass stays unknown. Start times are
    /// rounded down to the clock tick, so a process that was born within the tick before `started_ns` looks older.
    ///
    /// # Errors
    /// [`ProcfsError::Root`] if the procfs root cannot be listed; then there is no pass, and the next call tries again.
    pub fn pass(&mut self) -> Result<Pass, ProcfsError> {
        self.pass_with(|_| None)
    }

    /// Like [`Procfs::pass`], but reads only `stat` of a process for which `in_no_group` returns a start time. If `stat` shows
    /// another start, the number belongs to another process by now, which is read whole.
    ///
    /// # Errors
    /// As [`Procfs::pass`].
    pub fn pass_with(
        &mut self,
        in_no_group: impl Fn(u32) -> Option<u64>,
    ) -> Result<Pass, ProcfsError> {
        self.begin_pass();
        self.passes.pass(&mut self.access, in_no_group)
    }

    /// Reads these processes, and their threads beside the main ones, in the given order.
    ///
    /// `counters.switches` are those of the main thread only ([`Pass::switches_by_thread`]): a sum over living threads would fall
    /// when one of them ends, so the process table keeps the last count of each thread. `counters.run_queue_wait_ns` is `None`:
    /// only `schedstat` of single tasks has it, which would be one more file for each, and no file has it for threads that ended.
    /// `counters.io` is `None` if unreadable, which counts as a partial error.
    pub fn samples(&mut self, tgids: &[u32]) -> Vec<Sampled> {
        let wanted = tgids.iter().map(|tgid| (*tgid, Extent::Whole));
        self.passes.samples(&mut self.access, wanted)
    }

    /// Process ids in the procfs root, which is opened anew.
    ///
    /// # Errors
    /// [`ProcfsError::Root`] if it cannot be listed.
    pub fn list(&mut self) -> Result<Vec<u32>, ProcfsError> {
        self.access.files.list()
    }

    /// Names and owner of a process: comm and parent from `stat`, `cmdline`, effective uid from `status`, `cgroup`, and, where
    /// they are wanted ([`Procfs::with_cwd`], [`Procfs::with_pods`]), `cwd` and the names of the pod.
    ///
    /// `start_ns` is the start of the wanted process, exact to the nanosecond or to the tick; [`Facts::start_ns`] then has this
    /// value. With `None`, the wanted process is the one that has the number now. An unreadable `cgroup` makes `cgroups` empty
    /// and the facts incomplete, but is no error; an unreadable `cwd` is a partial error. An exec while the files are read shows
    /// as a changed comm; the files are then read once more.
    ///
    /// # Errors
    /// [`ProcfsError::Gone`] if the process ended or another one has its number, before or after the reading; any other error if
    /// `stat`, `cmdline` or `status` cannot be read, which counts as a read error.
    pub fn facts(&mut self, tgid: u32, start_ns: Option<u64>) -> Result<Facts, ProcfsError> {
        self.facts_within(tgid, start_ns, Arguments::MAX_BYTES)
    }

    /// Like [`Procfs::facts`], with at most so many bytes of arguments; fewer than [`Arguments::MAX_BYTES`] cost less.
    ///
    /// # Errors
    /// As [`Procfs::facts`].
    pub fn facts_within(
        &mut self,
        tgid: u32,
        start_ns: Option<u64>,
        argv_bytes: usize,
    ) -> Result<Facts, ProcfsError> {
        let access = &mut self.access;
        let facts = self.facts.read(access, tgid, start_ns, argv_bytes);
        access.failures.hard(facts)
    }

    /// Facts of a process whose files do not answer, from `status` and `cgroup`, which wait for no lock that a process can hold.
    /// The task name takes the place of the arguments. `None` if the process is gone.
    pub fn brief_facts(&mut self, id: ProcessId) -> Option<Facts> {
        self.facts.read_brief(&mut self.access, id)
    }

    /// Counts a process as a read error that is known to live although the procfs root does not show it.
    pub fn count_concealed(&mut self, tgid: u32) {
        self.access.failures.count_concealed(tgid);
    }

    /// Begins a new answer: the time for command lines that are slow to read starts anew.
    pub fn begin_view(&mut self) {
        self.viewers.begin();
    }

    /// Reads the names and owner of the process with this number and start, and its command line if `wants_argv`.
    ///
    /// A command line that does not come at once is left out: all command lines of one answer together take no longer than one
    /// slow file and a little.
    ///
    /// # Errors
    /// [`ProcfsError::Gone`] if the process ended or another one has its number; any other error if `stat` cannot be read.
    pub fn appearance(
        &mut self,
        id: ProcessId,
        wants_argv: bool,
    ) -> Result<Appearance, ProcfsError> {
        let (access, users) = (&mut self.access, &mut self.facts.users);
        Appearance::read(access, &mut self.viewers, users, id, wants_argv)
    }

    /// The fields of `stat` that the agent uses, in the file's units.
    ///
    /// # Errors
    /// The process is gone, or `stat` cannot be read, which counts as a read error.
    pub fn stat(&mut self, tgid: u32) -> Result<Stat, ProcfsError> {
        let stat = self.read_stat(tgid);
        self.access.failures.hard(stat)
    }

    fn read_stat(&mut self, tgid: u32) -> Result<Stat, ProcfsError> {
        let dir = self.access.files.open(tgid)?;
        self.access
            .read_patiently(tgid, dir.as_fd(), stat::FILE, stat::parse_stat)
    }

    /// Start of a process, nanoseconds since boot, as exact as the clock tick. A failure counts as no error.
    ///
    /// # Errors
    /// The process is gone, or `stat` cannot be read.
    pub fn start_ns(&mut self, tgid: u32) -> Result<u64, ProcfsError> {
        let stat = self.read_stat(tgid)?;
        Ok(stat.start_ticks.saturating_mul(self.host().tick_ns))
    }

    /// The fields of `stat` of one thread. A failure counts as no error, because threads end all the time.
    ///
    /// # Errors
    /// The process or thread is gone, or its `stat` cannot be read.
    pub fn thread_stat(&mut self, tgid: u32, tid: u32) -> Result<Stat, ProcfsError> {
        let files = &mut self.access.files;
        let dir = files.open(tgid)?;
        let task = files.open_task(tgid, dir.as_fd())?;
        files.read_of_thread((tgid, tid), task.as_fd(), stat::FILE, stat::parse_stat)
    }

    /// Memory of a process, for callers that have its other facts from elsewhere.
    ///
    /// # Errors
    /// The process is gone, or `stat` or `status` cannot be read, which counts as a read error.
    pub fn memory(&mut self, tgid: u32) -> Result<Memory, ProcfsError> {
        let memory = self.read_memory(tgid);
        self.access.failures.hard(memory)
    }

    fn read_memory(&mut self, tgid: u32) -> Result<Memory, ProcfsError> {
        let access = &mut self.access;
        let dir = access.files.open(tgid)?;
        let dir = dir.as_fd();
        let stat = access.read_patiently(tgid, dir, stat::FILE, stat::parse_stat)?;
        let files = &mut access.files;
        let status = files.read(tgid, dir, status::FILE, status::parse_status)?;
        Ok(sampler::memory(&stat, &status, files.host().page_size))
    }

    /// Number of open descriptors: from Linux 6.2 on the size of `<pid>/fd`, which needs no privilege, before that its entries,
    /// counted. The procfs crate counts `.` and `..` as well, so each kernel thread would have two.
    ///
    /// # Errors
    /// The process is gone, or `fd` cannot be read, which counts as a partial error.
    pub fn open_files(&mut self, tgid: u32) -> Result<u64, ProcfsError> {
        let files = &mut self.access.files;
        let count = files
            .open(tgid)
            .and_then(|dir| files.count_fds(tgid, dir.as_fd(), self.has_fd_sizes));
        self.access.failures.soft(tgid, count)
    }

    /// Kernel function that a thread sleeps in; `None` if it does not sleep, or if the agent has no right to trace it.
    ///
    /// `tid == tgid` is the main thread: its file is `<pid>/wchan`, that of other threads `<pid>/task/<tid>/wchan`.
    ///
    /// # Errors
    /// The process or thread is gone, or `wchan` cannot be read, which counts as a partial error of the process.
    pub fn wchan(&mut self, tgid: u32, tid: u32) -> Result<Option<String>, ProcfsError> {
        let found = self.read_wchan(tgid, tid);
        self.access.failures.soft(tgid, found)
    }

    fn read_wchan(&mut self, tgid: u32, tid: u32) -> Result<Option<String>, ProcfsError> {
        let files = &mut self.access.files;
        let dir = files.open(tgid)?;
        if tid == tgid {
            return self.read_wchan_in(tgid, dir.as_fd());
        }
        let task = files.open_task(tgid, dir.as_fd())?;
        let thread = files.open_thread((tgid, tid), task.as_fd())?;
        self.read_wchan_of((tgid, tid), task.as_fd(), thread.as_fd())
    }

    /// Reads `wchan` in the directory of the thread, which is in `task`.
    fn read_wchan_of(
        &mut self,
        (tgid, tid): (u32, u32),
        task: BorrowedFd<'_>,
        thread: BorrowedFd<'_>,
    ) -> Result<Option<String>, ProcfsError> {
        let found = self.read_wchan_in(tgid, thread);
        // The thread may have ended since its directory was opened.
        if found.is_err() && !self.access.files.has_thread(task, tid) {
            return Err(ProcfsError::Gone { tgid });
        }
        found
    }

    fn read_wchan_in(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
    ) -> Result<Option<String>, ProcfsError> {
        self.access.read_patiently(tgid, dir, wchan::FILE, |bytes| {
            Some(wchan::parse_wchan(bytes))
        })
    }

    /// The process that a thread belongs to; `None` if the thread is gone.
    pub fn process_of(&mut self, tid: u32) -> Option<u32> {
        let files = &mut self.access.files;
        let dir = files.open(tid).ok()?;
        let tgid = files.read(tid, dir.as_fd(), status::FILE, status::parse_tgid);
        tgid.ok()
    }

    /// The user to whom a process is charged if it blocks a reader; `u32::MAX` if the process is gone.
    pub fn user(&mut self, tgid: u32) -> u32 {
        self.access.user(tgid)
    }

    /// The share of the process `id` in the memory that it maps. Takes up to seconds, and may block.
    ///
    /// # Errors
    /// The process is gone, has no memory, or its files cannot be read (of another user's process, without privilege).
    pub fn proportional(&mut self, id: ProcessId) -> Result<Proportional, ProcfsError> {
        smaps::read(&mut self.access.files, id)
    }

    /// Reads `/proc/stat`: the time that each CPU ran no task, and the tasks created. `None` if it cannot be read.
    pub fn read_node(&mut self) -> Option<NodeReading> {
        let (tick_ns, begun_ns) = (self.host().tick_ns, monotonic_ns());
        self.access.files.read_of_node(node::FILE, |bytes| {
            NodeReading::parse(bytes, tick_ns, begun_ns)
        })
    }

    /// Number of tasks of the whole node; `None` if unreadable.
    pub fn tasks(&mut self) -> Option<u64> {
        self.access
            .files
            .read_of_node(loadavg::FILE, loadavg::parse_tasks)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use proptest::prelude::*;

    use super::*;

    fn parse_all(bytes: &[u8]) {
        let _ = stat::parse_stat(bytes);
        let _ = stat::parse_comm(bytes);
        let _ = status::parse_status(bytes);
        let _ = io::parse_io(bytes);
        let _ = limits::parse_fd_limit(bytes);
        let _ = crate::process::Arguments::of_file(bytes);
        let _ = cgroup::parse_cgroup(bytes);
        let _ = wchan::parse_wchan(bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes: Vec<u8>) {
            parse_all(&bytes);
        }

        #[test]
        fn broken_file_is_parsed_without_panic(at in 0usize..2000, with: Vec<u8>, cut in 0usize..2000) {
            for file in ["stat", "status", "io", "limits", "cmdline", "cgroup"] {
                let mut bytes = std::fs::read(format!("/proc/self/{file}")).unwrap();
                let at = at.min(bytes.len());
                bytes.splice(at..(at + with.len()).min(bytes.len()), with.iter().copied());
                bytes.truncate(cut.max(at));
                parse_all(&bytes);
            }
        }
    }

    #[test]
    fn thread_that_ends_while_it_is_read_is_gone() {
        let (tid_sender, tids) = channel();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            // SAFETY: `gettid` has no arguments and returns a number.
            tid_sender.send(unsafe { libc::gettid() }).unwrap();
            let _ = ended.recv();
        });
        let tid = u32::try_from(tids.recv().unwrap()).unwrap();
        let mut procfs = Procfs::new(Host::detect("/proc", "/").unwrap());
        let tgid = std::process::id();
        let files = &mut procfs.access.files;
        let process = files.open(tgid).unwrap();
        let task = files.open_task(tgid, process.as_fd()).unwrap();
        let thread_dir = files.open_thread((tgid, tid), task.as_fd()).unwrap();
        let mut read = || procfs.read_wchan_of((tgid, tid), task.as_fd(), thread_dir.as_fd());
        assert!(read().is_ok());
        drop(end);
        thread.join().unwrap();
        // `join` may return before the kernel has removed the directory of the thread.
        while std::fs::exists(format!("/proc/self/task/{tid}")).unwrap() {
            std::thread::yield_now();
        }
        assert!(read().is_err_and(|error| error.is_gone()));
    }
}

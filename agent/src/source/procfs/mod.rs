//! Reads `/proc` file by file: everything in the procfs tier, and in the kernel tiers what the kernel programs cannot report.
//!
//! In comes a [`Host`]. Out go [`Pass`]es over all processes ([`Procfs::pass`]) and facts of single processes ([`Procfs::facts`],
//! [`Procfs::open_files`], [`Procfs::wchan`], …). Each kernel file has one file here, which parses bytes and does no IO. `file`
//! and `directory` do the reading; `pass`, `names` and `single` decide the order of reading.
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
//!
//! [`Pass`]: crate::process::Pass

mod appearance;
mod cgroup;
mod cmdline;
mod decimal;
mod directory;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod io;
mod limits;
mod names;
mod node;
mod owners;
mod pass;
mod patient;
mod relay;
mod single;
mod smaps;
mod stat;
mod status;
mod wchan;

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

pub use appearance::Appearance;
pub(super) use cgroup::parse_cgroup;
pub use error::{Error, ErrorCounts};
pub use node::{Away, NodeReading};
pub use relay::Sampled;
pub use stat::Stat;

use super::pods::Pods;
use super::users::Users;
use super::{Fact, Origin, Statistics, Tier};
use crate::host::{Host, monotonic_ns};
use directory::Lister;
use file::{Buffer, Name};
use owners::Owners;
use patient::Patient;
use relay::{Progress, Relay};

/// Reads `/proc`. Its buffers are reused from file to file, so each thread needs its own.
#[derive(Debug)]
pub struct Procfs {
    host: Host,
    users: Users,
    root: Option<Arc<OwnedFd>>,
    buffer: Buffer,
    name: Name,
    lister: Lister,
    /// Reads single files that may block the reading thread.
    patient: Patient,
    /// Reads processes for a pass; these readings may block the reading thread, too.
    relay: Relay,
    /// Reads single files that may block, for a person who looks at the page.
    viewers: Patient,
    /// Whether the size of `<pid>/fd` is the number of descriptors on this kernel (Linux 6.2 and later).
    fd_sizes: bool,
    /// Whether readings include the usage of single threads.
    threads_wanted: bool,
    /// Whether [`Procfs::facts`] reads `cwd`.
    wants_cwd: bool,
    /// Whether [`Procfs::facts`] looks for the names of pods.
    wants_pods: bool,
    pods: Pods,
    errors: ErrorCounts,
    /// Processes counted in `errors.partial` since the pass began.
    partial: HashSet<u32>,
    /// Number of readings so far; gives each reading its own marker.
    readings: u64,
    /// Progress of this reader, for the thread that waits for it.
    progress: Arc<Progress>,
    /// Finds the user to whom a blocked reader is charged.
    owners: Owners,
}

impl Procfs {
    /// Makes a reader of `host`'s procfs root. Reads nothing of a process yet.
    pub fn new(host: Host) -> Self {
        // Linux 6.2 made the size of `fd` the number of entries. The agent has open descriptors, so 0 means an older kernel. A
        // directory in a tree of files has a size, too, but it is not a number of descriptors.
        let own = std::fs::metadata(host.procfs.join("self/fd"));
        let fd_sizes = host.is_procfs_mount() && own.is_ok_and(|meta| meta.len() > 0);
        Self {
            users: Users::new(host.passwd()),
            root: None,
            buffer: Buffer::default(),
            name: Name::default(),
            lister: Lister::default(),
            patient: Patient::default(),
            relay: Relay::default(),
            viewers: Patient::for_viewers(),
            fd_sizes,
            threads_wanted: false,
            wants_cwd: false,
            wants_pods: false,
            owners: Owners::new(host.passwd(), host.subuid()),
            pods: Pods::new(host.container_logs(), host.procfs.join("1/cgroup")),
            host,
            errors: ErrorCounts::default(),
            partial: HashSet::new(),
            readings: 0,
            progress: Arc::default(),
        }
    }

    /// Sets whether readings include the usage of single threads.
    #[must_use]
    pub const fn with_threads(mut self, wanted: bool) -> Self {
        self.threads_wanted = wanted;
        self
    }

    /// Sets whether [`Procfs::facts`] reads the working directory: one more call for each process, and one that needs the right
    /// to trace it.
    #[must_use]
    pub const fn with_cwd(mut self, is_wanted: bool) -> Self {
        self.wants_cwd = is_wanted;
        self
    }

    /// Sets whether [`Procfs::facts`] looks for the names of pods.
    #[must_use]
    pub const fn with_pods(mut self, is_wanted: bool) -> Self {
        self.wants_pods = is_wanted;
        self
    }

    /// Sets whether [`Procfs::facts`] reads the working directory from now on.
    pub const fn want_cwd(&mut self, is_wanted: bool) {
        self.wants_cwd = is_wanted;
    }

    /// Sets whether [`Procfs::facts`] looks for the names of pods from now on.
    pub const fn want_pods(&mut self, is_wanted: bool) {
        self.wants_pods = is_wanted;
    }

    /// Whether readings include the usage of single threads.
    pub const fn wants_threads(&self) -> bool {
        self.threads_wanted
    }

    /// The host whose `/proc` is read.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The id of the container that the node runs in; `None` if it runs in none, or if the names of pods are not wanted.
    pub fn node(&self) -> Option<&str> {
        self.pods.node().filter(|_| self.wants_pods)
    }

    /// Numbers of failed readings so far.
    pub const fn errors(&self) -> ErrorCounts {
        self.errors
    }

    /// Statistics of the procfs tier: no kernel programs, and `/proc` as the origin of every fact that it has.
    pub fn statistics(&self) -> Statistics {
        use Fact::{
            Cpu, CpuSplit, ExitStatus, Faults, FileLimit, FinalIoFaults, Io, Lifecycle, Memory,
            Names, OpenFiles, RunQueueWait, Switches, Threads, Wchan,
        };
        let read = |fact| (fact, Origin::Procfs);
        Statistics {
            tier: Tier::Procfs,
            facts: vec![
                read(Cpu),
                read(CpuSplit),
                read(Io),
                read(Memory),
                read(Faults),
                read(Switches),
                (RunQueueWait, Origin::Absent),
                read(Threads),
                read(Wchan),
                read(OpenFiles),
                read(FileLimit),
                (Lifecycle, Origin::Absent),
                (ExitStatus, Origin::Absent),
                (FinalIoFaults, Origin::Absent),
                read(Names),
            ],
            scrape_errors: self.errors.scrape,
            procread_errors: self.errors.procread,
            partial_errors: self.errors.partial,
            held_up: self.held_up() as u64,
            reads_refused: self.relay.refused() + self.patient.refused() + self.viewers.refused(),
            pod_link_failures: self.wants_pods.then(|| self.pods.failures()),
            ..Statistics::default()
        }
    }

    /// Reads `/proc/stat`: the time that each CPU ran no task, and the tasks created. `None` if it cannot be read.
    pub fn read_node(&mut self) -> Option<NodeReading> {
        if self.root.is_none() {
            self.open_root().ok()?;
        }
        let root = self.root.as_ref()?;
        let (tick_ns, begun_ns) = (self.host.tick_ns, monotonic_ns());
        let read = self.buffer.read_whole(root.as_fd(), c"stat", node::LIMIT);
        let bytes = read
            .inspect_err(|error| log::debug!("stat: {error}"))
            .ok()?;
        NodeReading::parse(bytes, tick_ns, begun_ns)
    }

    /// Threads that are blocked in a read.
    fn held_up(&self) -> usize {
        self.relay.held_up() + self.patient.held_up() + self.viewers.held_up()
    }

    /// Opens the procfs root anew, because another file system may have been mounted there.
    fn open_root(&mut self) -> Result<(), Error> {
        self.root = None;
        let root = file::open_root(&self.host.procfs).map_err(|source| Error::Root {
            path: self.host.procfs.clone(),
            source,
        })?;
        self.root = Some(Arc::new(root));
        Ok(())
    }

    /// Opens the directory of a process. Files opened in it belong to that process, never to a later one with the same number.
    fn open(&mut self, tgid: u32) -> Result<OwnedFd, Error> {
        if self.root.is_none() {
            self.open_root()?;
        }
        let Some(root) = &self.root else {
            return Err(Error::Gone { tgid });
        };
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        file::open_at(root.as_fd(), self.name.of(tgid, ""), flags)
            .map_err(|source| self.failure(tgid, c"directory", source))
    }

    /// Reads one file of a process with a single `read` call and parses it.
    fn read<T>(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        let parsed = self.buffer.read(dir, file, cap).map(parse);
        self.judge(tgid, file, parsed)
    }

    /// Reads and parses a file whose read may block; another thread reads it.
    fn read_patiently<T>(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        let bytes = self.patient.read(&mut self.owners, tgid, dir, (file, cap));
        self.judge(tgid, file, bytes.map(|bytes| parse(&bytes)))
    }

    /// The user to whom a process is charged if it blocks a reader; `u32::MAX` if the process is gone.
    pub fn user(&mut self, tgid: u32) -> u32 {
        match self.open(tgid) {
            Ok(directory) => self.owners.of(directory.as_fd()),
            Err(_) => u32::MAX,
        }
    }

    fn judge<T>(
        &mut self,
        tgid: u32,
        file: &'static CStr,
        parsed: std::io::Result<Option<T>>,
    ) -> Result<T, Error> {
        match parsed {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Error::Malformed {
                tgid,
                file: text(file),
            }),
            Err(source) => Err(self.failure(tgid, file, source)),
        }
    }

    fn failure(&mut self, tgid: u32, file: &'static CStr, source: std::io::Error) -> Error {
        match source.raw_os_error() {
            Some(libc::ESRCH) => Error::Gone { tgid },
            Some(libc::ENOENT) if !self.exists(tgid) => Error::Gone { tgid },
            Some(libc::EACCES | libc::EPERM) => Error::Denied {
                tgid,
                file: text(file),
            },
            _ => Error::Io {
                tgid,
                file: text(file),
                source,
            },
        }
    }

    fn exists(&mut self, tgid: u32) -> bool {
        let Some(root) = &self.root else { return false };
        file::size_at(root.as_fd(), self.name.of(tgid, "")).is_ok()
    }

    /// Counts a failed read without which the process cannot be shown.
    fn hard<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.count_hard(&result);
        result
    }

    fn count_hard<T>(&mut self, result: &Result<T, Error>) {
        if let Err(error) = result
            && !error.is_gone()
        {
            self.errors.procread += 1;
            log::debug!("{error}");
        }
    }

    /// Counts a failed read that leaves one fact absent.
    fn soft<T>(&mut self, tgid: u32, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result
            && !error.is_gone()
        {
            self.errors.partial += u64::from(self.partial.insert(tgid));
            log::debug!("{error}");
        }
        result
    }
}

// The names are ASCII constants.
fn text(file: &'static CStr) -> &'static str {
    file.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        fn no_bytes_stop_a_parser(bytes: Vec<u8>) {
            parse_all(&bytes);
        }

        #[test]
        fn no_broken_file_stops_a_parser(at in 0usize..2000, with: Vec<u8>, cut in 0usize..2000) {
            for file in ["stat", "status", "io", "limits", "cmdline", "cgroup"] {
                let mut bytes = std::fs::read(format!("/proc/self/{file}")).unwrap();
                let at = at.min(bytes.len());
                bytes.splice(at..(at + with.len()).min(bytes.len()), with.iter().copied());
                bytes.truncate(cut.max(at));
                parse_all(&bytes);
            }
        }
    }
}

//! Reads single files whose read may block for ever, on a thread that the agent may leave behind.
//!
//! `cmdline` waits for the lock of the process's mappings, which a process that is stuck in a page fault may hold for ever
//! (process-exporter #309). `stat`, `wchan` and `cwd`, on newer kernels, wait for the lock that an exec of the process holds.
//!
//! In come a directory, a name in it and a cap; out go bytes, or [`io::ErrorKind::TimedOut`]. A thread that sleeps in the same
//! read at two checks (`thread_state`) is left to its file and replaced. While it is blocked, that file of that process is not
//! read again. [`HELD_UP`] limits the threads that are left behind, per user of the processes; at the limit, further files of
//! this user are not read until a thread returns, and each refusal is counted. All waiting between two calls of
//! [`Patient::begin`] takes no longer than [`PASS`] and a little for each file.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    file::{self, Buffer},
    owners::Owners,
};
use crate::source::{
    bound::Bound,
    thread_state::{ThreadState, receive},
};

/// Time that the thread may sleep in one file.
const FILE: Duration = Duration::from_millis(200);
/// Time that all files of a pass may take together…
const PASS: Duration = Duration::from_secs(1);
/// …and the time for one file once that is used up: a normal read takes some microseconds.
const LEAST: Duration = Duration::from_millis(5);
/// Threads that may be blocked at a time.
const HELD_UP: Bound = Bound {
    root: 32,
    each: 8,
    others: 64,
};

/// The limit for reads for a person at the page: they take no thread, and little time, from the reads for scrapes.
const VIEWERS_HELD_UP: Bound = Bound {
    root: 4,
    each: 2,
    others: 8,
};

/// The current reading thread, and the threads that are left behind.
#[derive(Debug)]
pub(super) struct Patient {
    reader: Option<Reader>,
    held_up: Vec<Held>,
    /// Threads that may be blocked at a time.
    bound: Bound,
    /// Files that were not read because of this limit.
    refused: u64,
    /// Time that all files of a pass may take together.
    pass: Duration,
    waited: Duration,
}

impl Default for Patient {
    fn default() -> Self {
        Self {
            reader: None,
            held_up: Vec::new(),
            bound: HELD_UP,
            refused: 0,
            pass: PASS,
            waited: Duration::ZERO,
        }
    }
}

/// A thread that is blocked.
#[derive(Debug)]
struct Held {
    tgid: u32,
    name: &'static CStr,
    /// The user to whom its process is charged.
    user: u32,
    reader: Reader,
}

struct Job {
    directory: OwnedFd,
    name: &'static CStr,
    what: What,
}

/// The part of a file that is read.
#[derive(Debug, Clone, Copy)]
enum What {
    /// Its content, up to this number of bytes.
    Content(usize),
    /// The target of the link.
    Target,
}

/// A thread that reads one file after another. It ends when this value is dropped.
#[derive(Debug)]
struct Reader {
    jobs: SyncSender<Job>,
    answers: Receiver<io::Result<Vec<u8>>>,
    state: Arc<ThreadState>,
}

impl Patient {
    /// Makes a reader with limits of its own, for the page: an answer takes no longer than one slow file and a little.
    pub(super) fn for_viewers() -> Self {
        Self {
            bound: VIEWERS_HELD_UP,
            pass: FILE,
            ..Self::default()
        }
    }

    /// Begins a pass: the waiting time starts anew.
    pub(super) fn begin(&mut self) {
        self.waited = Duration::ZERO;
        self.held_up.retain(|held| !held.reader.has_answered());
    }

    /// Reads at most `cap` bytes of the file `name` in the directory of the process `tgid`. If the read blocks, it counts against
    /// the user id that `owners` finds.
    pub(super) fn read(
        &mut self,
        owners: &mut Owners,
        tgid: u32,
        directory: BorrowedFd<'_>,
        (name, cap): (&'static CStr, usize),
    ) -> io::Result<Vec<u8>> {
        self.ask(owners, tgid, directory, (name, What::Content(cap)))
    }

    /// Reads the target of the link `name`.
    pub(super) fn read_link(
        &mut self,
        owners: &mut Owners,
        tgid: u32,
        directory: BorrowedFd<'_>,
        name: &'static CStr,
    ) -> io::Result<Vec<u8>> {
        self.ask(owners, tgid, directory, (name, What::Target))
    }

    fn ask(
        &mut self,
        owners: &mut Owners,
        tgid: u32,
        directory: BorrowedFd<'_>,
        (name, what): (&'static CStr, What),
    ) -> io::Result<Vec<u8>> {
        let is_same = |held: &Held| (held.tgid, held.name) == (tgid, name);
        if self.held_up.iter().any(is_same) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let users = self.held_up.iter().map(|held| held.user);
        let has_room = self.bound.is_far(self.held_up.len())
            || self.bound.has_room(users, owners.of(directory));
        if !has_room {
            self.refused += 1;
            return Err(io::ErrorKind::TimedOut.into());
        }
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::start()?,
        };
        let job = Job {
            directory: directory.try_clone_to_owned()?,
            name,
            what,
        };
        if reader.jobs.send(job).is_err() {
            return Err(io::Error::other("the reading thread has ended"));
        }
        let begun = Instant::now();
        let answer = receive(&reader.answers, &reader.state, self.patience() / 2);
        self.waited += begun.elapsed();
        match answer {
            Ok(result) => {
                self.reader = Some(reader);
                result
            }
            Err(RecvTimeoutError::Timeout) => {
                self.held_up.push(Held {
                    tgid,
                    name,
                    user: owners.of(directory),
                    reader,
                });
                Err(io::ErrorKind::TimedOut.into())
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("the reading thread has ended"))
            }
        }
    }

    /// Files that were not read because of the limit.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Threads that are blocked.
    pub(super) const fn held_up(&self) -> usize {
        self.held_up.len()
    }

    /// Whether the waiting time of this pass is not used up.
    pub(super) fn has_time(&self) -> bool {
        self.waited < self.pass
    }

    fn patience(&self) -> Duration {
        FILE.min(self.pass.saturating_sub(self.waited)).max(LEAST)
    }
}

impl Reader {
    fn start() -> io::Result<Self> {
        let (jobs, todo) = sync_channel::<Job>(1);
        let (done, answers) = sync_channel(1);
        let state = Arc::<ThreadState>::default();
        let theirs = Arc::clone(&state);
        thread::Builder::new()
            .name("headcount-read".to_owned())
            .spawn(move || {
                theirs.publish();
                let mut buffer = Buffer::default();
                for job in todo {
                    let directory = job.directory.as_fd();
                    let bytes = match job.what {
                        What::Content(cap) => buffer
                            .read_whole(directory, job.name, cap)
                            .map(<[u8]>::to_vec),
                        What::Target => file::read_link_at(directory, job.name),
                    };
                    // The agent drops the channel of a blocked thread when it ends or removes it; then no answer is wanted.
                    if done.send(bytes).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            jobs,
            answers,
            state,
        })
    }

    /// Whether it has answered or ended. A thread that was blocked is not used again; dropping it ends it.
    fn has_answered(&self) -> bool {
        !matches!(self.answers.try_recv(), Err(TryRecvError::Empty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const NAME: &CStr = c"cmdline";

    fn owners() -> Owners {
        Owners::new(Default::default(), Default::default())
    }

    #[test]
    fn user_at_the_bound_leaves_threads_for_other_users_and_is_counted() {
        let folders: Vec<_> = (0..12).map(|_| tempfile::tempdir().unwrap()).collect();
        let dirs = folders.iter().map(|folder| File::open(folder.path()));
        let dirs: Vec<File> = dirs.map(Result::unwrap).collect();
        for (n, folder) in folders.iter().enumerate() {
            let uid = if n < 11 { 1000 } else { 1001 };
            let text = format!("Name:\ta\nPPid:\t1\nUid:\t{uid}\t0\t0\t0\n");
            std::fs::write(folder.path().join("status"), text).unwrap();
            if n < 10 {
                fifo(folder.path());
            } else {
                std::fs::write(folder.path().join("cmdline"), "a").unwrap();
            }
        }
        let (mut patient, mut owners) = (Patient::default(), owners());
        let mut read = |n: u32| patient.read(&mut owners, n, dirs[n as usize].as_fd(), (NAME, 100));
        for n in 0..11 {
            assert_eq!(read(n).unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(read(11).unwrap(), b"a", "another user's");
        assert_eq!((patient.held_up(), patient.refused()), (HELD_UP.each, 3));
    }

    fn fifo(folder: &std::path::Path) {
        let status = std::process::Command::new("mkfifo")
            .arg(folder.join("cmdline"))
            .status()
            .unwrap();
        assert!(status.success());
    }

    #[test]
    fn a_file_that_never_answers_holds_up_its_own_process_only() {
        let (stuck, well) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fifo(stuck.path());
        std::fs::write(well.path().join("cmdline"), "a\0b\0").unwrap();
        let (stuck_dir, well_dir) = (
            File::open(stuck.path()).unwrap(),
            File::open(well.path()).unwrap(),
        );
        let mut patient = Patient::default();
        let mut owners = owners();
        let mut read = |patient: &mut Patient, tgid, dir: &File| {
            patient.read(&mut owners, tgid, dir.as_fd(), (NAME, 100))
        };
        let error = read(&mut patient, 1, &stuck_dir).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(read(&mut patient, 2, &well_dir).unwrap(), b"a\0b\0");
        let before = patient.waited;
        assert!(read(&mut patient, 1, &stuck_dir).is_err());
        assert_eq!(patient.waited, before, "it was asked again");
        // The test writes to the pipe, so the thread returns, and the file may be read again.
        std::fs::write(stuck.path().join("cmdline"), "late").unwrap();
        while !patient.held_up.is_empty() {
            patient.begin();
        }
        std::fs::remove_file(stuck.path().join("cmdline")).unwrap();
        std::fs::write(stuck.path().join("cmdline"), "now").unwrap();
        assert_eq!(read(&mut patient, 1, &stuck_dir).unwrap(), b"now");
    }

    #[test]
    fn reads_for_viewers_leave_few_threads_behind() {
        let folder = tempfile::tempdir().unwrap();
        fifo(folder.path());
        let dir = File::open(folder.path()).unwrap();
        let (mut patient, mut owners) = (Patient::for_viewers(), owners());
        for tgid in 0..9 {
            let read = patient.read(&mut owners, tgid, dir.as_fd(), (NAME, 100));
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(patient.held_up.len(), VIEWERS_HELD_UP.root);
        assert!(!patient.has_time());
        patient.begin();
        assert!(patient.has_time());
    }

    #[test]
    fn patience_ends_but_for_the_least() {
        let patient = Patient {
            waited: PASS,
            ..Patient::default()
        };
        assert_eq!(patient.patience(), LEAST);
        assert_eq!(Patient::default().patience(), FILE);
    }
}

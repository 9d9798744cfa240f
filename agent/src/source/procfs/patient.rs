//! Reads single files whose read may block for ever, on a thread that the agent may leave behind ([`crate::blocking`]).
//!
//! `cmdline` waits for the lock of the process's mappings, which a process that is stuck in a page fault may hold for ever
//! (process-exporter #309). `stat`, `wchan` and `cwd`, on newer kernels, wait for the lock that an exec of the process holds.
//!
//! In come a directory, a name in it and a cap; out go bytes, or [`io::ErrorKind::TimedOut`]. While a reader is held up, that
//! file of that process is not read again. All waiting between two calls of [`Patient::begin`] takes no longer than [`PASS`] and
//! a little for each file.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::file::{self, Buffer};
use super::owners::Owners;
use crate::blocking::{Bound, EACH, Patience, Pool, Replies};

const THREAD: &str = "headcount-read";
/// Time that all files of a pass may take together…
const PASS: Duration = Duration::from_secs(1);
/// …and the time for one file once that is used up: a normal read takes some microseconds.
const LEAST: Duration = Duration::from_millis(5);
/// Readers that may be held up at a time.
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

/// Reads single files of processes.
#[derive(Debug)]
pub(super) struct Patient {
    /// A reader waits for a file of this name of the process with this number.
    pool: Pool<(u32, &'static CStr), FileRequest, io::Result<Vec<u8>>>,
    patience: Patience,
}

#[derive(Debug)]
struct FileRequest {
    directory: OwnedFd,
    name: &'static CStr,
    part: FilePart,
}

/// The part of a file that is read.
#[derive(Debug, Clone, Copy)]
enum FilePart {
    /// Its content, up to this number of bytes.
    Content(usize),
    /// The target of the link.
    Target,
}

impl Default for Patient {
    fn default() -> Self {
        Self {
            pool: Pool::new(THREAD, HELD_UP),
            patience: Patience::new(PASS, LEAST),
        }
    }
}

impl Patient {
    /// Makes a reader with limits of its own, for the page: an answer takes no longer than one slow file and a little.
    pub(super) fn for_viewers() -> Self {
        Self {
            pool: Pool::new(THREAD, VIEWERS_HELD_UP),
            patience: Patience::new(EACH, LEAST),
        }
    }

    /// Begins a pass: the waiting time starts anew.
    pub(super) fn begin(&mut self) {
        self.patience.begin();
        self.pool.release(drop);
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
        self.ask(owners, tgid, directory, (name, FilePart::Content(cap)))
    }

    /// Reads the target of the link `name`.
    pub(super) fn read_link(
        &mut self,
        owners: &mut Owners,
        tgid: u32,
        directory: BorrowedFd<'_>,
        name: &'static CStr,
    ) -> io::Result<Vec<u8>> {
        self.ask(owners, tgid, directory, (name, FilePart::Target))
    }

    fn ask(
        &mut self,
        owners: &mut Owners,
        tgid: u32,
        directory: BorrowedFd<'_>,
        (name, part): (&'static CStr, FilePart),
    ) -> io::Result<Vec<u8>> {
        let key = (tgid, name);
        let held_up = &mut self.pool.held_up;
        if held_up.keys().any(|held| *held == key) || !held_up.admits(|| owners.of(directory)) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let request = FileRequest {
            directory: directory.try_clone_to_owned()?,
            name,
            part,
        };
        let reader = self.pool.reader(|_| {
            let mut buffer = Buffer::default();
            move |request: FileRequest, replies: &Replies<_>| {
                replies.send(request.read(&mut buffer));
            }
        })?;
        reader.ask(request);
        let begun = Instant::now();
        let is_read = reader.wait(self.patience.look()).is_ok();
        self.patience.spend(begun.elapsed());
        if !is_read {
            self.pool.leave(key, owners.of(directory), reader);
            return Err(io::ErrorKind::TimedOut.into());
        }
        let reply = reader.replies().next();
        self.pool.keep(reader);
        reply.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Files that were not read because of the limit.
    pub(super) const fn refused(&self) -> u64 {
        self.pool.held_up.refused()
    }

    /// Readers that are held up.
    pub(super) const fn held_up(&self) -> usize {
        self.pool.held_up.len()
    }

    /// Whether the waiting time of this pass is not used up.
    pub(super) fn has_time(&self) -> bool {
        self.patience.is_left()
    }
}

impl FileRequest {
    fn read(self, buffer: &mut Buffer) -> io::Result<Vec<u8>> {
        let (directory, name) = (self.directory.as_fd(), self.name);
        match self.part {
            FilePart::Content(cap) => buffer.read_whole(directory, name, cap).map(<[u8]>::to_vec),
            FilePart::Target => file::read_link_at(directory, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

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
        let before = patient.patience.look();
        assert!(read(&mut patient, 1, &stuck_dir).is_err());
        assert_eq!(patient.patience.look(), before, "it was asked again");
        // The test writes to the pipe, so the thread returns, and the file may be read again.
        std::fs::write(stuck.path().join("cmdline"), "late").unwrap();
        while patient.held_up() > 0 {
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
        assert_eq!(patient.held_up(), VIEWERS_HELD_UP.root);
        assert!(!patient.has_time());
        patient.begin();
        assert!(patient.has_time());
    }
}

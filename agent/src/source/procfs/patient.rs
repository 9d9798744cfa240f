//! Reading single files that may never answer: `cmdline` waits for the lock of the process's mappings, which one that is stuck in
//! a page fault may hold for ever (process-exporter #309); `stat` and `wchan`, on newer kernels, for that of its exec.
//!
//! In: a directory, a name in it, a cap. Out: bytes, or [`io::ErrorKind::TimedOut`]. Another thread reads; one that does
//! not come back is left to its file and replaced. While it is held up, its process is not asked for that file again. At most [`HELD_UP`]
//! threads are left so; then nothing is read here until one comes back. All waiting between two calls of
//! [`Patient::begin`] takes no longer than [`PASS`] and a little for each file.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use super::file::Buffer;

/// How long one file may take.
const FILE: Duration = Duration::from_millis(200);
/// How long all files of a pass may take together…
const PASS: Duration = Duration::from_secs(1);
/// …and how long one may take when that is over: a reading takes some microseconds.
const LEAST: Duration = Duration::from_millis(5);
/// Threads that may be held up at a time.
const HELD_UP: usize = 64;

/// The same for those who read only for a person at the page: they take no thread and little time from the others.
const VIEWERS_HELD_UP: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Patient {
    reader: Option<Reader>,
    held_up: Vec<(u32, &'static CStr, Reader)>,
    /// Threads that may be held up at a time.
    most: usize,
    /// How long all files of a pass may take together.
    pass: Duration,
    waited: Duration,
}

impl Default for Patient {
    fn default() -> Self {
        Self {
            reader: None,
            held_up: Vec::new(),
            most: HELD_UP,
            pass: PASS,
            waited: Duration::ZERO,
        }
    }
}

struct Job {
    directory: OwnedFd,
    name: &'static CStr,
    cap: usize,
}

/// A thread that reads one file after another. It ends when this is dropped.
#[derive(Debug)]
struct Reader {
    jobs: SyncSender<Job>,
    answers: Receiver<io::Result<Vec<u8>>>,
}

impl Patient {
    /// One with bounds of its own, for what a person wants to see: an answer takes no longer than one slow file and a
    /// little.
    pub(super) fn for_viewers() -> Self {
        Self {
            most: VIEWERS_HELD_UP,
            pass: FILE,
            ..Self::default()
        }
    }

    /// A pass begins: there is time again.
    pub(super) fn begin(&mut self) {
        self.waited = Duration::ZERO;
        self.held_up.retain(|(_, _, reader)| !reader.has_answered());
    }

    /// Reads `name`, a file of the process `tgid` in its directory, up to `cap` bytes.
    pub(super) fn read(
        &mut self,
        tgid: u32,
        directory: BorrowedFd<'_>,
        name: &'static CStr,
        cap: usize,
    ) -> io::Result<Vec<u8>> {
        let is_same = |(one, file, _): &(u32, &CStr, Reader)| (*one, *file) == (tgid, name);
        if self.held_up.len() >= self.most || self.held_up.iter().any(is_same) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::start()?,
        };
        let job = Job {
            directory: directory.try_clone_to_owned()?,
            name,
            cap,
        };
        if reader.jobs.send(job).is_err() {
            return Err(io::Error::other("the reading thread has ended"));
        }
        let begun = Instant::now();
        let answer = reader.answers.recv_timeout(self.patience());
        self.waited += begun.elapsed();
        match answer {
            Ok(result) => {
                self.reader = Some(reader);
                result
            }
            Err(RecvTimeoutError::Timeout) => {
                self.held_up.push((tgid, name, reader));
                Err(io::ErrorKind::TimedOut.into())
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("the reading thread has ended"))
            }
        }
    }

    /// Threads that are held up.
    pub(super) const fn held_up(&self) -> usize {
        self.held_up.len()
    }

    /// Whether the time of this pass is not over.
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
        thread::Builder::new()
            .name("headcount-read".to_owned())
            .spawn(move || {
                let mut buffer = Buffer::default();
                for job in todo {
                    let bytes = buffer.read_whole(job.directory.as_fd(), job.name, job.cap);
                    // Nobody waits any more for one that was held up when the agent ends.
                    if done.send(bytes.map(<[u8]>::to_vec)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self { jobs, answers })
    }

    /// Whether it is held up no more, if only because it has ended. One that was is not used again; dropping it ends it.
    fn has_answered(&self) -> bool {
        !matches!(self.answers.try_recv(), Err(TryRecvError::Empty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const NAME: &CStr = c"cmdline";

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
        let read =
            |patient: &mut Patient, tgid, dir: &File| patient.read(tgid, dir.as_fd(), NAME, 100);
        let error = read(&mut patient, 1, &stuck_dir).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(read(&mut patient, 2, &well_dir).unwrap(), b"a\0b\0");
        let before = patient.waited;
        assert!(read(&mut patient, 1, &stuck_dir).is_err());
        assert_eq!(patient.waited, before, "it was asked again");
        // Somebody writes: its thread comes back, and it may be asked again.
        std::fs::write(stuck.path().join("cmdline"), "late").unwrap();
        while !patient.held_up.is_empty() {
            patient.begin();
        }
        std::fs::remove_file(stuck.path().join("cmdline")).unwrap();
        std::fs::write(stuck.path().join("cmdline"), "now").unwrap();
        assert_eq!(read(&mut patient, 1, &stuck_dir).unwrap(), b"now");
    }

    #[test]
    fn who_reads_for_a_person_leaves_few_threads_behind() {
        let folder = tempfile::tempdir().unwrap();
        fifo(folder.path());
        let dir = File::open(folder.path()).unwrap();
        let mut patient = Patient::for_viewers();
        for tgid in 0..9 {
            let error = patient.read(tgid, dir.as_fd(), NAME, 100).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(patient.held_up.len(), VIEWERS_HELD_UP);
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

//! The access to files that all readings for the state share: plain reads, reads that may block, and the count of failures.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use super::error::{Failures, ProcfsError};
use super::file_reader::FileReader;
use super::owners::Owners;
use super::patient::Patient;
use crate::host::Host;

/// ProcAccess to the files of processes for the thread that owns the state.
#[derive(Debug)]
pub(super) struct ProcAccess {
    pub(super) files: FileReader,
    /// Reads single files that may block the reading thread.
    patient: Patient,
    /// Finds the user to whom a blocked reader is charged.
    pub(super) owners: Owners,
    pub(super) failures: Failures,
}

impl ProcAccess {
    pub(super) fn new(host: Host) -> Self {
        Self {
            patient: Patient::default(),
            owners: Owners::new(host.passwd(), host.subuid()),
            failures: Failures::default(),
            files: FileReader::new(host),
        }
    }

    pub(super) fn begin_pass(&mut self) {
        self.failures.begin_pass();
        self.owners.begin();
        self.patient.begin();
    }

    /// Threads that are blocked in a read of a single file.
    pub(super) const fn held_up(&self) -> usize {
        self.patient.held_up()
    }

    /// Single files that were not read, because too many reads of the same user's processes are blocked.
    pub(super) const fn refused(&self) -> u64 {
        self.patient.refused()
    }

    /// Reads and parses a file whose read may block; another thread reads it.
    pub(super) fn read_patiently<T>(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
        (file, cap): (&'static CStr, usize),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ProcfsError> {
        let bytes = self.patient.read(&mut self.owners, tgid, dir, (file, cap));
        self.files
            .judge(tgid, file, bytes.map(|bytes| parse(&bytes)))
    }

    /// Reads the target of a link whose read may block; empty if there is no link.
    pub(super) fn read_link_patiently(
        &mut self,
        tgid: u32,
        dir: BorrowedFd<'_>,
        name: &'static CStr,
    ) -> Result<Vec<u8>, ProcfsError> {
        match self.patient.read_link(&mut self.owners, tgid, dir, name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            target => target.map_err(|source| self.files.failure(tgid, name, source)),
        }
    }

    /// The user to whom a process is charged if it blocks a reader; `u32::MAX` if the process is gone.
    pub(super) fn user(&mut self, tgid: u32) -> u32 {
        match self.files.open(tgid) {
            Ok(directory) => self.owners.of(directory.as_fd()),
            Err(_) => u32::MAX,
        }
    }
}

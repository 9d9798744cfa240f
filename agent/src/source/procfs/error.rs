//! Errors of reading a file of `/proc`, and their counts.

use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::path::PathBuf;

/// The reason for which a fact of a process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcfsError {
    /// The process or thread ended, or its number belongs to another one now. This is normal and not counted.
    #[error("process {tgid} is gone")]
    Gone {
        /// Process id that the caller asked for.
        tgid: u32,
    },
    /// The kernel or the file's mode denies access; the fact is absent.
    #[error("cannot read {file} of process {tgid}: permission denied")]
    Denied {
        /// Process id.
        tgid: u32,
        /// Name of the kernel file.
        file: &'static str,
    },
    /// The content is not as the kernel writes it.
    #[error("cannot parse {file} of process {tgid}")]
    Malformed {
        /// Process id.
        tgid: u32,
        /// Name of the kernel file.
        file: &'static str,
    },
    /// Any other error, such as a file that is missing although the process exists.
    #[error("cannot read {file} of process {tgid}: {source}")]
    Io {
        /// Process id.
        tgid: u32,
        /// Name of the kernel file.
        file: &'static str,
        /// Error that the kernel returned.
        source: io::Error,
    },
    /// The procfs root cannot be opened or listed: there is no pass this time.
    #[error("cannot list the processes in {}: {source}", path.display())]
    Root {
        /// The procfs root.
        path: PathBuf,
        /// Error that the kernel returned.
        source: io::Error,
    },
}

impl ProcfsError {
    /// Whether the process does not exist any more.
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// Whether the kernel has not answered in time, or the file was not read because another file of the process does not answer.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::TimedOut)
    }
}

/// Numbers of failed readings since the agent started; they never fall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErrorCounts {
    /// Passes that could not list the processes (`namedprocess_scrape_errors`).
    pub scrape: u64,
    /// Failed reads of processes that existed: of `stat`, `status`, `limits`, and of `cmdline` when the agent names the process
    /// (`namedprocess_scrape_procread_errors`).
    pub procread: u64,
    /// Processes of which `io`, `fd`, `wchan` or `task` could not be read, once per process and pass
    /// (`namedprocess_scrape_partial_errors`).
    pub partial: u64,
}

/// Counts failed readings, and writes each to the log.
#[derive(Debug, Default)]
pub(super) struct Failures {
    counts: ErrorCounts,
    /// Processes counted in `counts.partial` since the pass began.
    partial: HashSet<u32>,
}

impl Failures {
    pub(super) const fn counts(&self) -> ErrorCounts {
        self.counts
    }

    /// Begins a pass: each process may count as partial once more.
    pub(super) fn begin_pass(&mut self) {
        self.partial.clear();
    }

    pub(super) const fn count_failed_pass(&mut self) {
        self.counts.scrape += 1;
    }

    /// Counts a failed read without which the process cannot be shown.
    pub(super) fn count_hard<T>(&mut self, result: &Result<T, ProcfsError>) {
        if let Err(error) = result
            && !error.is_gone()
        {
            self.counts.procread += 1;
            log::debug!("{error}");
        }
    }

    /// Counts a process that seems to be gone, but is known to live.
    pub(super) fn count_concealed(&mut self, tgid: u32) {
        self.counts.procread += 1;
        log::debug!("process {tgid} lives, but the procfs root does not show it");
    }

    /// Counts a process of which one fact could not be read; a further fact of the same process in a pass counts no more.
    pub(super) fn count_partial(&mut self, tgid: u32) {
        self.counts.partial += u64::from(self.partial.insert(tgid));
    }

    /// Passes on the result of a read without which the process cannot be shown, and counts it if it failed.
    pub(super) fn hard<T>(&mut self, result: Result<T, ProcfsError>) -> Result<T, ProcfsError> {
        self.count_hard(&result);
        result
    }

    /// Passes on the result of a read of one fact that may be absent, and counts it if it failed.
    pub(super) fn soft<T>(
        &mut self,
        tgid: u32,
        result: Result<T, ProcfsError>,
    ) -> Result<T, ProcfsError> {
        if let Err(error) = &result
            && !error.is_gone()
        {
            self.count_partial(tgid);
            log::debug!("{error}");
        }
        result
    }
}

/// The name of a file for an error. All names are ASCII constants.
pub(super) fn text(file: &'static CStr) -> &'static str {
    file.to_str().unwrap_or_default()
}

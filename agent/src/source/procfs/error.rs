//! Errors of reading a file of `/proc`, and their counts.

use std::io;
use std::path::PathBuf;

/// Why a fact of a process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    #[error("{file} of process {tgid} is not as the kernel writes it")]
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

impl Error {
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

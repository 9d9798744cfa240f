//! What can go wrong when a file of `/proc` is read, and how often it did.

use std::io;
use std::path::PathBuf;

/// Why something of a process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process or thread ended, or its number belongs to another one now. Normal, and not counted.
    #[error("process {tgid} is gone")]
    Gone {
        /// Process id that was asked for.
        tgid: u32,
    },
    /// The kernel or the file's mode refuses; the fact stays absent.
    #[error("cannot read {file} of process {tgid}: permission denied")]
    Denied {
        /// Process id.
        tgid: u32,
        /// Name of the kernel file.
        file: &'static str,
    },
    /// The content is not what a kernel writes.
    #[error("{file} of process {tgid} is not as the kernel writes it")]
    Malformed {
        /// Process id.
        tgid: u32,
        /// Name of the kernel file.
        file: &'static str,
    },
    /// Anything else, among them a file that is missing while the process is there.
    #[error("cannot read {file} of process {tgid}: {source}")]
    Io {
        /// Process id.
        tgid: u32,
        /// Name of the kernel file.
        file: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The procfs root cannot be opened or listed: there is no pass this time.
    #[error("cannot list the processes in {}: {source}", path.display())]
    Root {
        /// The procfs root.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the process is simply not there any more.
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// Whether the kernel has not answered in time, or the file is not asked because others of the process do not answer.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::TimedOut)
    }
}

/// How often reading failed since the agent started; never falls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErrorCounts {
    /// Passes without a list of processes (`namedprocess_scrape_errors`).
    pub scrape: u64,
    /// Reads of single processes that failed although the process was there: `stat`, `status`, `limits`, and `cmdline`
    /// when it is named (`namedprocess_scrape_procread_errors`).
    pub procread: u64,
    /// Processes of which `io`, `fd`, `wchan` or `task` could not be read, once per process and pass
    /// (`namedprocess_scrape_partial_errors`).
    pub partial: u64,
}

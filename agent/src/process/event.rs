//! Records of the kernel programs about single processes, and their sums.

use super::{Counters, Facts, Former, Lifecycle, ProcessId};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Exit code 0.
    Success,
    /// Another exit code.
    Failure,
    /// Ended by a signal.
    Signal,
    /// The source does not report it.
    Unknown,
}

impl ExitStatus {
    /// From the status word of `wait4`.
    pub const fn from_wait_status(status: u32) -> Self {
        if status & 0x7f != 0 {
            Self::Signal
        } else if status & 0xff00 != 0 {
            Self::Failure
        } else {
            Self::Success
        }
    }
}

/// The final totals of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The process.
    pub id: ProcessId,
    /// Process id of the parent at the end; 0 for none.
    pub parent: u32,
    /// Name and owner at the end, for a process that the table does not know.
    pub facts: Facts,
    /// Totals at the end.
    pub counters: Counters,
    /// The leader is a zombie, and its parent may leave it so for long: totals are final, but the process is not gone yet.
    pub projected: bool,
    /// A projected record has reported the same totals: this one reports that the process is gone.
    pub repeated: bool,
}

/// One record of the kernel programs. All totals are absolute: duplicated, lost and reordered records do no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new process.
    Forked {
        /// The new process.
        child: ProcessId,
        /// The process that called fork. Its start is 0 if the record does not know it; then the parent is the process that has
        /// this process id now.
        parent: ProcessId,
    },
    /// A process has started a program by exec.
    Execed {
        /// The process.
        id: ProcessId,
        /// Facts of the new image; `facts.incomplete` if the arguments were cut.
        facts: Box<Facts>,
        /// Process id of the parent at the exec.
        parent: u32,
        /// Totals at the exec, all of them used by earlier images.
        counters: Counters,
        /// How the image before it ends.
        former: Former,
    },
    /// The last thread of a process ended; its totals are not final yet.
    Exited {
        /// The process.
        id: ProcessId,
        /// Totals so far; some of the last tick and of the exit itself are missing.
        counters: Counters,
        /// How it ended.
        status: ExitStatus,
        /// Whether the OOM killer ended it.
        oom_killed: bool,
    },
    /// The final totals.
    Released(Box<Released>),
}

/// Sums by comm, for ends that the kernel programs could not report one by one (ring and overflow hash full). They hold only
/// processes that no pass has credited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coarse {
    /// The comm of these processes; `None` for the catch-all.
    pub comm: Option<Vec<u8>>,
    /// Sum of their totals.
    pub counters: Counters,
    /// Sum of their forks, execs and exits.
    pub lifecycle: Lifecycle,
}

//! What kernel programs tell about single processes.

use super::{Counters, Facts, Former, Lifecycle, ProcessId};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Code 0.
    Success,
    /// Another code.
    Failure,
    /// Ended by a signal.
    Signal,
    /// The source does not tell.
    Unknown,
}

impl ExitStatus {
    /// From the word that `wait4` gives.
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

/// A process's last totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Who.
    pub id: ProcessId,
    /// Process id of the parent at the end; 0 for none.
    pub parent: u32,
    /// Name and owner at the end, for a process nobody heard of before.
    pub facts: Facts,
    /// Totals at the end.
    pub counters: Counters,
    /// The leader is a zombie that may still stay for its parent: totals are final, the process is not gone yet.
    pub projected: bool,
    /// A projected record has told the same: this one tells that the process is gone.
    pub repeated: bool,
}

/// One record of the kernel programs. All totals are absolute: duplicates, loss and reordering do no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new process.
    Forked {
        /// The new one.
        child: ProcessId,
        /// Who called fork; its start is 0 where that is not known, and then it is whoever has the number now.
        parent: ProcessId,
    },
    /// A new image.
    Execed {
        /// Who.
        id: ProcessId,
        /// What the image is called; `facts.incomplete` when the arguments were cut.
        facts: Box<Facts>,
        /// Process id of the parent at the exec.
        parent: u32,
        /// Totals at the exec, all of them used by images before it.
        counters: Counters,
        /// How the image before it ends.
        former: Former,
    },
    /// The last thread of a process ended; its totals are not final yet.
    Exited {
        /// Who.
        id: ProcessId,
        /// Totals so far; some of the last tick and of the end itself are missing.
        counters: Counters,
        /// How.
        status: ExitStatus,
        /// Whether the OOM killer ended it.
        oom_killed: bool,
    },
    /// The final totals.
    Released(Box<Released>),
}

/// What could not be told process by process any more (ring and overflow hash full): sums by comm of processes
/// that no pass has credited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coarse {
    /// The comm they shared; `None` for the catch-all.
    pub comm: Option<Vec<u8>>,
    /// Sum of their totals.
    pub counters: Counters,
    /// Sum of what happened.
    pub lifecycle: Lifecycle,
}

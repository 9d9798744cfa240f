//! Errors of passes and drains, for all tiers.

use std::io;

use super::bpf::BpfError;
use super::procfs::ProcfsError;

/// Why a pass or a drain failed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The task iterator, or the control map that is written before a pass.
    #[error("cannot read tasks from the kernel: {0}")]
    Iterator(io::Error),
    /// A map of the kernel programs could not be read or written.
    #[error(transparent)]
    Kernel(#[from] BpfError),
    /// The list of processes in `/proc` could not be read.
    #[error(transparent)]
    Procfs(#[from] ProcfsError),
}

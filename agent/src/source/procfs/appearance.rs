//! Reads the facts of one process that the page shows: its names, its owner and, where that is allowed, its command line.
//!
//! These facts are read when a person looks at the page, never for a scrape, so failures do not count as errors of a scrape: a
//! fact that cannot be read is missing in the answer.

use std::os::fd::AsFd;

use super::access::ProcAccess;
use super::error::ProcfsError;
use super::patient::Patient;
use super::{cmdline, stat, status};
use crate::process::{Arguments, ProcessId};
use crate::source::users::UserNames;

/// Length of a command line that is read, bytes.
const CMDLINE: usize = 4096;

/// Names, owner and command line of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appearance {
    /// Task name, raw bytes.
    pub comm: Vec<u8>,
    /// Name of the effective user, or the uid in decimal; empty where unreadable.
    pub username: String,
    /// First 4 KiB of the arguments, raw bytes; `None` if not asked for, or if it cannot be read now.
    pub argv: Option<Arguments>,
}

impl Appearance {
    /// Reads the names and owner of the process, and its command line if `wants_argv`. `viewers` reads the files that may block.
    pub(super) fn read(
        access: &mut ProcAccess,
        viewers: &mut Patient,
        users: &mut UserNames,
        id: ProcessId,
        wants_argv: bool,
    ) -> Result<Self, ProcfsError> {
        let tgid = id.tgid;
        let dir = access.files.open(tgid)?;
        let dir = dir.as_fd();
        let bytes = viewers.read(&mut access.owners, tgid, dir, stat::FILE);
        let parsed = bytes.map(|bytes| stat::parse_stat_and_comm(&bytes));
        let (found, comm) = access.files.judge(tgid, stat::FILE.0, parsed)?;
        if found.start_ticks != id.start_ns / access.files.host().tick_ns {
            return Err(ProcfsError::Gone { tgid });
        }
        let status = access
            .files
            .read(tgid, dir, status::FILE, status::parse_status);
        let uid = status.ok().and_then(|status| status.effective_uid);
        let may_wait = wants_argv && viewers.has_time();
        let file = cmdline::file(CMDLINE);
        let argv = may_wait.then(|| viewers.read(&mut access.owners, tgid, dir, file));
        Ok(Self {
            comm,
            username: uid.map(|uid| users.name(uid)).unwrap_or_default(),
            argv: argv
                .and_then(Result::ok)
                .map(|bytes| Arguments::of_beginning(&bytes, CMDLINE)),
        })
    }
}

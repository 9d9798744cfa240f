//! Reads what the page shows of one process: its names, its owner and, where that is allowed, its command line.
//!
//! These facts are read when a person looks at the page, never for a scrape, so failures do not count as errors of a scrape: a
//! fact that cannot be read is missing in the answer.

use std::os::fd::AsFd;

use super::{Error, Procfs, cmdline, stat, status};
use crate::process::Arguments;

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

impl Procfs {
    /// Begins a new answer: the time for command lines that are slow to read starts anew.
    pub fn begin_view(&mut self) {
        self.viewers.begin();
    }

    /// Reads the names and owner of the process with this number and start, and its command line if `wants_argv`.
    ///
    /// A command line that does not come at once is left out: all command lines of one answer together take no longer than one
    /// slow file and a little.
    ///
    /// # Errors
    /// [`Error::Gone`] if the process ended or another one has its number; any other error if `stat` cannot be read.
    pub fn appearance(
        &mut self,
        tgid: u32,
        start_ns: u64,
        wants_argv: bool,
    ) -> Result<Appearance, Error> {
        let tick_ns = self.host.tick_ns;
        let dir = self.open(tgid)?;
        let dir = dir.as_fd();
        let (file, cap) = stat::FILE;
        let owners = &mut self.owners;
        let read = self.viewers.read(owners, tgid, dir, (file, cap));
        let (found, comm) = self.judge(
            tgid,
            file,
            read.map(|bytes| {
                Some((
                    stat::parse_stat(&bytes)?,
                    stat::parse_comm(&bytes)?.to_vec(),
                ))
            }),
        )?;
        if found.start_ticks != start_ns / tick_ns {
            return Err(Error::Gone { tgid });
        }
        let status = self.read(tgid, dir, status::FILE, status::parse_status);
        let uid = status.ok().and_then(|status| status.effective_uid);
        let may_wait = wants_argv && self.viewers.has_time();
        let (file, cap) = cmdline::file(CMDLINE);
        let owners = &mut self.owners;
        let argv = may_wait.then(|| self.viewers.read(owners, tgid, dir, (file, cap)));
        Ok(Appearance {
            comm,
            username: uid.map(|uid| self.users.name(uid)).unwrap_or_default(),
            argv: argv
                .and_then(Result::ok)
                .map(|bytes| Arguments::of_beginning(&bytes, CMDLINE)),
        })
    }
}
